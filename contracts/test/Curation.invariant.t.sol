// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DatanetRegistry} from "../src/DatanetRegistry.sol";
import {Parameters} from "../src/Parameters.sol";
import {ICuration} from "../src/interfaces/ICuration.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {IReviewers} from "../src/interfaces/IReviewers.sol";
import {CurationBase, ICurationContract} from "./CurationBase.sol";

/// @notice Random but valid use of Curation: a step that cannot be valid now does nothing, every
/// other one must succeed.
contract CurationHandler is CurationBase {
    uint256 public constant REVIEWERS = 12;

    address private immutable KEEPER;
    uint256 public batches;

    constructor(
        Parameters parameters_,
        DatanetRegistry datanets_,
        ICurationContract curation_,
        address keeper
    ) {
        (parameters, datanets, curation, KEEPER) = (parameters_, datanets_, curation_, keeper);
    }

    /// @dev The handler uses a system that exists.
    function setUp() public override {}

    function reviewer(uint256 i) public pure returns (address) {
        return _reviewer(i % REVIEWERS);
    }

    function party(uint256 i) public view returns (address) {
        return [alice, bob, stranger][i % 3];
    }

    function batch(uint256 i) public pure returns (bytes32) {
        return keccak256(abi.encode("batch", i));
    }

    function enlist(uint256 who, uint256 amount) external {
        address account = reviewer(who);
        IReviewers.Reviewer memory known = curation.reviewerOf(account);
        amount = _bound(amount, REVIEWER_BOND, 3 ether);
        if (known.known >= 2 && known.right * 10 < known.known * 7) return; // as the rules have it
        vm.deal(account, amount);
        vm.prank(account);
        curation.enlist{value: amount}();
    }

    function quit(uint256 who) external {
        IReviewers.Reviewer memory known = curation.reviewerOf(reviewer(who));
        if (known.since == 0 && known.seats != 0) return;
        vm.prank(reviewer(who));
        if (known.since != 0) curation.resign();
        else curation.returnBond();
    }

    function challenge(uint256 who, uint256 claim, bool isKnown) external {
        bytes32 batchId = batch(batches);
        vm.deal(bob, CONTRIBUTION_BOND);
        _anchor(batchId, _leaf(batches++ % 3), 1); // the same three records again and again
        bytes32 seal =
            isKnown ? curation.sealOf(KEEPER, batchId, ICuration.Verdict.Uphold, SALT) : bytes32(0);
        uint256 cost = curation.costOf(batchId);
        address challenger = party(who);
        vm.deal(challenger, cost);
        vm.prank(challenger);
        curation.challenge{value: cost}(batchId, ICuration.Claim(claim % 3), EVIDENCE, seal);
    }

    /// @dev The next steps of some case, with votes, silence and secrets at random.
    function advance(uint256 which, uint256 steps, uint256 votes, uint256 choice) external {
        uint256 count = curation.cases();
        if (count == 0) return;
        uint256 caseId = 1 + which % count;
        for (uint256 i = 0; i <= steps % 8; ++i) {
            ICuration.Stage stage = curation.caseOf(caseId).stage;
            if (stage == ICuration.Stage.Drawing) _draw(caseId);
            else if (stage == ICuration.Stage.Voting) _voteAndTally(caseId, votes >> (60 * (i / 3)));
            else if (stage == ICuration.Stage.Decided) _decide(caseId, choice >> i);
        }
    }

    function prove(uint256 which, uint256 other) external {
        if (batches == 0) return;
        (which, other) = (which % batches, other % batches);
        IDatanetRegistry.Batch memory first = datanets.batchOf(batch(which));
        IDatanetRegistry.Batch memory second = datanets.batchOf(batch(other));
        if (which % 3 != other % 3 || first.anchoredAt >= second.anchoredAt) return;
        IDatanetRegistry.BatchState rejected = IDatanetRegistry.BatchState.Rejected;
        if (first.state == rejected || second.state == rejected) return;
        vm.prank(stranger);
        curation.proveDuplicate(_opening(which), _opening(other));
    }

    function release(uint256 which) external {
        if (batches == 0) return;
        bytes32 batchId = batch(which % batches);
        IDatanetRegistry.Batch memory known = datanets.batchOf(batchId);
        if (known.state != IDatanetRegistry.BatchState.Anchored) return;
        if (block.timestamp < uint256(known.anchoredAt) + known.window) return;
        datanets.releaseBond(batchId);
    }

    function withdraw(uint256 who) external {
        address account = who % 2 == 0 ? party(who / 2) : reviewer(who / 2);
        if (curation.owed(account) == 0) return;
        vm.prank(account);
        curation.withdrawOwed(account);
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, PHASE / 2));
        vm.roll(block.number + 1 + time % 300);
    }

    function _opening(uint256 which) private view returns (ICuration.Opening memory) {
        bytes32 record = bytes32(which % 3 + 1);
        return ICuration.Opening({
            batchId: batch(which),
            recordHash: record,
            cluster: record,
            contributor: bob,
            proof: new bytes32[](0)
        });
    }

    function _voteAndTally(uint256 caseId, uint256 votes) private {
        uint8 number = curation.caseOf(caseId).round;
        ICuration.Round memory round = curation.roundOf(caseId, number);
        if (round.committed != 0 || block.timestamp >= round.commitBy) {
            if (block.timestamp < round.revealBy) vm.warp(round.revealBy);
            curation.tally(caseId);
            return;
        }
        for (uint256 i = 0; i < round.seats.length; ++i) {
            if ((votes >> (4 * i)) % 8 != 7) {
                _commit(caseId, round.seats[i], _verdict(votes, i));
            }
        }
        vm.warp(round.commitBy);
        for (uint256 i = 0; i < round.seats.length; ++i) {
            if ((votes >> (4 * i)) % 8 < 6) _reveal(caseId, round.seats[i], _verdict(votes, i));
        }
    }

    function _decide(uint256 caseId, uint256 choice) private {
        ICuration.Case memory current = curation.caseOf(caseId);
        bool open = block.timestamp < current.deadline;
        if (choice % 3 == 0 && open) {
            uint256 cost = curation.appealCostOf(caseId);
            address appellant = party(choice / 3);
            vm.deal(appellant, cost);
            vm.prank(appellant);
            curation.appeal{value: cost}(caseId);
        } else if (choice % 3 == 1 && open && current.seal != 0) {
            vm.prank(KEEPER);
            curation.unseal(caseId, ICuration.Verdict.Uphold, SALT);
        } else {
            _close(caseId);
        }
    }

    function _verdict(uint256 votes, uint256 i) private pure returns (ICuration.Verdict) {
        return _vote((votes >> (4 * i + 3)) & 1, 1);
    }
}

/// @notice Whatever happens in panels, every wei is a bond, part of an open case, or owed.
contract CurationInvariants is CurationBase {
    CurationHandler private handler;

    function setUp() public override {
        super.setUp();
        vm.prank(governance);
        curation.setKeeper(operator);
        handler = new CurationHandler(parameters, datanets, curation, operator);
    }

    /// @dev What forge calls: the handler alone.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_curationHoldsExactlyWhatItOwes() public view {
        uint256 held = curation.owed(governance);
        for (uint256 i = 0; i < 3; ++i) {
            held += curation.owed(handler.party(i));
        }
        for (uint256 i = 0; i < handler.REVIEWERS(); ++i) {
            address account = handler.reviewer(i);
            held += curation.owed(account) + curation.reviewerOf(account).bond;
        }
        for (uint256 caseId = 1; caseId <= curation.cases(); ++caseId) {
            ICuration.Case memory current = curation.caseOf(caseId);
            if (current.stage == ICuration.Stage.Closed) continue;
            held += uint256(current.stake) + current.pot;
            for (uint8 number = 0; number <= current.round; ++number) {
                held += curation.roundOf(caseId, number).stake;
            }
        }
        vm.assertEq(address(curation).balance, held, "held");
    }

    function invariant_theRegistryHoldsFeesAndBonds() public view {
        uint256 held = datanets.fees();
        for (uint256 i = 0; i < handler.batches(); ++i) {
            held += datanets.batchOf(handler.batch(i)).bond;
        }
        vm.assertEq(address(datanets).balance, held, "held");
    }

    function invariant_seatsAreThoseOfOpenCases() public view {
        uint256 taken = 0;
        uint256 listed = 0;
        for (uint256 i = 0; i < handler.REVIEWERS(); ++i) {
            IReviewers.Reviewer memory known = curation.reviewerOf(handler.reviewer(i));
            taken += known.seats;
            if (known.since != 0) ++listed;
        }
        vm.assertEq(listed, curation.reviewers(), "listed");
        for (uint256 caseId = 1; caseId <= curation.cases(); ++caseId) {
            ICuration.Case memory current = curation.caseOf(caseId);
            if (current.stage == ICuration.Stage.Closed) continue;
            for (uint8 number = 0; number <= current.round; ++number) {
                taken -= curation.roundOf(caseId, number).seats.length;
            }
        }
        vm.assertEq(taken, 0, "seats");
    }

    function invariant_disputedBatchesHaveAnOpenCase() public view {
        for (uint256 caseId = 1; caseId <= curation.cases(); ++caseId) {
            ICuration.Case memory current = curation.caseOf(caseId);
            bool disputed = _stateOf(current.batchId) == IDatanetRegistry.BatchState.Disputed;
            vm.assertTrue(!disputed || current.stage != ICuration.Stage.Closed, "disputed for ever");
            vm.assertLe(datanets.penaltyOf(bob), 1_000_000, "penalty");
        }
    }
}
