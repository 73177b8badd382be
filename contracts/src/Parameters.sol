// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IParameters} from "./interfaces/IParameters.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

/// @notice Implements IParameters.
contract Parameters is IParameters {
    using SafeCastLib for uint256;

    /// @dev `max` is at least 1, so zero marks an unknown key without a slot of its own.
    struct Parameter {
        uint128 value;
        uint128 max;
        uint128 min;
    }

    /// @dev Parts per million of a whole.
    uint256 private constant WHOLE = 1_000_000;

    /// @inheritdoc IParameters
    address public governance;
    /// @inheritdoc IParameters
    address public proposedGovernance;
    /// @inheritdoc IParameters
    bytes32 public paramsHash;

    bytes32[] private _keys;
    mapping(bytes32 key => Parameter) private _parameters;
    mapping(bytes32 paramsHash => Version) private _versions;

    modifier onlyGovernance() {
        _onlyGovernance();
        _;
    }

    constructor(
        address governance_,
        bytes32[] memory keys,
        uint256[] memory values,
        uint256[] memory mins,
        uint256[] memory maxs
    ) {
        if (governance_ == address(0)) revert ZeroGovernance();
        uint256 count = keys.length;
        if (values.length != count || mins.length != count || maxs.length != count) {
            revert LengthMismatch();
        }
        governance = governance_;
        emit GovernanceChanged(address(0), governance_);
        for (uint256 i = 0; i < count; ++i) {
            (bytes32 key, uint256 min, uint256 max) = (keys[i], mins[i], maxs[i]);
            if (max == 0 || max > type(uint128).max || min > max) revert BadBounds(key, min, max);
            if (_parameters[key].max != 0) revert DuplicateParameter(key);
            _requireWithin(key, values[i], min, max);
            _parameters[key] = Parameter({
                value: values[i].toUint128(), max: max.toUint128(), min: min.toUint128()
            });
            emit ParameterSet(key, 0, values[i]);
        }
        _keys = keys;
        _activate(1);
    }

    /// @inheritdoc IParameters
    function set(bytes32 key, uint256 value) external onlyGovernance {
        Parameter storage parameter = _known(key);
        uint256 previous = parameter.value;
        if (previous == value) revert Unchanged(key, value);
        _requireWithin(key, value, parameter.min, parameter.max);
        parameter.value = value.toUint128();
        emit ParameterSet(key, previous, value);

        Version storage current = _versions[paramsHash];
        current.until = uint64(block.timestamp);
        _activate(current.number + 1);
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
        return _known(key).value;
    }

    /// @inheritdoc IParameters
    function boundsOf(bytes32 key) external view returns (uint256 min, uint256 max) {
        Parameter storage parameter = _known(key);
        return (parameter.min, parameter.max);
    }

    /// @inheritdoc IParameters
    function all() public view returns (bytes32[] memory keys, uint256[] memory values) {
        keys = _keys;
        values = new uint256[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            values[i] = _parameters[keys[i]].value;
        }
    }

    /// @inheritdoc IParameters
    function version() external view returns (uint64) {
        return _versions[paramsHash].number;
    }

    /// @inheritdoc IParameters
    function versionOf(bytes32 hash) external view returns (Version memory found) {
        found = _versions[hash];
        if (found.number == 0) revert UnknownVersion(hash);
    }

    /// @dev Values that return to an earlier set return to its hash; its record then tells of the
    /// last time.
    function _activate(uint64 number) private {
        (bytes32[] memory keys, uint256[] memory values) = all();
        uint256 split = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            if (bytes6(keys[i]) == "split.") split += values[i];
        }
        if (split > WHOLE) revert SplitExceedsWhole(split, WHOLE);

        bytes32 hash = keccak256(abi.encode(keys, values));
        paramsHash = hash;
        _versions[hash] = Version({number: number, since: uint64(block.timestamp), until: 0});
        emit VersionActivated(number, hash);
    }

    function _known(bytes32 key) private view returns (Parameter storage parameter) {
        parameter = _parameters[key];
        if (parameter.max == 0) revert UnknownParameter(key);
    }

    function _requireWithin(bytes32 key, uint256 value, uint256 min, uint256 max) private pure {
        if (value < min || value > max) revert OutOfBounds(key, value, min, max);
    }

    function _onlyGovernance() private view {
        if (msg.sender != governance) revert NotGovernance(msg.sender);
    }
}
