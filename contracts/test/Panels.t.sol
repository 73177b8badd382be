// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICuration} from "../src/interfaces/ICuration.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {CurationBase} from "./CurationBase.sol";

/// @notice Panels: how they are drawn, vote and are counted.
contract PanelsTest is CurationBase {
    function setUp() public override {
        super.setUp();
        _anchorRecords(BATCH, 0, 3);
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
}
