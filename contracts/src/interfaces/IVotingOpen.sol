// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Votes of native OPEN, wrapped or at stake
/// @notice One accountant of votes: a wei votes while it is wrapped here or while it is at stake
/// with the staking contract, never both, because a wei is in one place. An account votes for
/// itself until it delegates; the rest is OpenZeppelin's ERC20Votes with a clock in seconds.
interface IVotingOpen {
    event StakingSet(address indexed staking);
    event Wrapped(address indexed account, uint256 amount);
    event Unwrapped(address indexed account, address indexed to, uint256 amount);
    event StakeChanged(address indexed account, uint256 previous, uint256 stake);

    error StakingAlreadySet(address staking);
    error NotStaking(address caller);
    error ZeroAddress();
    error ZeroAmount();

    /// @notice Names the staking contract, once, by governance.
    function setStaking(address staking) external;

    /// @notice Wraps the sent wei 1:1 for the caller.
    function deposit() external payable;

    /// @notice Unwraps `amount` of the caller's wei and sends them to `to`.
    function withdraw(uint256 amount, address to) external;

    /// @notice Tells that `account` now has `stake` wei at stake, all of which vote and cannot be
    /// transferred here; by the staking contract alone, after every change.
    /// @dev The stake itself, not its change, so that telling twice does no harm. Calls nobody.
    function stakeChanged(address account, uint256 stake) external;

    function staking() external view returns (address);

    /// @notice Wei at stake that vote for an account or its delegate.
    function stakeOf(address account) external view returns (uint256);
}
