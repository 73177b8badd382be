// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICuration} from "../src/interfaces/ICuration.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {CurationBase} from "./CurationBase.sol";

contract ProvenFaultsTest is CurationBase {
    bytes32 private constant LATER = keccak256("later");
    uint256 private constant SLASHED = CONTRIBUTION_BOND / 2;

    function test_theLaterOfTwoBatchesWithOneRecordLoses() public {
        bytes32[] memory first = _anchorRecords(BATCH, 0, 5);
        vm.warp(block.timestamp + 1);
        bytes32[] memory second = _anchorRecords(LATER, 4, 3); // record 4 again
        ICuration.Opening memory earlier = _opening(BATCH, 4, first, 4);
        ICuration.Opening memory later = _opening(LATER, 4, second, 0);
        // The earlier one is not guilty.
        vm.expectRevert(abi.encodeWithSelector(ICuration.NotADuplicate.selector, LATER, BATCH));
        curation.proveDuplicate(later, earlier);

        uint256 before = bob.balance;
        vm.prank(stranger);
        curation.proveDuplicate(earlier, later);
        _assertState(LATER, IDatanetRegistry.BatchState.Rejected);
        _assertState(BATCH, IDatanetRegistry.BatchState.Anchored);
        vm.assertEq(bob.balance, before + CONTRIBUTION_BOND - SLASHED);
        vm.assertEq(curation.owed(stranger), SLASHED / 2);
        vm.assertEq(curation.owed(governance), SLASHED - SLASHED / 2);
        vm.assertEq(datanets.penaltyOf(bob), 75_000); // half, weighed 15 %
        vm.assertEq(address(curation).balance, 20 * REVIEWER_BOND + SLASHED);
        vm.prank(stranger);
        curation.withdrawOwed(stranger);
        vm.assertEq(curation.owed(stranger), 0);
        // Once is enough.
        vm.expectRevert(
            abi.encodeWithSelector(
                IDatanetRegistry.WrongState.selector, LATER, IDatanetRegistry.BatchState.Rejected
            )
        );
        curation.proveDuplicate(earlier, later);
    }

    function test_whatIsNoDuplicateIsRefused() public {
        bytes32[] memory first = _anchorRecords(BATCH, 0, 2);
        bytes32[] memory second = _anchorRecords(LATER, 1, 2);
        bytes memory refusal =
            abi.encodeWithSelector(ICuration.NotADuplicate.selector, BATCH, LATER);
        // In the same second nobody was first.
        vm.expectRevert(refusal);
        curation.proveDuplicate(_opening(BATCH, 1, first, 1), _opening(LATER, 1, second, 0));
        // Other content.
        vm.expectRevert(refusal);
        curation.proveDuplicate(_opening(BATCH, 0, first, 0), _opening(LATER, 1, second, 0));
        // Another Datanet.
        vm.prank(alice);
        datanets.createDatanet{value: DATANET_FEE}(
            "other", alice, "metadata", LICENCE, IDatanetRegistry.Access.Open
        );
        vm.warp(block.timestamp + 1);
        vm.prank(bob);
        datanets.anchorBatch{value: CONTRIBUTION_BOND}(
            "other", "there", _setRoot(first), 2, bob, PIPELINE
        );
        vm.expectRevert(
            abi.encodeWithSelector(ICuration.NotADuplicate.selector, BATCH, bytes32("there"))
        );
        curation.proveDuplicate(_opening(BATCH, 1, first, 1), _opening("there", 1, first, 1));
        // The record is not in the batch.
        vm.expectRevert(abi.encodeWithSelector(ICuration.InvalidOpening.selector, LATER));
        curation.proveDuplicate(_opening(BATCH, 0, first, 0), _opening(LATER, 0, second, 0));
    }

    function test_aRejectedBatchAccusesNobody() public {
        bytes32[] memory leaves = _anchorRecords(BATCH, 0, 2);
        vm.prank(address(curation));
        datanets.reject(BATCH, 0);
        vm.warp(block.timestamp + 1);
        _anchor(LATER, _setRoot(leaves), 2);
        vm.expectRevert(abi.encodeWithSelector(ICuration.NotADuplicate.selector, BATCH, LATER));
        curation.proveDuplicate(_opening(BATCH, 0, leaves, 0), _opening(LATER, 0, leaves, 0));
    }

    /// @dev Places of the repeated record: two leaves that are siblings, or are not.
    function testFuzz_aRecordTwiceInOneBatch(uint256 size, uint256 place, uint256 again) public {
        size = _bound(size, 2, 9);
        (place, again) = (_bound(place, 0, size - 1), _bound(again, 0, size - 1));
        bytes32[] memory leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            leaves[i] = _leaf(i == again ? place : i);
        }
        _anchor(BATCH, _setRoot(leaves), uint32(size));
        if (place == again) {
            vm.expectRevert(abi.encodeWithSelector(ICuration.NotADuplicate.selector, BATCH, BATCH));
        }
        curation.proveDuplicate(
            _opening(BATCH, place, leaves, place), _opening(BATCH, place, leaves, again)
        );
        _assertState(
            BATCH,
            place == again
                ? IDatanetRegistry.BatchState.Anchored
                : IDatanetRegistry.BatchState.Rejected
        );
    }

    function test_aRecordTwiceUnderTwoNamesInOneBatch() public {
        bytes32[] memory leaves = new bytes32[](2);
        leaves[0] = _leaf(0);
        leaves[1] = Leaf.record(bytes32(uint256(1)), bytes32(uint256(9)), bob);
        _anchor(BATCH, _setRoot(leaves), 2);
        ICuration.Opening memory second = _opening(BATCH, 0, leaves, 1);
        second.cluster = bytes32(uint256(9));
        curation.proveDuplicate(_opening(BATCH, 0, leaves, 0), second);
        _assertState(BATCH, IDatanetRegistry.BatchState.Rejected);
    }

    function test_aRecordInSomebodyElsesName() public {
        bytes32[] memory leaves = new bytes32[](2);
        (leaves[0], leaves[1]) =
        (_leaf(0), Leaf.record(bytes32(uint256(2)), bytes32(uint256(2)), alice));
        _anchor(BATCH, _setRoot(leaves), 2);
        vm.expectRevert(abi.encodeWithSelector(ICuration.NotForeign.selector, bob));
        curation.proveForeign(_opening(BATCH, 0, leaves, 0));
        ICuration.Opening memory foreign = _opening(BATCH, 1, leaves, 1);
        foreign.contributor = alice;
        curation.proveForeign(foreign);
        _assertState(BATCH, IDatanetRegistry.BatchState.Rejected);
    }

    /// @dev An honest count of any size is never refuted, whatever leaf is opened.
    function testFuzz_aTrueCountStands(uint256 size, uint256 place) public {
        size = _bound(size, 1, 40);
        bytes32[] memory leaves = _anchorRecords(BATCH, 0, size);
        place = _bound(place, 0, size - 1);
        ICuration.Opening memory opening = _opening(BATCH, place, leaves, place);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICuration.CountPossible.selector, uint32(size), opening.proof.length
            )
        );
        curation.proveMiscounted(opening);
    }

    function test_aCountThatItsTreeCannotHave() public {
        bytes32[] memory leaves = new bytes32[](8);
        for (uint256 i = 0; i < 8; ++i) {
            leaves[i] = _leaf(i);
        }
        _anchor(BATCH, _setRoot(leaves), 17); // at depth 4 or 5, not 3
        curation.proveMiscounted(_opening(BATCH, 3, leaves, 3));
        _assertState(BATCH, IDatanetRegistry.BatchState.Rejected);
        _anchor(LATER, _setRoot(leaves), 4); // at depth 2
        curation.proveMiscounted(_opening(LATER, 3, leaves, 3));
        _assertState(LATER, IDatanetRegistry.BatchState.Rejected);
    }

    function test_aProofEndsADispute() public {
        bytes32[] memory leaves = new bytes32[](2);
        leaves[0] = _leaf(0);
        leaves[1] = _leaf(0);
        _anchor(BATCH, _setRoot(leaves), 2);
        uint256 caseId = _challenge();
        curation.proveDuplicate(_opening(BATCH, 0, leaves, 0), _opening(BATCH, 0, leaves, 1));
        _panel(caseId, 3);
        _close(caseId); // nothing is slashed twice
        vm.assertEq(curation.owed(stranger), CONTRIBUTION_BOND);
        _assertState(BATCH, IDatanetRegistry.BatchState.Rejected);
    }

    function test_aReleasedBatchIsRejectedAllTheSame() public {
        bytes32[] memory first = _anchorRecords(BATCH, 0, 1);
        vm.warp(block.timestamp + 1);
        bytes32[] memory second = _anchorRecords(LATER, 0, 1);
        vm.warp(block.timestamp + WINDOW);
        datanets.releaseBond(LATER);
        curation.proveDuplicate(_opening(BATCH, 0, first, 0), _opening(LATER, 0, second, 0));
        _assertState(LATER, IDatanetRegistry.BatchState.Rejected);
        vm.assertEq(datanets.penaltyOf(bob), 75_000);
    }
}
