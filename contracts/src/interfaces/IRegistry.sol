// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What both registries share: exact payments, collected fees, and the operator
/// @notice The operator (the network's edge) may register on behalf of others and pays for it.
interface IRegistry {
    event OperatorSet(address indexed previous, address indexed current);
    event FeesCollected(address indexed to, uint256 amount);

    error NotAuthorized(address caller, address owner);
    error WrongValue(uint256 sent, uint256 due);
    error ZeroValue();

    /// @notice Appoints the operator, by governance; the zero address appoints nobody.
    function setOperator(address operator) external;

    /// @notice Sends the registration fees collected so far to `to`, by governance.
    function collectFees(address to) external;

    function operator() external view returns (address);

    /// @notice Wei of registration fees that wait to be collected.
    function fees() external view returns (uint256);
}
