// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ProvenFaults} from "./ProvenFaults.sol";
import {Reviewers} from "./Reviewers.sol";
import {ICuration} from "./interfaces/ICuration.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {Keys} from "./libraries/Keys.sol";
import {Penalty} from "./libraries/Penalty.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

/// @notice The part of ICuration that a panel does: it is drawn, commits, reveals, and is counted.
abstract contract Panels is ProvenFaults, Reviewers {
    using SafeCastLib for uint256;

    struct Ballot {
        bytes32 commitment;
        Verdict verdict;
        bool seated;
    }

    mapping(uint256 caseId => Case) internal _cases;
    mapping(uint256 caseId => mapping(uint8 round => Round)) internal _rounds;
    mapping(uint256 caseId => mapping(uint8 round => mapping(address reviewer => Ballot))) internal
        _ballots;

    /// @inheritdoc ICuration
    function draw(uint256 caseId) external {
        Case storage current = _at(caseId, Stage.Drawing);
        if (block.number <= current.drawBlock) revert TooEarly(caseId, current.drawBlock);
        bytes32 hash = blockhash(current.drawBlock);
        if (hash == 0) {
            current.drawBlock = uint64(block.number + 1);
            emit DrawPostponed(caseId, current.drawBlock);
            return;
        }
        uint8 number = current.round;
        Round storage round = _rounds[caseId][number];
        address[] memory seats = _draw(
            keccak256(abi.encode(hash, caseId, number)),
            _seatsOf(number),
            _number(Keys.CURATION_PANEL),
            current.openedAt,
            _parties(caseId, current)
        );
        if (seats.length == 0) {
            _endWithoutPanel(caseId, current, round);
            return;
        }
        uint256 phase = _number(Keys.CURATION_PHASE);
        round.seats = seats;
        round.commitBy = (block.timestamp + phase).toUint40();
        round.revealBy = (block.timestamp + 2 * phase).toUint40();
        for (uint256 i = 0; i < seats.length; ++i) {
            _ballots[caseId][number][seats[i]].seated = true;
        }
        current.stage = Stage.Voting;
        emit PanelDrawn(caseId, number, seats, round.commitBy, round.revealBy);
    }

    /// @inheritdoc ICuration
    function commit(uint256 caseId, bytes32 commitment) external {
        (Case storage current, Round storage round, Ballot storage ballot) = _seat(caseId);
        if (block.timestamp >= round.commitBy) revert TooLate(caseId, round.commitBy);
        if (ballot.commitment != 0) revert AlreadyVoted(caseId, msg.sender);
        if (commitment == 0) revert WrongReveal(caseId, msg.sender);
        ballot.commitment = commitment;
        ++round.committed;
        emit Committed(caseId, current.round, msg.sender);
    }

    /// @inheritdoc ICuration
    function reveal(uint256 caseId, Verdict verdict, bytes32 evidence, bytes32 salt) external {
        (Case storage current, Round storage round, Ballot storage ballot) = _seat(caseId);
        if (!_isCommitOver(round)) revert TooEarly(caseId, round.commitBy);
        if (block.timestamp >= round.revealBy) revert TooLate(caseId, round.revealBy);
        if (ballot.verdict != Verdict.None) revert AlreadyVoted(caseId, msg.sender);
        bytes32 commitment =
            commitmentOf(caseId, current.round, msg.sender, verdict, evidence, salt);
        if (verdict == Verdict.None || ballot.commitment != commitment) {
            revert WrongReveal(caseId, msg.sender);
        }
        ballot.verdict = verdict;
        if (verdict == Verdict.Uphold) ++round.upheld;
        else ++round.dismissed;
        emit Revealed(caseId, current.round, msg.sender, verdict, evidence);
    }

    /// @inheritdoc ICuration
    function tally(uint256 caseId) external {
        Case storage current = _at(caseId, Stage.Voting);
        uint8 number = current.round;
        Round storage round = _rounds[caseId][number];
        uint256 votes = uint256(round.upheld) + round.dismissed;
        bool complete = _isCommitOver(round) && votes == round.committed;
        if (!complete && block.timestamp < round.revealBy) {
            revert TooEarly(caseId, round.revealBy);
        }
        current.pot += _chargeAbsent(caseId, number, round).toUint96();
        bool more = number + 1 < _number(Keys.CURATION_ROUNDS);
        Verdict verdict = _verdictOf(round, votes);
        uint40 deadline = uint40(block.timestamp);
        if (verdict == Verdict.None && more) {
            _nextRound(current);
        } else {
            if (verdict != Verdict.None && more) {
                deadline = (block.timestamp + _number(Keys.CURATION_PHASE)).toUint40();
            }
            current.stage = Stage.Decided;
            current.verdict = verdict;
            current.deadline = deadline;
        }
        emit Tallied(caseId, number, verdict, deadline);
    }

    /* ------------------------------------- views ------------------------------------ */

    /// @inheritdoc ICuration
    function commitmentOf(
        uint256 caseId,
        uint8 round,
        address reviewer,
        Verdict verdict,
        bytes32 evidence,
        bytes32 salt
    ) public view returns (bytes32) {
        return keccak256(
            abi.encode(
                block.chainid, address(this), caseId, round, reviewer, verdict, evidence, salt
            )
        );
    }

    /// @inheritdoc ICuration
    function caseOf(uint256 caseId) external view returns (Case memory) {
        return _cases[caseId];
    }

    /// @inheritdoc ICuration
    function roundOf(uint256 caseId, uint8 round) external view returns (Round memory) {
        return _rounds[caseId][round];
    }

    /// @inheritdoc ICuration
    function voteOf(uint256 caseId, uint8 round, address reviewer) external view returns (Verdict) {
        return _ballots[caseId][round][reviewer].verdict;
    }

    /* ----------------------------------- internals ---------------------------------- */

    /// @dev Who has an interest in a case and does not judge it.
    function _parties(uint256 caseId, Case storage current)
        private
        view
        returns (address[] memory parties)
    {
        IDatanetRegistry.Batch memory batch = REGISTRY.batchOf(current.batchId);
        parties = new address[](4 + uint256(current.round));
        parties[0] = batch.contributor;
        parties[1] = batch.payer;
        parties[2] = REGISTRY.datanetOf(batch.datanet).owner;
        parties[3] = current.challenger;
        for (uint8 number = 1; number <= current.round; ++number) {
            parties[3 + uint256(number)] = _rounds[caseId][number].appellant;
        }
    }

    /// @dev Without a first panel nothing happened; without a later one the earlier verdict stands.
    function _endWithoutPanel(uint256 caseId, Case storage current, Round storage round) private {
        if (current.round == 0) {
            owed[current.challenger] += current.pot;
            current.pot = 0;
        } else {
            owed[round.appellant] += round.stake;
            round.stake = 0;
            current.verdict = round.against;
        }
        current.stage = Stage.Decided;
        current.deadline = uint40(block.timestamp);
        emit Tallied(caseId, current.round, current.verdict, current.deadline);
    }

    function _nextRound(Case storage current) internal {
        ++current.round;
        current.stage = Stage.Drawing;
        current.drawBlock = uint64(block.number + 1);
    }

    function _chargeAbsent(uint256 caseId, uint8 number, Round storage round)
        private
        returns (uint256 charged)
    {
        address[] memory seats = round.seats;
        for (uint256 i = 0; i < seats.length; ++i) {
            Ballot storage ballot = _ballots[caseId][number][seats[i]];
            if (ballot.verdict != Verdict.None) continue;
            charged += _penalise(
                seats[i], ballot.commitment == 0 ? Keys.MISS_PENALTY : Keys.HIDE_PENALTY
            );
        }
    }

    function _verdictOf(Round storage round, uint256 votes) private view returns (Verdict) {
        if (2 * votes <= round.seats.length) return Verdict.None;
        uint256 most = round.upheld > round.dismissed ? round.upheld : round.dismissed;
        if (most * Penalty.PPM < votes * _number(Keys.CURATION_MAJORITY)) {
            return Verdict.None;
        }
        return round.upheld > round.dismissed ? Verdict.Uphold : Verdict.Dismiss;
    }

    function _at(uint256 caseId, Stage stage) internal view returns (Case storage current) {
        current = _cases[caseId];
        if (current.stage != stage) revert WrongStage(caseId, current.stage);
    }

    function _seat(uint256 caseId)
        private
        view
        returns (Case storage current, Round storage round, Ballot storage ballot)
    {
        current = _at(caseId, Stage.Voting);
        round = _rounds[caseId][current.round];
        ballot = _ballots[caseId][current.round][msg.sender];
        if (!ballot.seated) revert NotSeated(caseId, msg.sender);
    }

    function _isCommitOver(Round storage round) private view returns (bool) {
        return block.timestamp >= round.commitBy || round.committed == round.seats.length;
    }

    /// @dev Seats of a panel: n, 2n + 1, 4n + 3, ...
    function _seatsOf(uint8 round) internal view returns (uint256) {
        return ((_number(Keys.CURATION_PANEL) + 1) << round) - 1;
    }
}
