// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICuration} from "../src/interfaces/ICuration.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {IDebts} from "../src/interfaces/IDebts.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {IReviewers} from "../src/interfaces/IReviewers.sol";
import {CurationBase} from "./CurationBase.sol";

/// @notice Cases: challenges, appeals, known cases, and what they cost and pay.
contract CurationTest is CurationBase {
    function setUp() public override {
        super.setUp();
        _anchorRecords(BATCH, 0, 3);
    }

    function test_anUpheldChallengeSlashesAndPays() public {
        uint256 caseId = _challenge();
        _assertState(BATCH, IDatanetRegistry.BatchState.Disputed);
        address[] memory seats = _panel(caseId, 2);
        uint256 before = bob.balance;
        _close(caseId);
        uint256 slashed = CONTRIBUTION_BOND / 5;
        _assertState(BATCH, IDatanetRegistry.BatchState.Rejected);
        vm.assertEq(datanets.penaltyOf(bob), 30_000);
        vm.assertEq(bob.balance, before + CONTRIBUTION_BOND - slashed);
        vm.assertEq(curation.owed(stranger), CONTRIBUTION_BOND + slashed / 2);
        // The minority pays a thousandth of its bond to the majority.
        uint256 pot = 3 * SEAT_FEE + slashed / 4 + 2 * REVIEWER_BOND / 1_000;
        vm.assertEq(curation.owed(seats[0]), pot / 2);
        vm.assertEq(curation.owed(seats[1]), pot / 2);
        vm.assertEq(curation.owed(seats[2]), 0);
        vm.assertEq(curation.reviewerOf(seats[2]).bond, 2 * REVIEWER_BOND * 999 / 1_000);
        vm.assertEq(curation.reviewerOf(seats[0]).seats, 0);
        vm.assertEq(curation.owed(governance), slashed / 4);
    }

    function test_aDismissedChallengePaysWhoWasAccused() public {
        uint256 caseId = _challenge();
        address[] memory seats = _panel(caseId, 0);
        _close(caseId);
        _assertState(BATCH, IDatanetRegistry.BatchState.Anchored);
        vm.assertEq(curation.owed(stranger), 0);
        vm.assertEq(curation.owed(bob), CONTRIBUTION_BOND / 2);
        uint256 pot = 3 * SEAT_FEE + CONTRIBUTION_BOND / 2;
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(curation.owed(seats[i]), pot / 3);
        }
        vm.assertEq(curation.owed(governance), pot % 3);
        // A whole window again, then the bond goes back.
        vm.expectRevert(
            abi.encodeWithSelector(
                IDatanetRegistry.BondLocked.selector, BATCH, block.timestamp + WINDOW
            )
        );
        datanets.releaseBond(BATCH);
        vm.warp(block.timestamp + WINDOW);
        datanets.releaseBond(BATCH);
    }

    function test_theSeverityFollowsTheClaim() public {
        vm.prank(stranger);
        uint256 caseId =
            curation.challenge{value: COST}(BATCH, ICuration.Claim.Adversarial, EVIDENCE, 0);
        _panel(caseId, 3);
        _close(caseId);
        vm.assertEq(datanets.penaltyOf(bob), 150_000);
        _anchor("second", "root", 1);
        vm.prank(stranger);
        caseId = curation.challenge{value: COST}("second", ICuration.Claim.Plagiarism, EVIDENCE, 0);
        _panel(caseId, 3);
        _close(caseId);
        vm.assertEq(datanets.penaltyOf(bob), 127_500 + 75_000);
    }

    function test_challengeRefuses() public {
        vm.expectRevert(abi.encodeWithSelector(ICuration.WrongValue.selector, COST - 1, COST));
        curation.challenge{value: COST - 1}(BATCH, ICuration.Claim.Quality, EVIDENCE, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetRegistry.UnknownBatch.selector, bytes32("x"))
        );
        curation.challenge{value: COST}("x", ICuration.Claim.Quality, EVIDENCE, 0);
        _challenge();
        vm.expectRevert(
            abi.encodeWithSelector(
                IDatanetRegistry.WrongState.selector, BATCH, IDatanetRegistry.BatchState.Disputed
            )
        );
        curation.challenge{value: COST}(BATCH, ICuration.Claim.Quality, EVIDENCE, 0);
        _anchor("second", "root", 1);
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDatanetRegistry.WindowOver.selector, bytes32("second"), block.timestamp
            )
        );
        curation.challenge{value: COST}("second", ICuration.Claim.Quality, EVIDENCE, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDatanetRegistry.WrongState.selector, BATCH, IDatanetRegistry.BatchState.Disputed
            )
        );
        datanets.releaseBond(BATCH); // a dispute holds it
    }

    function test_anAppealOverturns() public {
        uint256 caseId = _challenge();
        _panel(caseId, 3);
        uint256 cost = 2 * CONTRIBUTION_BOND + 7 * SEAT_FEE;
        vm.assertEq(curation.appealCostOf(caseId), cost);
        vm.expectRevert(abi.encodeWithSelector(ICuration.WrongValue.selector, cost + 1, cost));
        vm.prank(bob);
        curation.appeal{value: cost + 1}(caseId);
        vm.prank(bob);
        curation.appeal{value: cost}(caseId);
        address[] memory seats = _panel(caseId, 1);
        vm.assertEq(seats.length, 7);
        uint256 deadline = curation.caseOf(caseId).deadline;
        vm.expectRevert(abi.encodeWithSelector(ICuration.TooEarly.selector, caseId, deadline));
        curation.close(caseId);
        _close(caseId);
        _assertState(BATCH, IDatanetRegistry.BatchState.Anchored);
        // His stake back, and half of the challenger's.
        vm.assertEq(curation.owed(bob), 2 * CONTRIBUTION_BOND + CONTRIBUTION_BOND / 2);
        vm.assertEq(datanets.penaltyOf(bob), 0);
    }

    function test_aFailedAppealCostsItsStake() public {
        uint256 caseId = _challenge();
        _panel(caseId, 3);
        uint256 cost = curation.appealCostOf(caseId);
        vm.prank(bob);
        curation.appeal{value: cost}(caseId);
        _panel(caseId, 7);
        cost = curation.appealCostOf(caseId);
        vm.assertEq(cost, 4 * CONTRIBUTION_BOND + 15 * SEAT_FEE);
        vm.prank(bob);
        curation.appeal{value: cost}(caseId);
        _panel(caseId, 9);
        vm.expectRevert(abi.encodeWithSelector(ICuration.LastRound.selector, caseId, 2));
        curation.appeal{value: 1}(caseId);
        _close(caseId);
        vm.assertEq(curation.owed(bob), 0);
        _assertState(BATCH, IDatanetRegistry.BatchState.Rejected);
    }

    function test_anAppealWithoutPanelLeavesTheVerdict() public {
        uint256 caseId = _challenge();
        _panel(caseId, 3);
        vm.prank(bob);
        curation.appeal{value: 2 * CONTRIBUTION_BOND + 7 * SEAT_FEE}(caseId);
        for (uint256 i = 0; i < 8; ++i) {
            vm.prank(_reviewer(i));
            curation.resign();
        }
        vm.assertEq(_draw(caseId).length, 0);
        _close(caseId);
        vm.assertEq(curation.owed(bob), 2 * CONTRIBUTION_BOND);
        _assertState(BATCH, IDatanetRegistry.BatchState.Rejected);
    }

    function test_appealsEndWithTheDeadline() public {
        uint256 caseId = _challenge();
        _panel(caseId, 3);
        uint256 deadline = curation.caseOf(caseId).deadline;
        vm.warp(deadline);
        uint256 cost = curation.appealCostOf(caseId);
        vm.expectRevert(abi.encodeWithSelector(ICuration.TooLate.selector, caseId, deadline));
        curation.appeal{value: cost}(caseId);
    }

    function test_aKnownCaseScoresReviewersAndRejectsNothing() public {
        vm.prank(governance);
        curation.setKeeper(operator);
        vm.assertEq(curation.keeper(), operator);
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 batchId = bytes32(i + 1);
            _anchor(batchId, "root", 1);
            bytes32 seal = curation.sealOf(operator, batchId, UPHOLD, SALT);
            vm.prank(stranger);
            uint256 caseId =
                curation.challenge{value: COST}(batchId, ICuration.Claim.Quality, EVIDENCE, seal);
            address[] memory seats = _panel(caseId, i == 0 ? 2 : 0);
            if (i == 0) _refuseUnsealing(caseId);
            vm.prank(operator);
            curation.unseal(caseId, UPHOLD, SALT);
            _assertStage(caseId, ICuration.Stage.Closed);
            _assertState(batchId, IDatanetRegistry.BatchState.Anchored);
            for (uint256 j = 0; j < 3; ++j) {
                IReviewers.Reviewer memory reviewer = curation.reviewerOf(seats[j]);
                vm.assertGe(reviewer.known, 1, "known");
                // Two known cases are the sample here, and seven tenths must be right.
                if (reviewer.known < 2 || reviewer.right == 2) continue;
                vm.assertEq(reviewer.since, 0);
                vm.expectRevert(
                    abi.encodeWithSelector(
                        IReviewers.NotAccurate.selector, seats[j], reviewer.right, reviewer.known
                    )
                );
                vm.prank(seats[j]);
                curation.enlist{value: REVIEWER_BOND}();
            }
        }
        vm.assertEq(curation.owed(stranger), 2 * CONTRIBUTION_BOND);
        vm.assertEq(datanets.penaltyOf(bob), 0);
    }

    function test_whoIsWrongTooOftenIsNoLongerDrawn() public {
        // Only three reviewers are left: each sits in both cases.
        for (uint256 i = 3; i < 10; ++i) {
            vm.prank(_reviewer(i));
            curation.resign();
        }
        vm.prank(governance);
        curation.setKeeper(operator);
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 batchId = bytes32(i + 1);
            _anchor(batchId, "root", 1);
            bytes32 seal = curation.sealOf(operator, batchId, DISMISS, SALT);
            vm.prank(stranger);
            uint256 caseId =
                curation.challenge{value: COST}(batchId, ICuration.Claim.Quality, EVIDENCE, seal);
            _panel(caseId, 3);
            vm.prank(operator);
            curation.unseal(caseId, DISMISS, SALT);
        }
        vm.assertEq(curation.reviewers(), 0);
        vm.expectRevert(abi.encodeWithSelector(IReviewers.NotAccurate.selector, _reviewer(0), 0, 2));
        vm.prank(_reviewer(0));
        curation.enlist{value: REVIEWER_BOND}();
        // Nobody was right: the fees go to the governance.
        vm.assertGe(curation.owed(governance), 6 * SEAT_FEE, "fees");
    }

    function test_closingUnsealingAndWithdrawingRefuse() public {
        uint256 caseId = _challenge();
        vm.expectRevert(
            abi.encodeWithSelector(ICuration.WrongStage.selector, caseId, ICuration.Stage.Drawing)
        );
        curation.close(caseId);
        vm.expectRevert(IDebts.ZeroAmount.selector);
        curation.withdrawOwed(alice);
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, alice));
        vm.prank(alice);
        curation.setKeeper(alice);
        (bool ok,) = address(curation).call{value: 1}("");
        vm.assertEq(ok, false);
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IDatanetRegistry.NotCuration.selector, address(this))
            );
            if (i == 0) datanets.dispute(BATCH);
            else if (i == 1) datanets.acquit(BATCH);
            else if (i == 2) datanets.reject(BATCH, 1);
            else datanets.reject("unknown", 1);
        }
        vm.expectRevert(
            abi.encodeWithSelector(
                IDatanetRegistry.WrongState.selector, BATCH, IDatanetRegistry.BatchState.Disputed
            )
        );
        vm.prank(address(curation));
        datanets.dispute(BATCH);
    }

    function _refuseUnsealing(uint256 caseId) private {
        vm.expectRevert(abi.encodeWithSelector(ICuration.NotKeeper.selector, address(this)));
        curation.unseal(caseId, UPHOLD, SALT);
        vm.expectRevert(abi.encodeWithSelector(ICuration.WrongSeal.selector, caseId));
        vm.prank(operator);
        curation.unseal(caseId, DISMISS, SALT);
        uint256 deadline = curation.caseOf(caseId).deadline;
        uint256 time = block.timestamp;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(ICuration.TooLate.selector, caseId, deadline));
        vm.prank(operator);
        curation.unseal(caseId, UPHOLD, SALT);
        vm.warp(time);
    }
}
