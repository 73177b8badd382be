// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Every governed number, and who governs
/// @notice Values have hard bounds that nobody can move. Each set of values has a hash that
/// receipts and epochs name, so that a dispute is judged under the rules of its time.
interface IParameters {
    /// @param number Count of changes that led to this set of values, from 1.
    /// @param since Unix time at which it (last) came into force.
    /// @param until Unix time at which it was replaced; zero while it is in force.
    struct Version {
        uint64 number;
        uint64 since;
        uint64 until;
    }

    event ParameterSet(bytes32 indexed key, uint256 previous, uint256 value);
    event VersionActivated(uint64 indexed number, bytes32 indexed paramsHash);
    event GovernanceProposed(address indexed current, address indexed proposed);
    event GovernanceChanged(address indexed previous, address indexed current);

    error NotGovernance(address caller);
    error NotProposedGovernance(address caller, address proposed);
    error ZeroGovernance();
    error LengthMismatch();
    error UnknownParameter(bytes32 key);
    error DuplicateParameter(bytes32 key);
    error BadBounds(bytes32 key, uint256 min, uint256 max);
    error OutOfBounds(bytes32 key, uint256 value, uint256 min, uint256 max);
    error Unchanged(bytes32 key, uint256 value);
    error SplitExceedsWhole(uint256 sum, uint256 whole);
    error UnknownVersion(bytes32 paramsHash);

    /// @notice Moves one parameter.
    /// @dev Requirements: caller is governance; the key exists; the value differs and is within its
    /// bounds; the parts of a fee (`split.*`) stay within the whole. Effects: a new version.
    function set(bytes32 key, uint256 value) external;

    /// @notice Offers governance of the whole system to another address, which must accept it.
    function proposeGovernance(address proposed) external;

    /// @notice Takes governance over, by the proposed address.
    function acceptGovernance() external;

    /// @notice The one address (a timelock) that may use privileged functions of any contract.
    function governance() external view returns (address);

    function proposedGovernance() external view returns (address);

    /// @notice Value of a parameter; reverts on an unknown key.
    function get(bytes32 key) external view returns (uint256 value);

    /// @notice Bounds of a parameter; reverts on an unknown key.
    function boundsOf(bytes32 key) external view returns (uint256 min, uint256 max);

    /// @notice All keys and values, in the order in which they are hashed.
    function all() external view returns (bytes32[] memory keys, uint256[] memory values);

    /// @notice keccak256(abi.encode(keys, values)) of the values in force.
    function paramsHash() external view returns (bytes32);

    /// @notice Number of the version in force.
    function version() external view returns (uint64);

    /// @notice When a set of values was in force; reverts on a hash that never was.
    function versionOf(bytes32 paramsHash) external view returns (Version memory);
}
