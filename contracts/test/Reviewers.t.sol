// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IReviewers} from "../src/interfaces/IReviewers.sol";
import {CurationBase} from "./CurationBase.sol";

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
