// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDebts} from "../src/interfaces/IDebts.sol";
import {IValidatorStaking} from "../src/interfaces/IValidatorStaking.sol";
import {Reentrant, Refuser} from "./Receivers.sol";
import {Test} from "./Test.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Stake: in, out, votes, verdicts, slashes, rewards.
contract ValidatorStakingTest is Test {
    bytes32[] private forStaking;
    bytes32[] private forBob;

    function setUp() public override {
        super.setUp();
        _deposit(operator, 100 ether);
        _stake(alice, 6 ether);
        _stake(bob, 4 ether);
        vm.warp(block.timestamp + WINDOW);
    }

    function test_stakeVotesAndLeavesLate() public {
        vm.assertEq(votes.getVotes(alice), 6 ether);
        vm.prank(alice);
        staking.requestLeave(2 ether);
        vm.assertEq(votes.getVotes(alice), 4 ether);
        vm.assertEq(staking.totalStake(), 8 ether);
        uint256 leavesAt = block.timestamp + UNBOND_DELAY;
        vm.warp(leavesAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorStaking.StakeLocked.selector, alice, leavesAt)
        );
        vm.prank(alice);
        staking.withdraw(alice);
        vm.warp(leavesAt);
        uint256 before = alice.balance;
        vm.prank(alice);
        staking.withdraw(alice);
        vm.assertEq(alice.balance, before + 2 ether);
        vm.assertEq(address(staking).balance, 8 ether);
    }

    function test_whatWasAtStakeAtATimeStaysKnown() public {
        uint48 staked = uint48(block.timestamp - WINDOW);
        vm.prank(alice);
        staking.requestLeave(2 ether);
        uint48 left = uint48(block.timestamp);
        vm.warp(left + 10);
        _stake(alice, 5 ether);
        vm.assertEq(staking.stakeAt(alice, staked - 1), 0);
        vm.assertEq(staking.stakeAt(alice, staked), 6 ether);
        vm.assertEq(staking.stakeAt(alice, left - 1), 6 ether);
        vm.assertEq(staking.stakeAt(alice, left), 4 ether);
        vm.assertEq(staking.stakeAt(alice, left + 10), 9 ether);
        vm.assertEq(staking.stakeAt(stranger, left), 0);
    }

    function test_refusals() public {
        vm.expectRevert(IDebts.ZeroAmount.selector);
        staking.stake(alice);
        vm.expectRevert(IDebts.ZeroAddress.selector);
        staking.stake{value: 1}(address(0));
        vm.expectRevert(
            abi.encodeWithSelector(
                IValidatorStaking.InsufficientStake.selector, alice, 6 ether, 7 ether
            )
        );
        vm.prank(alice);
        staking.requestLeave(7 ether);
        vm.expectRevert(IDebts.ZeroAmount.selector);
        vm.prank(alice);
        staking.requestLeave(0);
        vm.expectRevert(IDebts.ZeroAddress.selector);
        vm.prank(alice);
        staking.withdraw(address(0));
        vm.expectRevert(IDebts.ZeroAddress.selector);
        vm.prank(alice);
        staking.collect(new uint64[](0), address(0));
        vm.expectRevert(IDebts.ZeroAmount.selector);
        vm.prank(alice);
        staking.withdraw(alice);
        vm.expectRevert(IDebts.ZeroAmount.selector);
        staking.withdrawOwed(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorStaking.NotSlasher.selector, address(this))
        );
        staking.slash(alice, 1, bob);
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorStaking.NotSettlement.selector, address(this))
        );
        staking.epochFaulted(1, 0);
        (bool sent,) = address(staking).call{value: 1}("");
        vm.assertEq(sent, false);
        vm.expectRevert(abi.encodeWithSelector(IValidatorStaking.EpochNotPending.selector, 1));
        vm.prank(alice);
        staking.approve(1);
    }

    function test_slashesTakeFromWhatLeavesFirstAndNeverMoreThanThereIs() public {
        vm.prank(alice);
        staking.requestLeave(2 ether);
        vm.prank(address(receiptChallenges));
        vm.assertEq(staking.slash(alice, 3 ether, stranger), 3 ether);
        vm.assertEq(staking.validatorOf(alice).leaving, 0);
        vm.assertEq(staking.validatorOf(alice).stake, 3 ether);
        vm.assertEq(votes.getVotes(alice), 3 ether);
        vm.prank(address(receiptChallenges));
        vm.assertEq(staking.slash(alice, 100 ether, stranger), 3 ether);
        vm.assertEq(staking.owed(stranger), 3 ether);
        vm.assertEq(staking.owed(treasury), 3 ether);
        uint256 before = stranger.balance;
        vm.prank(stranger);
        staking.withdrawOwed(stranger);
        vm.assertEq(stranger.balance, before + 3 ether);
    }

    function test_aMajorityOfOldStakeDisables() public {
        _submit(operator, 1 ether, "root");
        vm.prank(bob);
        staking.reject(1, "gradient of receipt 3");
        vm.assertEq(uint256(settlement.statusOf(1)), 1);
        vm.expectRevert(abi.encodeWithSelector(IValidatorStaking.AlreadyAttested.selector, bob, 1));
        vm.prank(bob);
        staking.reject(1, "again");
        // Stake that came after the epoch was known weighs nothing.
        _stake(stranger, 100 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                IValidatorStaking.InsufficientStake.selector, stranger, 0, MINIMUM_STAKE
            )
        );
        vm.prank(stranger);
        staking.reject(1, "bought");
        vm.prank(alice);
        staking.reject(1, "gradient of receipt 3");
        vm.assertEq(uint256(settlement.statusOf(1)), 3);
        vm.assertEq(settlement.submitterOf(submitter).bond, BOND);
    }

    function test_rejectionAfterTheWindowIsTooLate() public {
        _submit(operator, 1 ether, "root");
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IValidatorStaking.EpochNotPending.selector, 1));
        vm.prank(alice);
        staking.reject(1, "late");
    }

    function test_approversLoseATenthOfWhatWasProvenWrong() public {
        _submit(operator, 1 ether, "root");
        bytes32 data = settlement.epochs(1).dataHash;
        vm.prank(alice);
        staking.approve(1);
        vm.expectRevert(abi.encodeWithSelector(IValidatorStaking.NotFaulted.selector, 1));
        staking.slashApprover(1, data, alice);
        vm.prank(address(epochChallenges));
        settlement.fault(1, stranger);
        vm.assertEq(settlement.owed(stranger), BOND / 2);
        vm.prank(bob);
        staking.slashApprover(1, data, alice);
        vm.assertEq(staking.validatorOf(alice).stake, 5.4 ether);
        vm.assertEq(staking.owed(bob), 0.3 ether);
        vm.expectRevert(abi.encodeWithSelector(IValidatorStaking.NotApprover.selector, alice, 1));
        staking.slashApprover(1, data, alice);
    }

    function test_approvalsLockUntilTheEpochIsActive() public {
        _setParameter("staking.unbondDelay", 1);
        _submit(operator, 1 ether, "root");
        vm.prank(alice);
        staking.approve(1);
        vm.prank(alice);
        staking.requestLeave(6 ether);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IValidatorStaking.StakeLocked.selector, alice, block.timestamp + WINDOW - 1
            )
        );
        vm.prank(alice);
        staking.withdraw(alice);
    }

    function test_rewardsFollowTheWeightOfApprovals() public {
        bytes32 root;
        (root, forStaking, forBob) = _pair(address(staking), 0.2 ether, bob, 0.8 ether);
        _submit(operator, 1 ether, root);
        vm.prank(alice);
        staking.approve(1);
        vm.prank(bob);
        staking.approve(1);
        vm.expectRevert(abi.encodeWithSelector(IValidatorStaking.EpochNotActive.selector, 1));
        staking.rewardOf(1, alice);
        vm.warp(block.timestamp + WINDOW);
        // A fifth of an ether, less a wei for its one receipt, 6 : 4.
        uint256 reward = uint256(0.2 ether - 1) * 6 / 10;
        vm.assertEq(staking.rewardOf(1, alice), reward);
        uint64[] memory epochs = new uint64[](1);
        epochs[0] = 1;
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorStaking.InsufficientRewards.selector, reward, 0)
        );
        vm.prank(alice);
        staking.collect(epochs, alice);
        settlement.claim(address(staking), 0.2 ether, 1, 0, forStaking);
        uint256 before = alice.balance;
        vm.prank(alice);
        staking.collect(epochs, alice);
        vm.assertEq(alice.balance, before + reward);
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorStaking.NothingToCollect.selector, alice, 1)
        );
        vm.prank(alice);
        staking.collect(epochs, alice);
        vm.prank(bob);
        staking.collect(epochs, bob);
        vm.assertLe(staking.rewards(), 2, "all but the rounding was collected");
    }

    function test_anEpochThatPaysLessThanItsRoundingRewardsNobody() public {
        _submit(operator, 5, "root"); // a fifth of it is a wei, as much as rounding may take
        vm.prank(alice);
        staking.approve(1);
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(staking.rewardOf(1, alice), 0);
        uint64[] memory epochs = new uint64[](1);
        epochs[0] = 1;
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorStaking.NothingToCollect.selector, alice, 1)
        );
        vm.prank(alice);
        staking.collect(epochs, alice);
    }

    function test_moreThanAllOpenCannotBeStaked() public {
        uint256 beyond = uint256(type(uint96).max) + 1;
        vm.deal(alice, beyond);
        vm.expectRevert(SafeCastLib.Overflow.selector);
        vm.prank(alice);
        staking.stake{value: beyond}(alice);
        vm.prank(alice);
        staking.stake{value: beyond - 1 - 6 ether}(alice); // with what it has, the most there can
        // be
        vm.assertEq(staking.validatorOf(alice).stake, type(uint96).max);
    }

    function test_aReentrantValidatorCollectsOnce() public {
        Reentrant receiver = new Reentrant();
        _stake(address(receiver), 10 ether);
        vm.warp(block.timestamp + WINDOW);
        (bytes32 root, bytes32[] memory proof,) = _pair(address(staking), 0.2 ether, bob, 0.8 ether);
        _submit(operator, 1 ether, root);
        vm.prank(address(receiver));
        staking.approve(1);
        vm.warp(block.timestamp + WINDOW);
        settlement.claim(address(staking), 0.2 ether, 1, 0, proof);
        uint64[] memory epochs = new uint64[](2);
        (epochs[0], epochs[1]) = (1, 1);
        bytes memory refusal = abi.encodeWithSelector(
            IValidatorStaking.NothingToCollect.selector, address(receiver), 1
        );
        vm.expectRevert(refusal); // twice in one call
        vm.prank(address(receiver));
        staking.collect(epochs, address(receiver));
        epochs = new uint64[](1);
        epochs[0] = 1;
        receiver.prepare(
            address(staking), abi.encodeCall(staking.collect, (epochs, address(receiver)))
        );
        vm.prank(address(receiver));
        staking.collect(epochs, address(receiver));
        vm.assertTrue(receiver.entered() && !receiver.succeeded(), "re-entered");
        vm.assertEq(address(receiver).balance, 0.2 ether - 1);
    }

    function test_receiversThatRefuseOrReenterHarmNobody() public {
        address refuser = address(new Refuser());
        vm.prank(address(receiptChallenges));
        staking.slash(alice, 2 ether, refuser);
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector);
        vm.prank(refuser);
        staking.withdrawOwed(refuser);
        vm.prank(refuser);
        staking.withdrawOwed(stranger);

        Reentrant receiver = new Reentrant();
        vm.prank(address(receiptChallenges));
        staking.slash(bob, 2 ether, address(receiver));
        receiver.prepare(
            address(staking), abi.encodeCall(staking.withdrawOwed, (address(receiver)))
        );
        vm.prank(address(receiver));
        staking.withdrawOwed(address(receiver));
        vm.assertTrue(receiver.entered() && !receiver.succeeded(), "re-entered");
        vm.assertEq(address(receiver).balance, 1 ether);
    }

    function testFuzz_nothingIsLost(uint96 more, uint96 out, uint96 slashed) public {
        uint256 staked = 6 ether + _bound(more, 1, 1_000 ether);
        _stake(alice, staked - 6 ether);
        uint256 leaves = _bound(out, 1, staked);
        vm.prank(alice);
        staking.requestLeave(leaves);
        vm.prank(address(receiptChallenges));
        uint256 taken = staking.slash(alice, slashed, stranger);
        IValidatorStaking.Validator memory left = staking.validatorOf(alice);
        vm.assertEq(uint256(left.stake) + left.leaving + taken, staked);
        vm.assertEq(staking.owed(stranger) + staking.owed(treasury), taken);
        vm.assertEq(address(staking).balance, staked + 4 ether);
        vm.assertEq(staking.totalStake(), left.stake + 4 ether);
        vm.assertEq(votes.getVotes(alice), left.stake);
    }

    function _stake(address account, uint256 amount) private {
        vm.deal(account, account.balance + amount);
        vm.prank(account);
        staking.stake{value: amount}(account);
    }
}
