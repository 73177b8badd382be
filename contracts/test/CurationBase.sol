// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICuration} from "../src/interfaces/ICuration.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {IReviewers} from "../src/interfaces/IReviewers.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Test} from "./Test.sol";

/// @notice What the tests call on Curation. It is deployed by its artifact: a test that imported it
/// would be compiled for size, as it is.
interface ICurationContract is ICuration, IReviewers {
    function MAX_REVIEWERS() external view returns (uint256);
}

/// @notice A Datanet with a batch of bob's, ten reviewers, and the steps of a case.
abstract contract CurationBase is Test {
    bytes32 internal constant DATANET = keccak256("dn_1");
    bytes32 internal constant BATCH = keccak256("batch");
    bytes32 internal constant PIPELINE = keccak256("pipeline");
    bytes32 internal constant EVIDENCE = keccak256("evidence");
    bytes32 internal constant SALT = keccak256("salt");
    uint256 internal constant PHASE = 50;
    uint256 internal constant SEAT_FEE = 0.01 ether;
    uint256 internal constant REVIEWER_BOND = 1 ether;
    uint256 internal constant COST = CONTRIBUTION_BOND + 3 * SEAT_FEE;

    ICuration.Verdict internal constant UPHOLD = ICuration.Verdict.Uphold;
    ICuration.Verdict internal constant DISMISS = ICuration.Verdict.Dismiss;

    ICurationContract internal curation;

    function setUp() public virtual override {
        super.setUp();
        vm.roll(1_000);
        curation = ICurationContract(
            vm.deployCode("Curation.sol:Curation", abi.encode(parameters, datanets))
        );
        vm.prank(governance);
        datanets.setCuration(address(curation));
        vm.prank(alice);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, alice, "metadata", LICENCE, IDatanetRegistry.Access.Open
        );
        _enlist(10);
        vm.warp(block.timestamp + 1);
    }

    function _reviewer(uint256 i) internal pure returns (address) {
        return address(uint160(0xD000 + i));
    }

    function _enlist(uint256 count) internal {
        for (uint256 i = 0; i < count; ++i) {
            vm.deal(_reviewer(i), 10 ether);
            vm.prank(_reviewer(i));
            curation.enlist{value: 2 * REVIEWER_BOND}();
        }
    }

    function _anchor(bytes32 batchId, bytes32 root, uint32 count) internal {
        vm.prank(bob);
        datanets.anchorBatch{value: CONTRIBUTION_BOND}(DATANET, batchId, root, count, bob, PIPELINE);
    }

    /// @dev Record `i` of bob's and a batch of `count` of them from `first` on.
    function _leaf(uint256 i) internal view returns (bytes32) {
        return Leaf.record(bytes32(i + 1), bytes32(i + 1), bob);
    }

    function _anchorRecords(bytes32 batchId, uint256 first, uint256 count)
        internal
        returns (bytes32[] memory leaves)
    {
        leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = _leaf(first + i);
        }
        _anchor(batchId, _setRoot(leaves), uint32(count));
    }

    function _opening(bytes32 batchId, uint256 record, bytes32[] memory leaves, uint256 place)
        internal
        view
        returns (ICuration.Opening memory)
    {
        return ICuration.Opening({
            batchId: batchId,
            recordHash: bytes32(record + 1),
            cluster: bytes32(record + 1),
            contributor: bob,
            proof: _setProof(leaves, place)
        });
    }

    function _challenge() internal returns (uint256 caseId) {
        vm.prank(stranger);
        caseId = curation.challenge{value: COST}(
            BATCH, ICuration.Claim.Quality, EVIDENCE, bytes32(uint256(1))
        );
    }

    function _draw(uint256 caseId) internal returns (address[] memory) {
        vm.roll(block.number + 2);
        curation.draw(caseId);
        return curation.roundOf(caseId, curation.caseOf(caseId).round).seats;
    }

    function _commit(uint256 caseId, address seat, ICuration.Verdict verdict) internal {
        uint8 round = curation.caseOf(caseId).round;
        bytes32 commitment = curation.commitmentOf(caseId, round, seat, verdict, EVIDENCE, SALT);
        vm.prank(seat);
        curation.commit(caseId, commitment);
    }

    function _reveal(uint256 caseId, address seat, ICuration.Verdict verdict) internal {
        vm.prank(seat);
        curation.reveal(caseId, verdict, EVIDENCE, SALT);
    }

    /// @dev A whole panel of which the first `upheld` uphold and the rest dismiss.
    function _panel(uint256 caseId, uint256 upheld) internal returns (address[] memory seats) {
        seats = _draw(caseId);
        for (uint256 i = 0; i < seats.length; ++i) {
            _commit(caseId, seats[i], _vote(i, upheld));
        }
        for (uint256 i = 0; i < seats.length; ++i) {
            _reveal(caseId, seats[i], _vote(i, upheld));
        }
        curation.tally(caseId);
    }

    function _vote(uint256 i, uint256 upheld) internal pure returns (ICuration.Verdict) {
        return i < upheld ? UPHOLD : DISMISS;
    }

    function _close(uint256 caseId) internal {
        vm.warp(curation.caseOf(caseId).deadline);
        curation.close(caseId);
    }

    function _stateOf(bytes32 batchId) internal view returns (IDatanetRegistry.BatchState) {
        return datanets.batchOf(batchId).state;
    }

    function _assertState(bytes32 batchId, IDatanetRegistry.BatchState state) internal view {
        vm.assertEq(uint256(_stateOf(batchId)), uint256(state));
    }

    function _assertStage(uint256 caseId, ICuration.Stage stage) internal view {
        vm.assertEq(uint256(curation.caseOf(caseId).stage), uint256(stage));
    }
}
