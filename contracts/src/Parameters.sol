// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IParameters} from "./interfaces/IParameters.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

/// @notice Implements IParameters.
contract Parameters is IParameters {
    using SafeCastLib for uint256;

    /// @dev One slot, all that reading a value takes. `nextAt` is zero when no change waits or the
    /// last one has not been folded in yet.
    struct Value {
        uint96 value;
        uint96 next;
        uint40 nextAt;
    }

    /// @dev A set of values and the time from which it is in force.
    struct Turn {
        bytes32 hash;
        uint40 since;
    }

    /// @dev Parts per million of a whole.
    uint256 private constant WHOLE = 1_000_000;

    /// @inheritdoc IParameters
    uint256 public immutable BOUNDARY;

    /// @inheritdoc IParameters
    address public governance;
    /// @inheritdoc IParameters
    address public proposedGovernance;

    bytes32[] private _keys;
    mapping(bytes32 key => uint256 indexPlusOne) private _places;
    mapping(bytes32 key => Value) private _values;
    mapping(bytes32 key => Rule) private _rules;
    mapping(bytes32 key => uint256 time) private _changedAt;
    /// @dev In order of time; the last ones may be to come.
    Turn[] private _turns;
    /// @dev Contracts whose code is the values behind a hash: one write for all, one read for all.
    mapping(bytes32 paramsHash => address) private _stored;

    modifier onlyGovernance() {
        _onlyGovernance();
        _;
    }

    constructor(
        address governance_,
        uint256 boundary,
        bytes32[] memory keys,
        uint256[] memory values,
        Rule[] memory rules
    ) {
        if (governance_ == address(0)) revert ZeroGovernance();
        if (boundary == 0) revert ZeroBoundary();
        uint256 count = keys.length;
        if (values.length != count || rules.length != count) revert LengthMismatch();
        BOUNDARY = boundary;
        governance = governance_;
        emit GovernanceChanged(address(0), governance_);
        for (uint256 i = 0; i < count; ++i) {
            (bytes32 key, Rule memory rule) = (keys[i], rules[i]);
            if (rule.min > rule.max) revert BadBounds(key, rule.min, rule.max);
            if (_places[key] != 0) revert DuplicateParameter(key);
            _requireWithin(key, values[i], rule);
            _places[key] = i + 1;
            _rules[key] = rule;
            _values[key].value = values[i].toUint96();
            emit ParameterSet(key, 0, values[i], block.timestamp);
        }
        _keys = keys;
        _turns.push(Turn(_store(values), uint40(block.timestamp)));
        emit VersionScheduled(_turns[0].hash, block.timestamp);
    }

    /// @inheritdoc IParameters
    function set(bytes32 key, uint256 value) external onlyGovernance {
        Value storage current = _values[key];
        Rule memory rule = _rules[_known(key)];
        uint256 previous = _valueOf(current);
        if (block.timestamp < current.nextAt) revert ChangeWaits(key, current.nextAt);
        if (previous == value) revert Unchanged(key, value);
        _requireWithin(key, value, rule);
        uint256 step = value > previous ? value - previous : previous - value;
        if (step > rule.maxStep) revert StepTooLarge(key, step, rule.maxStep);
        if (_changedAt[key] != 0 && block.timestamp < _changedAt[key] + rule.cooldown) {
            revert CoolingDown(key, _changedAt[key] + rule.cooldown);
        }

        // Up to the next boundary, so that changes come together and epochs can end there.
        uint256 since = (block.timestamp + rule.delay + BOUNDARY - 1) / BOUNDARY * BOUNDARY;
        _changedAt[key] = block.timestamp;
        _values[key] = Value(previous.toUint96(), value.toUint96(), since.toUint40());
        emit ParameterSet(key, previous, value, since);
        _schedule(_places[key] - 1, value, since);
    }

    /// @inheritdoc IParameters
    function proposeGovernance(address proposed) external onlyGovernance {
        proposedGovernance = proposed;
        emit GovernanceProposed(governance, proposed);
    }

    /// @inheritdoc IParameters
    function acceptGovernance() external {
        address proposed = proposedGovernance;
        if (msg.sender != proposed) revert NotProposedGovernance(msg.sender, proposed);
        emit GovernanceChanged(governance, proposed);
        governance = proposed;
        delete proposedGovernance;
    }

    /// @inheritdoc IParameters
    function get(bytes32 key) external view returns (uint256) {
        return _valueOf(_values[_known(key)]);
    }

    /// @inheritdoc IParameters
    function ruleOf(bytes32 key) external view returns (Rule memory) {
        return _rules[_known(key)];
    }

    /// @inheritdoc IParameters
    function waiting(bytes32 key) external view returns (uint256 value, uint256 since) {
        Value storage current = _values[_known(key)];
        if (block.timestamp < current.nextAt) return (current.next, current.nextAt);
    }

    /// @inheritdoc IParameters
    function all() external view returns (bytes32[] memory keys, uint256[] memory values) {
        return (_keys, valuesOf(paramsHash()));
    }

    /// @inheritdoc IParameters
    function indexOf(bytes32 key) external view returns (uint256) {
        return _places[_known(key)] - 1;
    }

    /// @inheritdoc IParameters
    function paramsHash() public view returns (bytes32) {
        return _turns[_current()].hash;
    }

    /// @inheritdoc IParameters
    function version() external view returns (uint256) {
        return _current() + 1;
    }

    /// @inheritdoc IParameters
    function valuesOf(bytes32 hash) public view returns (uint256[] memory) {
        return abi.decode(SSTORE2.read(storedAt(hash)), (uint256[]));
    }

    /// @inheritdoc IParameters
    function storedAt(bytes32 hash) public view returns (address stored) {
        stored = _stored[hash];
        if (stored == address(0)) revert UnknownVersion(hash);
    }

    /// @inheritdoc IParameters
    function inForceUntil(bytes32 hash) external view returns (uint256) {
        uint256 current = _current();
        if (_turns[current].hash == hash) return block.timestamp;
        for (uint256 i = current; i > 0; --i) {
            if (_turns[i - 1].hash == hash) return _turns[i].since;
        }
        revert UnknownVersion(hash);
    }

    /* ----------------------------------- internals ---------------------------------- */

    /// @dev Puts a value into every turn from `since` on, of which one is made if there is none.
    function _schedule(uint256 place, uint256 value, uint256 since) private {
        uint256 first = _turns.length;
        // What has begun stays as it was: receipts were made under it.
        while (
            first > 0 && _turns[first - 1].since >= since
                && _turns[first - 1].since > block.timestamp
        ) --first;
        if (first == _turns.length || _turns[first].since != since) {
            _turns.push();
            for (uint256 i = _turns.length - 1; i > first; --i) {
                _turns[i] = _turns[i - 1];
            }
            _turns[first] = Turn(_turns[first - 1].hash, since.toUint40());
        }
        for (uint256 i = first; i < _turns.length; ++i) {
            uint256[] memory values = valuesOf(_turns[i].hash);
            values[place] = value;
            _turns[i].hash = _store(values);
            emit VersionScheduled(_turns[i].hash, _turns[i].since);
        }
    }

    function _store(uint256[] memory values) private returns (bytes32 hash) {
        bytes32[] memory keys = _keys;
        uint256 split = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            if (bytes6(keys[i]) == "split.") split += values[i];
        }
        if (split > WHOLE) revert SplitExceedsWhole(split, WHOLE);
        hash = keccak256(abi.encode(keys, values));
        if (_stored[hash] == address(0)) _stored[hash] = SSTORE2.write(abi.encode(values));
    }

    /// @dev The last turn that has begun: the first one has.
    function _current() private view returns (uint256 turn) {
        turn = _turns.length - 1;
        while (_turns[turn].since > block.timestamp) --turn;
    }

    function _valueOf(Value storage current) private view returns (uint256) {
        uint256 nextAt = current.nextAt;
        return nextAt == 0 || block.timestamp < nextAt ? current.value : current.next;
    }

    function _known(bytes32 key) private view returns (bytes32) {
        if (_places[key] == 0) revert UnknownParameter(key);
        return key;
    }

    function _requireWithin(bytes32 key, uint256 value, Rule memory rule) private pure {
        if (value < rule.min || value > rule.max) {
            revert OutOfBounds(key, value, rule.min, rule.max);
        }
    }

    function _onlyGovernance() private view {
        if (msg.sender != governance) revert NotGovernance(msg.sender);
    }
}
