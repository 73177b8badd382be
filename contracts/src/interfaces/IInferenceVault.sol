// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Wei that one payer pays for the inference of one epoch.
struct Draw {
    address payer;
    uint256 amount;
}

/// @title Prepaid balances for inference, in native OPEN
/// @notice Only the settlement contract draws on balances. A withdrawal waits out a delay, so that
/// what was used before its request is still paid: the requested wei stay drawable until then.
interface IInferenceVault {
    event SettlementSet(address indexed settlement);
    event Deposited(address indexed account, address indexed from, uint256 amount);
    event WithdrawalRequested(address indexed account, uint256 amount, uint256 availableAt);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    event Drawn(address indexed payer, uint64 indexed epoch, uint256 amount);
    event Restored(address indexed payer, uint64 indexed epoch, uint256 amount);

    error SettlementAlreadySet(address settlement);
    error NotSettlement(address caller);
    error ZeroAddress();
    error ZeroAmount();
    error InsufficientBalance(address account, uint256 balance, uint256 amount);
    error WithdrawalNotAvailable(address account, uint256 availableAt);
    error NothingToWithdraw(address account);
    error SumMismatch(uint256 sum, uint256 value);

    /// @notice Names the settlement contract, once, by governance.
    function setSettlement(address settlement) external;

    /// @notice Adds the sent wei to an account's balance; anyone may pay for anyone.
    function deposit(address account) external payable;

    /// @notice Asks to withdraw `amount` after `vault.withdrawDelay`. Replaces an earlier request
    /// and its waiting time; an amount of zero only cancels.
    function requestWithdrawal(uint256 amount) external;

    /// @notice Sends the caller's requested amount, or what draws have left of it, to `to`.
    function withdraw(address to) external;

    /// @notice Takes an epoch's draws and sends their sum to the settlement contract, its only
    /// caller.
    function draw(uint64 epoch, Draw[] calldata draws) external returns (uint256 total);

    /// @notice Puts the draws of a disabled epoch back, from the settlement contract, its only
    /// caller.
    function restore(uint64 epoch, Draw[] calldata draws) external payable;

    function settlement() external view returns (address);

    /// @notice Wei of an account, a requested withdrawal included.
    function balanceOf(address account) external view returns (uint256);

    /// @notice Requested withdrawal of an account; zeros without one.
    function pendingWithdrawal(address account)
        external
        view
        returns (uint256 amount, uint256 availableAt);
}
