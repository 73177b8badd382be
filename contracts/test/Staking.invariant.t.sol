// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IValidatorStaking} from "../src/interfaces/IValidatorStaking.sol";
import {StakingHandler} from "./StakingHandler.sol";
import {Test} from "./Test.sol";

/// @notice Whatever validators, challengers and submitters do: no wei of stake is lost or doubled,
/// none votes twice, none leaves before what it approved is settled.
contract StakingInvariants is Test {
    StakingHandler private handler;

    function setUp() public override {
        super.setUp();
        handler = new StakingHandler(parameters, vault, settlement, staking, votes);
    }

    /// @dev What forge calls: the handler alone.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev The equation of IValidatorStaking, and that nothing else came or went.
    function invariant_everyWeiIsSomewhere() public view {
        uint256 held = staking.rewards() + staking.owed(treasury);
        for (uint256 i = 0; i < handler.VALIDATORS(); ++i) {
            address account = handler.validator(i);
            IValidatorStaking.Validator memory known = staking.validatorOf(account);
            held += uint256(known.stake) + known.leaving + staking.owed(account);
        }
        vm.assertEq(address(staking).balance, held, "held");
        vm.assertEq(handler.sent(), handler.received() + held, "sent");
    }

    function invariant_votesAreWrappedPlusStakedAndNeverTwice() public view {
        uint256 staked = 0;
        uint256 cast = 0;
        for (uint256 i = 0; i < handler.VALIDATORS(); ++i) {
            address delegatee = handler.validator(i);
            uint256 due = 0;
            for (uint256 j = 0; j < handler.VALIDATORS(); ++j) {
                address account = handler.validator(j);
                if (votes.delegates(account) != delegatee) continue;
                due += votes.balanceOf(account) + staking.validatorOf(account).stake;
            }
            vm.assertEq(votes.getVotes(delegatee), due, "votes");
            cast += due;
            staked += staking.validatorOf(delegatee).stake;
        }
        vm.assertEq(staking.totalStake(), staked, "total stake");
        vm.assertEq(cast, votes.totalSupply() + staked, "votes in all");
    }

    /// @dev Until an epoch is active, who approved it has still at stake what it approved with,
    /// less what was slashed.
    function invariant_locksAreHonoured() public view {
        StakingHandler.Lock[] memory locks = handler.locks();
        for (uint256 i = 0; i < locks.length; ++i) {
            StakingHandler.Lock memory lock = locks[i];
            IValidatorStaking.Validator memory known = staking.validatorOf(lock.validator);
            vm.assertGe(known.lockedUntil, lock.activeAt, "locked");
            if (block.timestamp >= lock.activeAt) continue;
            uint256 slashed = handler.slashed(lock.validator) - lock.slashedBefore;
            vm.assertGe(uint256(known.stake) + known.leaving + slashed, lock.weight, "at stake");
        }
    }
}
