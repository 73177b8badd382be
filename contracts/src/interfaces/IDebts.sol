// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Wei that a contract owes and its creditors fetch
/// @notice Owed, not sent: nobody can hold a call up by refusing a transfer.
interface IDebts {
    event OwedWithdrawn(address indexed account, address indexed to, uint256 amount);

    error ZeroAmount();
    error ZeroAddress();

    /// @notice Sends what the caller is owed to `to`.
    function withdrawOwed(address to) external;

    /// @notice Wei that an account can withdraw with `withdrawOwed`.
    function owed(address account) external view returns (uint256);
}
