// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICuration} from "../src/interfaces/ICuration.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {IReviewers} from "../src/interfaces/IReviewers.sol";
import {CurationBase} from "./CurationBase.sol";

contract CurationTest is CurationBase {
    ICuration.Verdict private constant UPHOLD = ICuration.Verdict.Uphold;
    ICuration.Verdict private constant DISMISS = ICuration.Verdict.Dismiss;

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
        vm.assertEq(datanets.rewardFactorOf(bob), 567_971);
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

    function test_partiesAndNewcomersAreNotDrawn() public {
        for (uint256 i = 0; i < 10; ++i) {
            vm.prank(_reviewer(i));
            curation.resign();
        }
        address[4] memory parties = [alice, bob, stranger, governance];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(parties[i]);
            curation.enlist{value: REVIEWER_BOND}();
        }
        for (uint256 i = 0; i < 5; ++i) {
            vm.prank(_reviewer(i));
            curation.enlist();
        }
        vm.warp(block.timestamp + 1);
        uint256 caseId = _challenge();
        for (uint256 i = 5; i < 10; ++i) {
            vm.prank(_reviewer(i));
            curation.enlist();
        }
        address[] memory seats = _draw(caseId);
        for (uint256 i = 0; i < seats.length; ++i) {
            vm.assertTrue(uint160(seats[i]) < 0xD005 && uint160(seats[i]) >= 0xD000, "seat");
        }
    }

    function test_aDrawWaitsForItsBlockAndMovesOn() public {
        uint256 caseId = _challenge();
        vm.expectRevert(
            abi.encodeWithSelector(ICuration.TooEarly.selector, caseId, block.number + 1)
        );
        curation.draw(caseId);
        vm.roll(block.number + 300); // the hash is forgotten
        curation.draw(caseId);
        _assertStage(caseId, ICuration.Stage.Drawing);
        vm.assertEq(curation.caseOf(caseId).drawBlock, block.number + 1);
        vm.assertEq(_draw(caseId).length, 3);
    }

    function test_withoutReviewersEverybodyGetsItBack() public {
        for (uint256 i = 0; i < 8; ++i) {
            vm.prank(_reviewer(i));
            curation.resign();
        }
        uint256 caseId = _challenge();
        vm.assertEq(_draw(caseId).length, 0);
        _close(caseId);
        vm.assertEq(curation.owed(stranger), COST);
        _assertState(BATCH, IDatanetRegistry.BatchState.Anchored);
    }

    function testFuzz_seatsAreOddAndDifferent(uint256 blocks) public {
        vm.prank(governance);
        parameters.set("curation.panel", 15);
        vm.prank(stranger);
        uint256 caseId = curation.challenge{value: CONTRIBUTION_BOND + 15 * SEAT_FEE}(
            BATCH, ICuration.Claim.Quality, EVIDENCE, 0
        );
        vm.prank(governance);
        parameters.set("curation.panel", 5); // what is left is enough
        vm.roll(block.number + 2 + _bound(blocks, 0, 200));
        curation.draw(caseId);
        address[] memory seats = curation.roundOf(caseId, 0).seats;
        vm.assertEq(seats.length, 5);
        for (uint256 i = 0; i < seats.length; ++i) {
            vm.assertEq(curation.reviewerOf(seats[i]).seats, 1);
        }
    }

    function test_votesAreBoundAndSecretUntilAllAreIn() public {
        uint256 caseId = _challenge();
        address[] memory seats = _draw(caseId);
        uint40 commitBy = curation.roundOf(caseId, 0).commitBy;
        _commit(caseId, seats[0], UPHOLD);
        vm.expectRevert(abi.encodeWithSelector(ICuration.TooEarly.selector, caseId, commitBy));
        _reveal(caseId, seats[0], UPHOLD);
        bytes32 copied = curation.commitmentOf(caseId, 0, seats[0], UPHOLD, EVIDENCE, SALT);
        vm.prank(seats[1]);
        curation.commit(caseId, copied); // a copied vote cannot be revealed
        _commit(caseId, seats[2], UPHOLD);
        vm.expectRevert(abi.encodeWithSelector(ICuration.WrongReveal.selector, caseId, seats[1]));
        _reveal(caseId, seats[1], UPHOLD);
        vm.expectRevert(abi.encodeWithSelector(ICuration.WrongReveal.selector, caseId, seats[0]));
        _reveal(caseId, seats[0], DISMISS);
        vm.expectRevert(abi.encodeWithSelector(ICuration.WrongReveal.selector, caseId, seats[0]));
        _reveal(caseId, seats[0], ICuration.Verdict.None);
        _reveal(caseId, seats[0], UPHOLD);
        vm.expectRevert(abi.encodeWithSelector(ICuration.AlreadyVoted.selector, caseId, seats[0]));
        _reveal(caseId, seats[0], UPHOLD);
        vm.assertEq(uint256(curation.voteOf(caseId, 0, seats[0])), uint256(UPHOLD));
    }

    function test_votingRefuses() public {
        uint256 caseId = _challenge();
        vm.expectRevert(
            abi.encodeWithSelector(ICuration.WrongStage.selector, caseId, ICuration.Stage.Drawing)
        );
        curation.commit(caseId, SALT);
        address[] memory seats = _draw(caseId);
        vm.expectRevert(abi.encodeWithSelector(ICuration.NotSeated.selector, caseId, address(this)));
        curation.commit(caseId, SALT);
        vm.expectRevert(abi.encodeWithSelector(ICuration.WrongReveal.selector, caseId, seats[0]));
        vm.prank(seats[0]);
        curation.commit(caseId, 0);
        _commit(caseId, seats[0], UPHOLD);
        vm.expectRevert(abi.encodeWithSelector(ICuration.AlreadyVoted.selector, caseId, seats[0]));
        vm.prank(seats[0]);
        curation.commit(caseId, SALT);
        ICuration.Round memory round = curation.roundOf(caseId, 0);
        vm.expectRevert(abi.encodeWithSelector(ICuration.TooEarly.selector, caseId, round.revealBy));
        curation.tally(caseId);
        vm.warp(round.commitBy);
        vm.expectRevert(abi.encodeWithSelector(ICuration.TooLate.selector, caseId, round.commitBy));
        vm.prank(seats[1]);
        curation.commit(caseId, SALT);
        vm.warp(round.revealBy);
        vm.expectRevert(abi.encodeWithSelector(ICuration.TooLate.selector, caseId, round.revealBy));
        _reveal(caseId, seats[0], UPHOLD);
    }

    function test_oneVoteOfThreeIsTooFew() public {
        vm.prank(governance);
        parameters.set("curation.rounds", 1);
        uint256 caseId = _challenge();
        address[] memory seats = _draw(caseId);
        _commit(caseId, seats[0], DISMISS);
        vm.warp(curation.roundOf(caseId, 0).commitBy);
        _reveal(caseId, seats[0], DISMISS);
        curation.tally(caseId); // nobody else can vote any more
        vm.assertEq(uint256(curation.caseOf(caseId).verdict), uint256(ICuration.Verdict.None));
        _close(caseId);
        vm.assertEq(curation.owed(stranger), CONTRIBUTION_BOND);
        // The one who voted is paid the fees and what the absent lost.
        vm.assertEq(curation.owed(seats[0]), 3 * SEAT_FEE + 2 * (2 * REVIEWER_BOND / 1_000));
        vm.assertEq(curation.owed(seats[1]), 0);
    }

    function test_anEvenNumberOfReviewersLeavesOneOut() public {
        for (uint256 i = 4; i < 10; ++i) {
            vm.prank(_reviewer(i));
            curation.resign();
        }
        vm.prank(governance);
        parameters.set("curation.majority", 1_000_000);
        uint256 caseId = _challenge();
        _panel(caseId, 1);
        vm.assertEq(_draw(caseId).length, 3); // of four
    }

    function test_absenceAndHidingCost() public {
        uint256 caseId = _challenge();
        address[] memory seats = _draw(caseId);
        _commit(caseId, seats[0], UPHOLD);
        vm.warp(curation.roundOf(caseId, 0).revealBy);
        curation.tally(caseId);
        vm.assertEq(curation.reviewerOf(seats[0]).bond, 2 * REVIEWER_BOND * 995 / 1_000);
        vm.assertEq(curation.reviewerOf(seats[1]).bond, 2 * REVIEWER_BOND * 999 / 1_000);
        // Nobody decided: a larger panel.
        vm.assertEq(curation.caseOf(caseId).round, 1);
        vm.assertEq(_draw(caseId).length, 7);
    }

    function test_withoutMajorityToTheEndTheBatchIsAcquitted() public {
        vm.prank(governance);
        parameters.set("curation.majority", 1_000_000);
        uint256 caseId = _challenge();
        _panel(caseId, 1);
        _panel(caseId, 3);
        address[] memory last = _panel(caseId, 5);
        vm.assertEq(last.length, 9); // of ten, an odd number
        _close(caseId);
        _assertState(BATCH, IDatanetRegistry.BatchState.Anchored);
        vm.assertEq(curation.owed(stranger), CONTRIBUTION_BOND); // the fees are spent
        uint256 paid = 0;
        for (uint256 i = 0; i < 10; ++i) {
            paid += curation.owed(_reviewer(i));
            vm.assertEq(curation.reviewerOf(_reviewer(i)).bond, 2 * REVIEWER_BOND);
            vm.assertEq(curation.reviewerOf(_reviewer(i)).seats, 0);
        }
        vm.assertEq(paid + curation.owed(governance), 3 * SEAT_FEE);
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
        vm.expectRevert(abi.encodeWithSelector(ICuration.NothingOwed.selector, alice));
        curation.withdraw(alice);
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

contract ReviewersTest is CurationBase {
    function test_enlistingAndLeaving() public {
        vm.expectRevert(
            abi.encodeWithSelector(IReviewers.BondTooLow.selector, alice, 1, REVIEWER_BOND)
        );
        vm.prank(alice);
        curation.enlist{value: 1}();
        vm.expectRevert(abi.encodeWithSelector(IReviewers.NotListed.selector, alice));
        vm.prank(alice);
        curation.resign();
        vm.startPrank(_reviewer(0));
        curation.enlist{value: 1}(); // more at stake, still one place
        vm.assertEq(curation.reviewers(), 10);
        vm.expectRevert(abi.encodeWithSelector(IReviewers.StillListed.selector, _reviewer(0)));
        curation.returnBond();
        curation.resign();
        vm.assertEq(curation.reviewers(), 9);
        uint256 before = _reviewer(0).balance;
        curation.returnBond();
        vm.assertEq(_reviewer(0).balance, before + 2 * REVIEWER_BOND + 1);
        vm.stopPrank();
    }

    function test_aSeatHoldsTheBond() public {
        _anchorRecords(BATCH, 0, 1);
        uint256 caseId = _challenge();
        address[] memory seats = _draw(caseId);
        vm.startPrank(seats[0]);
        curation.resign();
        vm.expectRevert(abi.encodeWithSelector(IReviewers.StillSeated.selector, seats[0], 1));
        curation.returnBond();
        vm.stopPrank();
        vm.warp(curation.roundOf(caseId, 0).revealBy);
        curation.tally(caseId);
    }

    function test_whoHasTooLittleLeftIsNoLongerDrawn() public {
        vm.prank(governance);
        parameters.set("curation.missPenalty", 500_000);
        for (uint256 i = 0; i < 10; ++i) {
            vm.prank(_reviewer(i));
            curation.resign();
        }
        vm.prank(governance);
        parameters.set("curation.reviewerBond", 2.5 ether);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(_reviewer(i));
            curation.enlist{value: 0.5 ether}();
        }
        vm.warp(block.timestamp + 1);
        _anchorRecords(BATCH, 0, 1);
        uint256 caseId = _challenge();
        _draw(caseId);
        vm.prank(governance);
        parameters.set("curation.reviewerBond", 3 ether);
        vm.warp(curation.roundOf(caseId, 0).revealBy);
        curation.tally(caseId);
        vm.assertEq(curation.reviewers(), 0);
        vm.assertEq(curation.reviewerOf(_reviewer(0)).bond, 1.25 ether);
    }

    function test_theListIsBounded() public {
        uint256 max = curation.MAX_REVIEWERS();
        for (uint256 i = 10; i < max; ++i) {
            vm.deal(_reviewer(i), 1 ether);
            vm.prank(_reviewer(i));
            curation.enlist{value: 1 ether}();
        }
        vm.expectRevert(abi.encodeWithSelector(IReviewers.TooManyReviewers.selector, max));
        vm.prank(alice);
        curation.enlist{value: 1 ether}();
    }
}
