// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {Draw, IInferenceVault} from "../src/interfaces/IInferenceVault.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Reentrant, Refuser} from "./Receivers.sol";
import {Test} from "./Test.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Epochs: submission, order, activation, disabling, refunds.
contract EpochsTest is Test {
    function test_submissionDrawsAndIsRecorded() public {
        _deposit(alice, 5 ether);
        IAttributionSettlement.Submission memory submission = _submission(2 ether, "root");
        vm.expectEmit();
        emit IAttributionSettlement.EpochSubmitted(
            1,
            submitter,
            submission.receiptsRoot,
            "root",
            2 ether,
            submission.dataHash,
            hex"010003c0ffee",
            submission.paramsHash,
            block.timestamp + WINDOW
        );
        vm.prank(submitter);
        settlement.submitEpoch(submission, _draws(alice, 2 ether));

        IAttributionSettlement.Epoch memory epoch = settlement.epochs(1);
        vm.assertEq(epoch.receiptsRoot, submission.receiptsRoot);
        vm.assertEq(epoch.payoutsRoot, "root");
        vm.assertEq(epoch.dataHash, submission.dataHash);
        vm.assertEq(epoch.paramsHash, submission.paramsHash);
        vm.assertEq(epoch.drawsHash, keccak256(abi.encode(_draws(alice, 2 ether))));
        vm.assertEq(epoch.total, 2 ether);
        vm.assertEq(epoch.cumulativeTotal, 2 ether);
        vm.assertEq(epoch.submitter, submitter);
        vm.assertEq(epoch.activeAt, block.timestamp + WINDOW);
        vm.assertEq(settlement.lastEpoch(), 1);
        vm.assertEq(vault.balanceOf(alice), 3 ether);
        vm.assertEq(address(settlement).balance, BOND + 2 ether);

        _submit(alice, 1 ether, "root 2");
        vm.assertEq(settlement.epochs(2).cumulativeTotal, 3 ether);
    }

    function test_epochsComeInOrder() public {
        _deposit(alice, 5 ether);
        IAttributionSettlement.Submission memory submission = _submission(1 ether, "root");
        uint64[3] memory wrong = [uint64(0), 2, type(uint64).max];
        for (uint256 i = 0; i < wrong.length; ++i) {
            submission.epoch = wrong[i];
            _refuse(
                submission,
                abi.encodeWithSelector(IAttributionSettlement.EpochOutOfOrder.selector, wrong[i], 1)
            );
        }
        _submit(alice, 1 ether, "root");
        submission.epoch = 1;
        _refuse(
            submission,
            abi.encodeWithSelector(IAttributionSettlement.EpochOutOfOrder.selector, 1, 2)
        );
    }

    function test_submissionRefusesWhatDoesNotHold() public {
        _deposit(alice, 5 ether);
        IAttributionSettlement.Submission memory submission = _submission(1 ether, "root");
        submission.receiptsRoot = 0;
        _refuse(
            submission, abi.encodeWithSelector(IAttributionSettlement.ZeroReceiptsRoot.selector)
        );
        submission = _submission(1 ether + 1, "root");
        _refuse(
            submission,
            abi.encodeWithSelector(
                IAttributionSettlement.TotalMismatch.selector, 1 ether + 1, 1 ether
            )
        );
        submission = _submission(1 ether - 1, "root");
        _refuse(
            submission,
            abi.encodeWithSelector(
                IAttributionSettlement.TotalMismatch.selector, 1 ether - 1, 1 ether
            )
        );
        submission = _submission(1 ether, "root");
        submission.paramsHash = "other";
        _refuse(
            submission,
            abi.encodeWithSelector(IParameters.UnknownVersion.selector, bytes32("other"))
        );
        submission = _submission(6 ether, "root");
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceVault.InsufficientBalance.selector, alice, 5 ether, 6 ether
            )
        );
        vm.prank(submitter);
        settlement.submitEpoch(submission, _draws(alice, 6 ether));
        submission = _submission(0, "root");
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.TooManyDraws.selector, 1001, 1000)
        );
        vm.prank(submitter);
        settlement.submitEpoch(submission, new Draw[](1001));
    }

    function test_anEpochOfFreeReceiptsSettlesNothing() public {
        vm.assertEq(_submit(alice, 0, 0), 1);
        vm.assertEq(settlement.epochs(1).total, 0);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function test_replacedParametersSettleForAGraceTime() public {
        _deposit(alice, 5 ether);
        bytes32 old = parameters.paramsHash();
        _setParameter("fee.model", 1);
        uint256 replacedAt = block.timestamp;
        IAttributionSettlement.Submission memory submission = _submission(1 ether, "root");
        submission.paramsHash = old;
        vm.warp(replacedAt + 14 days);
        vm.prank(submitter);
        settlement.submitEpoch(submission, _draws(alice, 1 ether));
        vm.warp(replacedAt + 14 days + 1);
        submission.epoch = 2;
        _refuse(
            submission,
            abi.encodeWithSelector(IAttributionSettlement.ParamsNotUsable.selector, old, replacedAt)
        );
    }

    function test_aShrunkenWindowDoesNotReorderActivation() public {
        _deposit(alice, 5 ether);
        _submit(alice, 1 ether, "1");
        _setParameter("settlement.window", 1);
        _submit(alice, 1 ether, "2");
        vm.assertEq(settlement.epochs(2).activeAt, settlement.epochs(1).activeAt);
        vm.warp(block.timestamp + WINDOW - 1);
        vm.assertEq(settlement.latestActive(), 0);
        vm.warp(block.timestamp + 1);
        vm.assertEq(settlement.latestActive(), 2);
    }

    function test_latestActiveFindsTheNewest() public {
        for (uint64 i = 1; i <= 7; ++i) {
            _submit(alice, 0, 0);
            vm.warp(block.timestamp + WINDOW / 2);
            vm.assertEq(settlement.latestActive(), i < 2 ? 0 : i - 1);
        }
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(settlement.latestActive(), 7);
    }

    function test_disablingUndoesAnEpochAndEveryLaterOne() public {
        _deposit(alice, 5 ether);
        _submit(alice, 1 ether, "1");
        vm.warp(block.timestamp + WINDOW);
        _submit(alice, 0.5 ether, "2");
        _submit(alice, 0.25 ether, "3");
        vm.prank(governance);
        settlement.disable(2);

        vm.assertEq(settlement.lastEpoch(), 1);
        _expectStatus(1, IAttributionSettlement.Status.Active);
        _expectStatus(2, IAttributionSettlement.Status.Disabled);
        _expectStatus(3, IAttributionSettlement.Status.Disabled);
        _expectStatus(4, IAttributionSettlement.Status.None);
        // They stay disabled when their time would have come.
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(settlement.latestActive(), 1);
        vm.expectRevert(abi.encodeWithSelector(IAttributionSettlement.EpochNotActive.selector, 2));
        settlement.claim(bob, 1, 2, new bytes32[](0));

        IAttributionSettlement.Submission memory submission = _submission(1 ether, "2b");
        _refuse(
            submission, abi.encodeWithSelector(IAttributionSettlement.EpochNotRefunded.selector, 2)
        );
        settlement.refund(2, _draws(alice, 0.5 ether));
        vm.assertEq(vault.balanceOf(alice), 3.75 ether);
        _expectStatus(2, IAttributionSettlement.Status.None);
        vm.prank(submitter);
        settlement.submitEpoch(submission, _draws(alice, 1 ether));
        vm.assertEq(settlement.epochs(2).cumulativeTotal, 2 ether);
        // The other one is still disabled, and blocks its number until it is refunded.
        _expectStatus(3, IAttributionSettlement.Status.Disabled);
        submission = _submission(1 ether, "3b");
        _refuse(
            submission, abi.encodeWithSelector(IAttributionSettlement.EpochNotRefunded.selector, 3)
        );
        settlement.refund(3, _draws(alice, 0.25 ether));
        vm.assertEq(vault.balanceOf(alice), 3 ether);
        vm.assertEq(address(settlement).balance, BOND + 2 ether);
    }

    function test_aResubmittedEpochCanBeDisabledAgain() public {
        _deposit(alice, 5 ether);
        for (uint256 i = 0; i < 3; ++i) {
            _submit(alice, 1 ether, "1");
            _submit(alice, 2 ether, "2");
            vm.prank(governance);
            settlement.disable(1);
            settlement.refund(2, _draws(alice, 2 ether));
            settlement.refund(1, _draws(alice, 1 ether));
        }
        vm.assertEq(vault.balanceOf(alice), 5 ether);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function test_disablingRefuses() public {
        _deposit(alice, 5 ether);
        _submit(alice, 1 ether, "1");
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, submitter));
        vm.prank(submitter);
        settlement.disable(1);
        for (uint64 epoch = 0; epoch <= 2; epoch += 2) {
            vm.expectRevert(
                abi.encodeWithSelector(IAttributionSettlement.EpochNotPending.selector, epoch)
            );
            vm.prank(governance);
            settlement.disable(epoch);
        }
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IAttributionSettlement.EpochNotPending.selector, 1));
        vm.prank(governance);
        settlement.disable(1);
    }

    function test_refundRefuses() public {
        _deposit(alice, 5 ether);
        _submit(alice, 1 ether, "1");
        Draw[] memory draws = _draws(alice, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IAttributionSettlement.EpochNotDisabled.selector, 1));
        settlement.refund(1, draws);
        vm.prank(governance);
        settlement.disable(1);
        Draw[] memory others = _draws(bob, 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.DrawsMismatch.selector,
                keccak256(abi.encode(others)),
                keccak256(abi.encode(draws))
            )
        );
        settlement.refund(1, others);
        settlement.refund(1, draws);
        vm.expectRevert(abi.encodeWithSelector(IAttributionSettlement.EpochNotDisabled.selector, 1));
        settlement.refund(1, draws);
    }

    function test_takesWeiFromTheVaultOnly() public {
        vm.expectRevert(abi.encodeWithSelector(IAttributionSettlement.NotVault.selector, alice));
        vm.prank(alice);
        (bool ok,) = address(settlement).call{value: 1}("");
        ok;
    }

    function _refuse(IAttributionSettlement.Submission memory submission, bytes memory reason)
        private
    {
        vm.expectRevert(reason);
        vm.prank(submitter);
        settlement.submitEpoch(submission, _draws(alice, 1 ether));
    }

    function _expectStatus(uint64 epoch, IAttributionSettlement.Status status) private view {
        vm.assertEq(uint256(settlement.statusOf(epoch)), uint256(status));
    }
}

/// @notice Submitters: permission and bond.
contract SubmittersTest is Test {
    function test_onlyAllowedAndBondedSubmit() public {
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, bob));
        vm.prank(bob);
        settlement.setSubmitter(bob, true);
        vm.prank(bob);
        settlement.bond{value: BOND}(bob);
        _refuse(bob, abi.encodeWithSelector(IAttributionSettlement.NotSubmitter.selector, bob));
        vm.prank(governance);
        settlement.setSubmitter(bob, true);
        _setParameter("settlement.bond", BOND + 1);
        _refuse(
            bob,
            abi.encodeWithSelector(IAttributionSettlement.BondTooLow.selector, bob, BOND, BOND + 1)
        );
        vm.prank(alice);
        settlement.bond{value: 1}(bob);
        IAttributionSettlement.Submission memory submission = _submission(0, 0);
        vm.prank(bob);
        settlement.submitEpoch(submission, new Draw[](0));
        vm.assertEq(settlement.submitterOf(bob).lastActiveAt, block.timestamp + WINDOW);
        vm.prank(governance);
        settlement.setSubmitter(bob, false);
        _refuse(bob, abi.encodeWithSelector(IAttributionSettlement.NotSubmitter.selector, bob));
    }

    function test_bondLeavesAfterTwiceTheWindow() public {
        vm.prank(submitter);
        settlement.requestUnbond();
        uint256 unbondableAt = block.timestamp + 2 * WINDOW;
        _refuse(
            submitter,
            abi.encodeWithSelector(
                IAttributionSettlement.Unbonding.selector, submitter, unbondableAt
            )
        );
        vm.warp(unbondableAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.BondLocked.selector, submitter, unbondableAt
            )
        );
        _unbond(stranger);
        vm.warp(unbondableAt);
        uint256 before = stranger.balance;
        _unbond(stranger);
        vm.assertEq(stranger.balance, before + BOND);
        vm.assertEq(address(settlement).balance, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.NotUnbonding.selector, submitter)
        );
        _unbond(stranger);
        _refuse(
            submitter,
            abi.encodeWithSelector(IAttributionSettlement.BondTooLow.selector, submitter, 0, BOND)
        );
    }

    function test_bondStaysUntilTheLastEpochIsActive() public {
        _submit(alice, 0, 0);
        uint256 activeAt = block.timestamp + WINDOW;
        _setParameter("settlement.window", 1);
        vm.prank(submitter);
        settlement.requestUnbond();
        vm.assertEq(settlement.submitterOf(submitter).unbondableAt, activeAt);
        vm.warp(activeAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.BondLocked.selector, submitter, activeAt)
        );
        _unbond(submitter);
        vm.warp(activeAt);
        _unbond(submitter);
    }

    function test_unbondingIsCancelledByTheSubmitterAlone() public {
        vm.prank(submitter);
        settlement.requestUnbond();
        uint256 unbondableAt = block.timestamp + 2 * WINDOW;
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.Unbonding.selector, submitter, unbondableAt
            )
        );
        vm.prank(alice);
        settlement.bond{value: 1}(submitter);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.Unbonding.selector, submitter, unbondableAt
            )
        );
        vm.prank(submitter);
        settlement.requestUnbond();
        vm.expectRevert(abi.encodeWithSelector(IAttributionSettlement.NotUnbonding.selector, alice));
        vm.prank(alice);
        settlement.cancelUnbond();
        vm.prank(submitter);
        settlement.cancelUnbond();
        vm.assertEq(_submit(alice, 0, 0), 1);
    }

    function test_bondRefusesNothing() public {
        vm.expectRevert(IAttributionSettlement.ZeroAmount.selector);
        settlement.bond(submitter);
        vm.expectRevert(IAttributionSettlement.ZeroAddress.selector);
        settlement.bond{value: 1}(address(0));
        vm.expectRevert(IAttributionSettlement.ZeroAmount.selector);
        settlement.requestUnbond();
        vm.expectRevert(IAttributionSettlement.ZeroAddress.selector);
        settlement.unbond(address(0));
    }

    function test_reentrantSubmitterGetsItsBondOnce() public {
        Reentrant staker = new Reentrant();
        settlement.bond{value: 2 ether}(address(staker));
        staker.execute(address(settlement), 0, abi.encodeCall(settlement.requestUnbond, ()));
        vm.warp(block.timestamp + 2 * WINDOW);
        bytes memory again = abi.encodeCall(settlement.unbond, (address(staker)));
        staker.prepare(address(settlement), again);
        staker.execute(address(settlement), 0, again);
        vm.assertTrue(staker.entered() && !staker.succeeded(), "re-entered");
        vm.assertEq(address(staker).balance, 2 ether);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function _refuse(address caller, bytes memory reason) private {
        IAttributionSettlement.Submission memory submission = _submission(0, 0);
        vm.expectRevert(reason);
        vm.prank(caller);
        settlement.submitEpoch(submission, new Draw[](0));
    }

    function _unbond(address to) private {
        vm.prank(submitter);
        settlement.unbond(to);
    }
}

/// @notice Claims: proofs, accumulation, bounds, receivers.
contract ClaimsTest is Test {
    bytes32[] private forAlice;
    bytes32[] private forBob;

    function setUp() public override {
        super.setUp();
        _deposit(operator, 100 ether);
    }

    function test_claimsAccumulate() public {
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        uint256 before = alice.balance;
        settlement.claim(alice, 2 ether, 1, forAlice);
        vm.assertEq(alice.balance, before + 2 ether);
        _epoch(3 ether, 2.5 ether, 3.5 ether);
        _activate();
        settlement.claim(alice, 2.5 ether, 2, forAlice);
        vm.assertEq(alice.balance, before + 2.5 ether);
        vm.assertEq(settlement.claimed(alice), 2.5 ether);
        before = bob.balance;
        settlement.claim(bob, 3.5 ether, 2, forBob);
        vm.assertEq(bob.balance, before + 3.5 ether);
        vm.assertEq(settlement.claimedTotal(), 6 ether);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function test_anOlderRootStaysClaimable() public {
        _epoch(3 ether, 2 ether, 1 ether);
        bytes32[] memory proof = forAlice;
        _activate();
        _epoch(3 ether, 4 ether, 2 ether);
        settlement.claim(alice, 2 ether, 1, proof); // while the next one is pending
        _activate();
        settlement.claim(bob, 2 ether, 2, forBob);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.NothingToClaim.selector, alice, 2 ether, 2 ether
            )
        );
        settlement.claim(alice, 2 ether, 1, proof);
        settlement.claim(alice, 4 ether, 2, forAlice);
    }

    function test_claimsWaitForActivation() public {
        _epoch(3 ether, 2 ether, 1 ether);
        vm.warp(block.timestamp + WINDOW - 1);
        for (uint64 epoch = 0; epoch <= 2; ++epoch) {
            vm.expectRevert(
                abi.encodeWithSelector(IAttributionSettlement.EpochNotActive.selector, epoch)
            );
            settlement.claim(alice, 2 ether, epoch, forAlice);
        }
    }

    function testFuzz_onlyProvenAmountsAreClaimed(address account, uint256 cumulative) public {
        vm.assume(account != alice || cumulative != 2 ether);
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.InvalidProof.selector, account, cumulative, 1
            )
        );
        settlement.claim(account, cumulative, 1, forAlice);
    }

    function test_wrongProofsAreRefused() public {
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        bytes memory reason =
            abi.encodeWithSelector(IAttributionSettlement.InvalidProof.selector, alice, 2 ether, 1);
        vm.expectRevert(reason);
        settlement.claim(alice, 2 ether, 1, forBob);
        vm.expectRevert(reason);
        settlement.claim(alice, 2 ether, 1, new bytes32[](0));
        vm.expectRevert(reason);
        settlement.claim(alice, 2 ether, 1, new bytes32[](1));
    }

    function test_aRootWithoutPayoutsPaysNobody() public {
        _submit(operator, 1 ether, 0);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.InvalidProof.selector, alice, 1 ether, 1)
        );
        settlement.claim(alice, 1 ether, 1, new bytes32[](0));
    }

    function test_anInflatedRootCannotPayMoreThanItsTotal() public {
        _epoch(3 ether, 2 ether, 2 ether);
        _activate();
        _submit(operator, 5 ether, "pending"); // its wei are not theirs
        settlement.claim(alice, 2 ether, 1, forAlice);
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.ExceedsTotal.selector, 2 ether, 1 ether)
        );
        settlement.claim(bob, 2 ether, 1, forBob);
    }

    function testFuzz_hugeAmountsCannotOverflow(uint256 cumulative) public {
        cumulative = _bound(cumulative, 3 ether + 1, type(uint256).max);
        _epoch(3 ether, cumulative, 0);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.ExceedsTotal.selector, cumulative, 3 ether
            )
        );
        settlement.claim(alice, cumulative, 1, forAlice);
    }

    function test_aFallenAmountPaysNothing() public {
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        settlement.claim(alice, 2 ether, 1, forAlice);
        _epoch(3 ether, 1 ether, 5 ether);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.NothingToClaim.selector, alice, 1 ether, 2 ether
            )
        );
        settlement.claim(alice, 1 ether, 2, forAlice);
    }

    function test_onlyTheAccountSendsItsClaimElsewhere() public {
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.InvalidProof.selector, stranger, 2 ether, 1
            )
        );
        vm.prank(stranger);
        settlement.claimTo(stranger, 2 ether, 1, forAlice);
        vm.expectRevert(IAttributionSettlement.ZeroAddress.selector);
        vm.prank(alice);
        settlement.claimTo(address(0), 2 ether, 1, forAlice);
        uint256 before = stranger.balance;
        vm.prank(alice);
        settlement.claimTo(stranger, 2 ether, 1, forAlice);
        vm.assertEq(stranger.balance, before + 2 ether);
        vm.assertEq(settlement.claimed(alice), 2 ether);
    }

    function test_aRefusingReceiverBlocksOnlyItself() public {
        address refuser = address(new Refuser());
        (bytes32 root, bytes32[] memory forRefuser, bytes32[] memory proof) =
            _pair(refuser, 2 ether, bob, 1 ether);
        _submit(operator, 3 ether, root);
        _activate();
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector);
        settlement.claim(refuser, 2 ether, 1, forRefuser);
        vm.assertEq(settlement.claimed(refuser), 0);
        settlement.claim(bob, 1 ether, 1, proof);
        vm.prank(refuser);
        settlement.claimTo(stranger, 2 ether, 1, forRefuser);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function test_aReentrantReceiverIsPaidOnce() public {
        Reentrant receiver = new Reentrant();
        (bytes32 root, bytes32[] memory proof,) = _pair(address(receiver), 2 ether, bob, 1 ether);
        _submit(operator, 3 ether, root);
        _activate();
        receiver.prepare(
            address(settlement),
            abi.encodeCall(settlement.claim, (address(receiver), 2 ether, 1, proof))
        );
        settlement.claim(address(receiver), 2 ether, 1, proof);
        vm.assertTrue(receiver.entered() && !receiver.succeeded(), "re-entered");
        vm.assertEq(
            bytes32(receiver.refusal()), bytes32(IAttributionSettlement.NothingToClaim.selector)
        );
        vm.assertEq(address(receiver).balance, 2 ether);
        vm.assertEq(address(settlement).balance, BOND + 1 ether);
    }

    function testFuzz_everyAccountOfATreeIsPaid(uint256 seed) public {
        uint256 count = _bound(seed, 1, 40);
        bytes32[] memory leaves = new bytes32[](count);
        uint256 total = 0;
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = Leaf.payout(_account(i), _amount(seed, i));
            total += _amount(seed, i);
        }
        _submit(operator, total, _root(leaves));
        _activate();
        for (uint256 i = 0; i < count; ++i) {
            settlement.claim(_account(i), _amount(seed, i), 1, _proof(leaves, i));
            vm.assertEq(_account(i).balance, _amount(seed, i));
        }
        vm.assertEq(address(settlement).balance, BOND);
    }

    function _account(uint256 i) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("account", i)))));
    }

    function _amount(uint256 seed, uint256 i) private pure returns (uint256) {
        return 1 + uint256(keccak256(abi.encode(seed, i))) % 1 ether;
    }

    function _epoch(uint256 total, uint256 toAlice, uint256 toBob) private {
        bytes32 root;
        (root, forAlice, forBob) = _pair(alice, toAlice, bob, toBob);
        _submit(operator, total, root);
    }

    function _activate() private {
        vm.warp(block.timestamp + WINDOW);
    }
}
