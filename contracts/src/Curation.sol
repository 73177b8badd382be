// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Panels} from "./Panels.sol";
import {ProvenFaults} from "./ProvenFaults.sol";
import {Reviewers} from "./Reviewers.sol";
import {ICuration} from "./interfaces/ICuration.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {Keys} from "./libraries/Keys.sol";
import {Penalty} from "./libraries/Penalty.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

/// @notice Implements ICuration: opens cases, hears appeals, carries verdicts out and pays.
contract Curation is Panels {
    using SafeCastLib for uint256;

    /// @inheritdoc ICuration
    address public keeper;
    /// @inheritdoc ICuration
    uint256 public cases;

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
    function sealOf(address keeper_, bytes32 batchId, Verdict truth, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), keeper_, batchId, truth, salt));
    }

    /* ----------------------------------- internals ---------------------------------- */

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

    function _isDisputed(bytes32 batchId) private view returns (bool) {
        return REGISTRY.batchOf(batchId).state == IDatanetRegistry.BatchState.Disputed;
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
