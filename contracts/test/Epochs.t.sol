// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {Draw, IInferenceVault} from "../src/interfaces/IInferenceVault.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {Test} from "./Test.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

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
            submission.creditsRoot,
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
        submission = _submission(type(uint256).max, "root");
        _refuse(submission, abi.encodeWithSelector(SafeCastLib.Overflow.selector));
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
        settlement.claim(bob, 1, 2, 0, new bytes32[](0));

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
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.NotTrusted.selector, submitter)
        );
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
