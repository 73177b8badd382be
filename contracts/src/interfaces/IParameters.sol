// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Every governed number, and who governs
/// @notice Values have hard bounds that nobody can move, and change slowly: by a step at most, not
/// again before a cooldown, and not before a delay. What changes comes into force at multiples of
/// `BOUNDARY` seconds. Each set of values has a hash that receipts and epochs name, so that a
/// dispute is judged under the rules of its time.
interface IParameters {
    /// @param min Smallest value.
    /// @param max Largest value.
    /// @param maxStep Difference that one change makes at most.
    /// @param cooldown Seconds between two changes of the number, at least.
    /// @param delay Seconds from a change's passing to its coming into force, at least.
    struct Rule {
        uint96 min;
        uint96 max;
        uint96 maxStep;
        uint32 cooldown;
        uint32 delay;
    }

    event ParameterSet(bytes32 indexed key, uint256 previous, uint256 value, uint256 since);
    event VersionScheduled(bytes32 indexed paramsHash, uint256 since);
    event GovernanceProposed(address indexed current, address indexed proposed);
    event GovernanceChanged(address indexed previous, address indexed current);

    error NotGovernance(address caller);
    error NotProposedGovernance(address caller, address proposed);
    error ZeroGovernance();
    error ZeroBoundary();
    error LengthMismatch();
    error UnknownParameter(bytes32 key);
    error DuplicateParameter(bytes32 key);
    error BadBounds(bytes32 key, uint256 min, uint256 max);
    error OutOfBounds(bytes32 key, uint256 value, uint256 min, uint256 max);
    error StepTooLarge(bytes32 key, uint256 step, uint256 maxStep);
    error CoolingDown(bytes32 key, uint256 until);
    error ChangeWaits(bytes32 key, uint256 since);
    error Unchanged(bytes32 key, uint256 value);
    error SplitExceedsWhole(uint256 sum, uint256 whole);
    error UnknownVersion(bytes32 paramsHash);

    /// @notice Moves one parameter.
    /// @dev Requirements: caller is governance; the key exists, with no change of it waiting and
    /// its cooldown over; the value differs by at most the step and is within its bounds; the parts
    /// of a fee (`split.*`) stay within the whole. Effects: a set of values that comes into force
    /// at the first boundary after the delay.
    function set(bytes32 key, uint256 value) external;

    /// @notice Offers governance of the whole system to another address, which must accept it.
    function proposeGovernance(address proposed) external;

    /// @notice Takes governance over, by the proposed address.
    function acceptGovernance() external;

    /// @notice The one address (a timelock) that may use privileged functions of any contract.
    function governance() external view returns (address);

    function proposedGovernance() external view returns (address);

    /// @notice Changes come into force when Unix time is a multiple of these seconds.
    function BOUNDARY() external view returns (uint256);

    /// @notice Value of a parameter in force; reverts on an unknown key.
    function get(bytes32 key) external view returns (uint256 value);

    /// @notice How far and how fast a parameter may move; reverts on an unknown key.
    function ruleOf(bytes32 key) external view returns (Rule memory);

    /// @notice The change of a parameter that is not in force yet; zeros when there is none.
    function waiting(bytes32 key) external view returns (uint256 value, uint256 since);

    /// @notice All keys and values in force, in the order in which they are hashed.
    function all() external view returns (bytes32[] memory keys, uint256[] memory values);

    /// @notice Place of a key in that order; reverts on an unknown key.
    function indexOf(bytes32 key) external view returns (uint256);

    /// @notice keccak256(abi.encode(keys, values)) of the values in force.
    function paramsHash() external view returns (bytes32);

    /// @notice Count of sets of values that have been in force, this one included.
    function version() external view returns (uint256);

    /// @notice The values behind a hash, in the order of `all`, in force or not; reverts on an
    /// unknown hash.
    function valuesOf(bytes32 paramsHash) external view returns (uint256[] memory);

    /// @notice The contract whose code is these values (SSTORE2 of `abi.encode(values)`), for who
    /// reads some of them; reverts on an unknown hash.
    function storedAt(bytes32 paramsHash) external view returns (address);

    /// @notice Unix time until which a set of values was in force the last time; now, when it is.
    /// Reverts when it never was.
    function inForceUntil(bytes32 paramsHash) external view returns (uint256);
}
