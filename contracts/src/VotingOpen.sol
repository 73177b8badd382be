// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./Governed.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IVotingOpen} from "./interfaces/IVotingOpen.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IVotingOpen.
contract VotingOpen is IVotingOpen, Governed, ERC20Votes {
    /// @inheritdoc IVotingOpen
    address public staking;
    /// @inheritdoc IVotingOpen
    mapping(address account => uint256 wei_) public stakeOf;

    constructor(IParameters parameters)
        Governed(parameters)
        ERC20("Voting OPEN", "vOPEN")
        EIP712("Voting OPEN", "1")
    {}

    /// @notice Wraps what is sent, like `deposit`.
    receive() external payable {
        deposit();
    }

    /// @inheritdoc IVotingOpen
    function setStaking(address staking_) external onlyGovernance {
        if (staking != address(0)) revert StakingAlreadySet(staking);
        if (staking_ == address(0)) revert ZeroAddress();
        staking = staking_;
        emit StakingSet(staking_);
    }

    /// @inheritdoc IVotingOpen
    function deposit() public payable {
        if (msg.value == 0) revert ZeroAmount();
        emit Wrapped(msg.sender, msg.value);
        _mint(msg.sender, msg.value);
    }

    /// @inheritdoc IVotingOpen
    function withdraw(uint256 amount, address to) external {
        if (amount == 0) revert ZeroAmount();
        if (to == address(0)) revert ZeroAddress();
        emit Unwrapped(msg.sender, to, amount);
        _burn(msg.sender, amount);
        SafeTransferLib.safeTransferETH(to, amount);
    }

    /// @inheritdoc IVotingOpen
    function stakeChanged(address account, uint256 stake) external {
        if (msg.sender != staking) revert NotStaking(msg.sender);
        uint256 previous = stakeOf[account];
        stakeOf[account] = stake;
        emit StakeChanged(account, previous, stake);
        if (stake > previous) _transferVotingUnits(address(0), account, stake - previous);
        else _transferVotingUnits(account, address(0), previous - stake);
    }

    /// @notice Whom an account votes through: itself until it delegates.
    function delegates(address account) public view override returns (address delegatee) {
        delegatee = super.delegates(account);
        if (delegatee == address(0)) delegatee = account;
    }

    /// @notice Unix time: blocks of an L2 come at no promised pace.
    function clock() public view override returns (uint48) {
        return uint48(block.timestamp);
    }

    /// @notice ERC-6372's name for `clock`.
    // forge-lint: disable-next-line(mixed-case-function)
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @dev Wrapped and staked alike.
    function _getVotingUnits(address account) internal view override returns (uint256) {
        return super._getVotingUnits(account) + stakeOf[account];
    }

    /// @dev Delegating to nobody means to oneself, as before any delegation.
    function _delegate(address account, address delegatee) internal override {
        super._delegate(account, delegatee == address(0) ? account : delegatee);
    }
}
