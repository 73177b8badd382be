// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ProvenFaults} from "./ProvenFaults.sol";
import {Reviewers} from "./Reviewers.sol";
import {ICuration} from "./interfaces/ICuration.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {Keys} from "./libraries/Keys.sol";
import {Penalty} from "./libraries/Penalty.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements ICuration.
contract Curation is ProvenFaults, Reviewers {
    using SafeCastLib for uint256;

    struct Ballot {
        bytes32 commitment;
        Verdict verdict;
        bool seated;
    }

    /// @inheritdoc ICuration
    address public keeper;
    /// @inheritdoc ICuration
    uint256 public cases;
    mapping(uint256 caseId => Case) private _cases;
    mapping(uint256 caseId => mapping(uint8 round => Round)) private _rounds;
    mapping(uint256 caseId => mapping(uint8 round => mapping(address reviewer => Ballot))) private
        _ballots;

    constructor(IParameters parameters, IDatanetRegistry registry)
        Reviewers(parameters)
        ProvenFaults(registry)
    {}

    /// @notice Takes slashed bonds from the registry, and wei from nobody else.
    receive() external payable {
        if (msg.sender != address(REGISTRY)) revert NotRegistry(msg.sender);
    }

    /// @inheritdoc ICuration
    function setKeeper(address keeper_) external onlyGovernance {
        emit KeeperSet(keeper, keeper_);
        keeper = keeper_;
    }

    /* ------------------------------------ a case ------------------------------------ */

    /// @inheritdoc ICuration
    function challenge(bytes32 batchId, Claim claim, bytes32 evidence, bytes32 seal)
        external
        payable
        returns (uint256 caseId)
    {
        uint256 stake = REGISTRY.batchOf(batchId).bond;
        _requireValue(costOf(batchId));
        caseId = ++cases;
        _cases[caseId] = Case({
            batchId: batchId,
            evidence: evidence,
            seal: seal,
            challenger: msg.sender,
            stake: stake.toUint96(),
            claim: claim,
            stage: Stage.Drawing,
            verdict: Verdict.None,
            round: 0,
            openedAt: uint40(block.timestamp),
            deadline: 0,
            drawBlock: uint64(block.number + 1),
            pot: (msg.value - stake).toUint96()
        });
        emit CaseOpened(caseId, batchId, msg.sender, claim, evidence);
        REGISTRY.dispute(batchId);
    }

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

    /// @inheritdoc ICuration
    function appeal(uint256 caseId) external payable {
        Case storage current = _at(caseId, Stage.Decided);
        uint8 number = current.round + 1;
        if (number >= _number(Keys.CURATION_ROUNDS)) revert LastRound(caseId, number - 1);
        if (block.timestamp >= current.deadline) revert TooLate(caseId, current.deadline);
        _requireValue(appealCostOf(caseId));
        Round storage round = _rounds[caseId][number];
        round.appellant = msg.sender;
        round.stake = _appealStake(current);
        round.against = current.verdict;
        current.pot += (msg.value - round.stake).toUint96();
        current.verdict = Verdict.None;
        _nextRound(current);
        emit Appealed(caseId, number, msg.sender);
    }

    /// @inheritdoc ICuration
    function unseal(uint256 caseId, Verdict truth, bytes32 salt) external {
        if (msg.sender != keeper) revert NotKeeper(msg.sender);
        Case storage current = _at(caseId, Stage.Decided);
        if (block.timestamp >= current.deadline) revert TooLate(caseId, current.deadline);
        bytes32 seal = sealOf(msg.sender, current.batchId, truth, salt);
        if (truth == Verdict.None || current.seal != seal) revert WrongSeal(caseId);
        current.stage = Stage.Closed;
        for (uint8 number = 0; number <= current.round; ++number) {
            address[] memory seats = _rounds[caseId][number].seats;
            for (uint256 i = 0; i < seats.length; ++i) {
                _score(seats[i], _ballots[caseId][number][seats[i]].verdict == truth);
            }
        }
        emit Unsealed(caseId, truth);
        owed[current.challenger] += current.stake;
        if (_isDisputed(current.batchId)) REGISTRY.acquit(current.batchId);
        _payPanels(caseId, current, truth, current.pot);
    }

    /// @inheritdoc ICuration
    function close(uint256 caseId) external {
        Case storage current = _at(caseId, Stage.Decided);
        if (block.timestamp < current.deadline) revert TooEarly(caseId, current.deadline);
        current.stage = Stage.Closed;
        (uint256 slashed, uint256 toPanels) =
            current.verdict == Verdict.Uphold ? _uphold(current) : (0, _dismiss(current));
        emit CaseClosed(caseId, current.verdict, slashed);
        _payPanels(caseId, current, current.verdict, current.pot + toPanels);
    }

    /// @inheritdoc ICuration
    function withdraw(address account) external {
        uint256 amount = owed[account];
        if (amount == 0) revert NothingOwed(account);
        owed[account] = 0;
        emit Withdrawn(account, amount);
        SafeTransferLib.safeTransferETH(account, amount);
    }

    /* ------------------------------------- views ------------------------------------ */

    /// @inheritdoc ICuration
    function costOf(bytes32 batchId) public view returns (uint256) {
        return REGISTRY.batchOf(batchId).bond + _seatsOf(0) * _number(Keys.SEAT_FEE);
    }

    /// @inheritdoc ICuration
    function appealCostOf(uint256 caseId) public view returns (uint256) {
        Case storage current = _at(caseId, Stage.Decided);
        uint256 seats = _seatsOf(current.round + 1);
        return _appealStake(current) + seats * _number(Keys.SEAT_FEE);
    }

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
    function sealOf(address keeper_, bytes32 batchId, Verdict truth, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), keeper_, batchId, truth, salt));
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

    function _nextRound(Case storage current) private {
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

    function _uphold(Case storage current) private returns (uint256 slashed, uint256 toPanels) {
        // A proof may have been faster than the panel.
        if (_isDisputed(current.batchId)) {
            slashed = REGISTRY.reject(current.batchId, _number(_slashOf(current.claim)));
        }
        uint256 reward = slashed * _number(Keys.CHALLENGER_PART) / Penalty.PPM;
        toPanels = slashed * _number(Keys.PANEL_PART) / Penalty.PPM;
        owed[current.challenger] += current.stake + reward;
        owed[PARAMETERS.governance()] += slashed - reward - toPanels;
    }

    function _dismiss(Case storage current) private returns (uint256 toPanels) {
        if (_isDisputed(current.batchId)) REGISTRY.acquit(current.batchId);
        if (current.verdict == Verdict.None) {
            owed[current.challenger] += current.stake;
            return 0;
        }
        toPanels = current.stake / 2;
        owed[REGISTRY.batchOf(current.batchId).payer] += current.stake - toPanels;
    }

    /// @dev Frees all seats and shares what appeals, minorities and fees have left among those
    /// whose vote was the verdict; without a verdict among all who voted, and nobody is a minority.
    function _payPanels(uint256 caseId, Case storage current, Verdict verdict, uint256 pot)
        private
    {
        uint256 right = 0;
        for (uint8 number = 0; number <= current.round; ++number) {
            Round storage round = _rounds[caseId][number];
            if (verdict != Verdict.None && round.against == verdict) pot += round.stake;
            else if (round.stake != 0) owed[round.appellant] += round.stake;
            address[] memory seats = round.seats;
            for (uint256 i = 0; i < seats.length; ++i) {
                Verdict vote = _ballots[caseId][number][seats[i]].verdict;
                _rise(seats[i]);
                if (vote == Verdict.None) continue;
                if (verdict == Verdict.None || vote == verdict) ++right;
                else pot += _penalise(seats[i], Keys.MINORITY_PENALTY);
            }
        }
        uint256 share = right == 0 ? 0 : pot / right;
        for (uint8 number = 0; number <= current.round; ++number) {
            address[] memory seats = _rounds[caseId][number].seats;
            for (uint256 i = 0; i < seats.length; ++i) {
                Verdict vote = _ballots[caseId][number][seats[i]].verdict;
                if (vote == Verdict.None) continue;
                if (verdict == Verdict.None || vote == verdict) owed[seats[i]] += share;
            }
        }
        owed[PARAMETERS.governance()] += pot - share * right;
    }

    function _at(uint256 caseId, Stage stage) private view returns (Case storage current) {
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

    function _isDisputed(bytes32 batchId) private view returns (bool) {
        return REGISTRY.batchOf(batchId).state == IDatanetRegistry.BatchState.Disputed;
    }

    /// @dev Seats of a panel: n, 2n + 1, 4n + 3, ...
    function _seatsOf(uint8 round) private view returns (uint256) {
        return ((_number(Keys.CURATION_PANEL) + 1) << round) - 1;
    }

    function _appealStake(Case storage current) private view returns (uint96) {
        return (uint256(current.stake) << (current.round + 1)).toUint96();
    }

    function _slashOf(Claim claim) private pure returns (bytes32) {
        if (claim == Claim.Quality) return Keys.SLASH_QUALITY;
        return claim == Claim.Plagiarism ? Keys.SLASH_PLAGIARISM : Keys.SLASH_ADVERSARIAL;
    }

    function _requireValue(uint256 due) private view {
        if (msg.value != due) revert WrongValue(msg.value, due);
    }
}
