// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {VotingOpen} from "../src/VotingOpen.sol";
import {ICuration} from "../src/interfaces/ICuration.sol";
import {CurationBase} from "./CurationBase.sol";

/// @notice Gas of curation and of votes; see GasTest.
/// forge-config: default.isolate = true
contract CurationGasTest is CurationBase {
    function test_proofs() public {
        bytes32[] memory first = _anchorRecords(BATCH, 0, 1_000);
        vm.warp(block.timestamp + 1);
        bytes32[] memory second = _anchorRecords("later", 999, 1_000);
        ICuration.Opening memory earlier = _opening(BATCH, 999, first, 999);
        ICuration.Opening memory later = _opening("later", 999, second, 0);
        vm.prank(stranger);
        curation.proveDuplicate(earlier, later);
        vm.snapshotGasLastCall("gas", "proveDuplicate, two batches of 1,000");
    }

    function test_aCase() public {
        _anchorRecords(BATCH, 0, 1);
        vm.prank(stranger);
        uint256 caseId =
            curation.challenge{value: COST}(BATCH, ICuration.Claim.Quality, EVIDENCE, SALT);
        vm.snapshotGasLastCall("gas", "challenge");
        vm.roll(block.number + 2);
        curation.draw(caseId);
        vm.snapshotGasLastCall("gas", "draw, 3 of 10 reviewers");
        address[] memory seats = curation.roundOf(caseId, 0).seats;
        for (uint256 i = 0; i < 3; ++i) {
            _commit(caseId, seats[i], UPHOLD);
        }
        vm.snapshotGasLastCall("gas", "commit");
        for (uint256 i = 0; i < 3; ++i) {
            _reveal(caseId, seats[i], UPHOLD);
        }
        vm.snapshotGasLastCall("gas", "reveal");
        curation.tally(caseId);
        vm.snapshotGasLastCall("gas", "tally, 3 seats");
        vm.warp(curation.caseOf(caseId).deadline);
        curation.close(caseId);
        vm.snapshotGasLastCall("gas", "close, 3 seats, upheld");
    }

    function test_votes() public {
        VotingOpen voting = new VotingOpen(parameters);
        vm.prank(governance);
        voting.setStaking(stranger);
        vm.prank(alice);
        voting.deposit{value: 1 ether}();
        vm.snapshotGasLastCall("gas", "VotingOpen.deposit, first");
        vm.prank(stranger);
        voting.stakeChanged(bob, 1 ether);
        vm.warp(block.timestamp + 1);
        vm.prank(stranger);
        voting.stakeChanged(bob, 2 ether);
        vm.snapshotGasLastCall("gas", "VotingOpen.stakeChanged");
    }
}
