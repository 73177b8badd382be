// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Debts} from "./Debts.sol";
import {Governed} from "./Governed.sol";
import {IAttributionSettlement} from "./interfaces/IAttributionSettlement.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IValidatorStaking} from "./interfaces/IValidatorStaking.sol";
import {IVotingOpen} from "./interfaces/IVotingOpen.sol";
import {Keys} from "./libraries/Keys.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IValidatorStaking.
contract ValidatorStaking is IValidatorStaking, Debts, Governed {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCastLib for uint256;

    /// @dev Parts per million of a whole.
    uint256 private constant WHOLE = 1_000_000;
    /// @dev One part in so many is lost by who approved what was proven wrong.
    uint256 private constant APPROVER_SLASH = 10;

    IAttributionSettlement public immutable SETTLEMENT;
    IVotingOpen public immutable VOTES;

    /// @inheritdoc IValidatorStaking
    uint256 public rewards;
    mapping(address account => Validator) private _validators;
    mapping(address account => Checkpoints.Trace208) private _stakes;
    Checkpoints.Trace208 private _totals;
    mapping(bytes32 content => Verdict) private _verdicts;
    /// @dev What a validator approved with, until it is collected or slashed.
    mapping(bytes32 content => mapping(address validator => uint256 weight)) private _approvals;
    mapping(bytes32 content => mapping(address validator => bool)) private _hasAttested;

    constructor(IParameters parameters, IAttributionSettlement settlement, IVotingOpen votes)
        Governed(parameters)
    {
        SETTLEMENT = settlement;
        VOTES = votes;
    }

    /// @notice Takes the stakers' part of fees, and wei from nobody else.
    receive() external payable {
        if (msg.sender != address(SETTLEMENT)) revert NotSettlement(msg.sender);
        rewards += msg.value;
    }

    /* ------------------------------------- stake ------------------------------------ */

    /// @inheritdoc IValidatorStaking
    function stake(address account) external payable {
        if (account == address(0)) revert ZeroAddress();
        if (msg.value == 0) revert ZeroAmount();
        uint256 total = _validators[account].stake + msg.value;
        emit Staked(account, msg.sender, msg.value, total);
        _setStake(account, total);
    }

    /// @inheritdoc IValidatorStaking
    function requestLeave(uint256 amount) external {
        Validator storage validator = _validators[msg.sender];
        uint256 current = validator.stake;
        if (amount == 0) revert ZeroAmount();
        if (amount > current) revert InsufficientStake(msg.sender, current, amount);
        uint256 leavesAt = block.timestamp + PARAMETERS.get(Keys.UNBOND_DELAY);
        validator.leaving += amount.toUint96();
        validator.leavesAt = leavesAt.toUint40();
        emit LeaveRequested(msg.sender, amount, leavesAt);
        _setStake(msg.sender, current - amount);
    }

    /// @inheritdoc IValidatorStaking
    function withdraw(address to) external {
        if (to == address(0)) revert ZeroAddress();
        Validator storage validator = _validators[msg.sender];
        uint256 amount = validator.leaving;
        if (amount == 0) revert ZeroAmount();
        uint256 until =
            validator.leavesAt > validator.lockedUntil ? validator.leavesAt : validator.lockedUntil;
        if (block.timestamp < until) revert StakeLocked(msg.sender, until);
        validator.leaving = 0;
        emit Left(msg.sender, to, amount);
        SafeTransferLib.safeTransferETH(to, amount);
    }

    /// @inheritdoc IValidatorStaking
    function slash(address account, uint256 amount, address challenger)
        external
        returns (uint256 slashed)
    {
        if (
            msg.sender != SETTLEMENT.RECEIPT_CHALLENGES()
                && msg.sender != SETTLEMENT.EPOCH_CHALLENGES()
        ) revert NotSlasher(msg.sender);
        return _slash(account, amount, challenger);
    }

    /* ---------------------------------- attestations -------------------------------- */

    /// @inheritdoc IValidatorStaking
    function approve(uint64 epoch) external {
        (bytes32 content, uint256 weight, uint256 activeAt) = _attest(epoch);
        _approvals[content][msg.sender] = weight;
        _verdicts[content].approved += weight.toUint120();
        Validator storage validator = _validators[msg.sender];
        if (validator.lockedUntil < activeAt) validator.lockedUntil = activeAt.toUint40();
        emit Approved(epoch, msg.sender, weight);
    }

    /// @inheritdoc IValidatorStaking
    function reject(uint64 epoch, string calldata reason) external {
        (bytes32 content, uint256 weight,) = _attest(epoch);
        uint256 rejected = _verdicts[content].rejected + weight;
        _verdicts[content].rejected = rejected.toUint120();
        emit Rejected(epoch, msg.sender, weight, reason);
        uint256 total = _totals.upperLookup(_before());
        if (2 * rejected <= total) return;
        emit RejectedByMajority(epoch, rejected, total);
        SETTLEMENT.disable(epoch);
    }

    /// @inheritdoc IValidatorStaking
    function epochFaulted(uint64 epoch, bytes32 dataHash) external {
        if (msg.sender != address(SETTLEMENT)) revert NotSettlement(msg.sender);
        Verdict storage verdict = _verdicts[_content(epoch, dataHash)];
        if (verdict.approved == 0) return; // nobody to slash
        verdict.faulted = true;
        emit EpochFaulted(epoch, dataHash);
    }

    /// @inheritdoc IValidatorStaking
    function slashApprover(uint64 epoch, bytes32 dataHash, address validator) external {
        bytes32 content = _content(epoch, dataHash);
        if (!_verdicts[content].faulted) revert NotFaulted(epoch);
        uint256 weight = _approvals[content][validator];
        if (weight == 0) revert NotApprover(validator, epoch);
        delete _approvals[content][validator];
        _slash(validator, weight / APPROVER_SLASH, msg.sender);
    }

    /// @inheritdoc IValidatorStaking
    function collect(uint64[] calldata epochs, address to) external returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        for (uint256 i = 0; i < epochs.length; ++i) {
            uint256 reward = rewardOf(epochs[i], msg.sender);
            if (reward == 0) revert NothingToCollect(msg.sender, epochs[i]);
            delete _approvals[
                _content(epochs[i], SETTLEMENT.epochs(epochs[i]).dataHash)
            ][msg.sender];
            emit RewardCollected(epochs[i], msg.sender, reward);
            amount += reward;
        }
        if (amount > rewards) revert InsufficientRewards(amount, rewards);
        rewards -= amount;
        SafeTransferLib.safeTransferETH(to, amount);
    }

    /* ------------------------------------- views ------------------------------------ */

    /// @inheritdoc IValidatorStaking
    function validatorOf(address account) external view returns (Validator memory) {
        return _validators[account];
    }

    /// @inheritdoc IValidatorStaking
    function stakeAt(address account, uint48 time) external view returns (uint256) {
        return _stakes[account].upperLookup(time);
    }

    /// @inheritdoc IValidatorStaking
    function totalStake() public view returns (uint256) {
        return _totals.latest();
    }

    /// @inheritdoc IValidatorStaking
    function verdictOf(uint64 epoch, bytes32 dataHash) external view returns (Verdict memory) {
        return _verdicts[_content(epoch, dataHash)];
    }

    /// @inheritdoc IValidatorStaking
    function rewardOf(uint64 epoch, address validator) public view returns (uint256) {
        if (SETTLEMENT.statusOf(epoch) != IAttributionSettlement.Status.Active) {
            revert EpochNotActive(epoch);
        }
        IAttributionSettlement.Epoch memory record = SETTLEMENT.epochs(epoch);
        bytes32 content = _content(epoch, record.dataHash);
        uint256 weight = _approvals[content][validator];
        if (weight == 0) return 0;
        uint256 share =
            PARAMETERS.valuesOf(record.paramsHash)[PARAMETERS.indexOf(Keys.SPLIT_STAKERS)];
        uint256 reward = record.total * share / WHOLE;
        if (reward <= record.receipts) return 0;
        return (reward - record.receipts) * weight / _verdicts[content].approved;
    }

    /* ----------------------------------- internals ---------------------------------- */

    function _attest(uint64 epoch)
        private
        returns (bytes32 content, uint256 weight, uint256 activeAt)
    {
        if (SETTLEMENT.statusOf(epoch) != IAttributionSettlement.Status.Pending) {
            revert EpochNotPending(epoch);
        }
        IAttributionSettlement.Epoch memory record = SETTLEMENT.epochs(epoch);
        content = _content(epoch, record.dataHash);
        activeAt = record.activeAt;
        if (_hasAttested[content][msg.sender]) revert AlreadyAttested(msg.sender, epoch);
        _hasAttested[content][msg.sender] = true;
        weight = _stakes[msg.sender].upperLookup(_before());
        uint256 current = _validators[msg.sender].stake;
        if (current < weight) weight = current;
        uint256 minimum = PARAMETERS.get(Keys.MINIMUM_STAKE);
        if (weight == 0 || weight < minimum) {
            revert InsufficientStake(msg.sender, weight, minimum);
        }
    }

    function _slash(address account, uint256 amount, address challenger)
        private
        returns (uint256 slashed)
    {
        Validator storage validator = _validators[account];
        (uint256 current, uint256 leaving) = (validator.stake, validator.leaving);
        slashed = amount < current + leaving ? amount : current + leaving;
        uint256 fromLeaving = slashed < leaving ? slashed : leaving;
        validator.leaving = (leaving - fromLeaving).toUint96();
        uint256 reward = slashed / 2;
        owed[challenger] += reward;
        owed[SETTLEMENT.TREASURY()] += slashed - reward;
        emit Slashed(account, challenger, slashed);
        if (slashed > fromLeaving) _setStake(account, current - (slashed - fromLeaving));
    }

    function _setStake(address account, uint256 value) private {
        uint256 previous = _validators[account].stake;
        _validators[account].stake = value.toUint96();
        uint48 time = block.timestamp.toUint48();
        _stakes[account].push(time, value.toUint208());
        _totals.push(time, (totalStake() + value - previous).toUint208());
        VOTES.stakeChanged(account, value);
    }

    function _before() private view returns (uint48) {
        return (block.timestamp - PARAMETERS.get(Keys.SETTLEMENT_WINDOW)).toUint48();
    }

    function _content(uint64 epoch, bytes32 dataHash) private pure returns (bytes32) {
        return keccak256(abi.encode(epoch, dataHash));
    }
}
