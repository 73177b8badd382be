// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./Governed.sol";
import {Draw, IInferenceVault} from "./interfaces/IInferenceVault.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {Keys} from "./libraries/Keys.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IInferenceVault.
contract InferenceVault is IInferenceVault, Governed {
    struct Withdrawal {
        uint256 amount;
        uint256 availableAt;
    }

    /// @inheritdoc IInferenceVault
    address public settlement;
    /// @inheritdoc IInferenceVault
    mapping(address account => uint256 wei_) public balanceOf;
    /// @inheritdoc IInferenceVault
    mapping(address account => Withdrawal) public pendingWithdrawal;

    modifier onlySettlement() {
        _onlySettlement();
        _;
    }

    constructor(IParameters parameters) Governed(parameters) {}

    /// @inheritdoc IInferenceVault
    function setSettlement(address settlement_) external onlyGovernance {
        if (settlement != address(0)) revert SettlementAlreadySet(settlement);
        if (settlement_ == address(0)) revert ZeroAddress();
        settlement = settlement_;
        emit SettlementSet(settlement_);
    }

    /// @inheritdoc IInferenceVault
    function deposit(address account) external payable {
        if (account == address(0)) revert ZeroAddress();
        if (msg.value == 0) revert ZeroAmount();
        balanceOf[account] += msg.value;
        emit Deposited(account, msg.sender, msg.value);
    }

    /// @inheritdoc IInferenceVault
    function requestWithdrawal(uint256 amount) external {
        uint256 balance = balanceOf[msg.sender];
        if (amount > balance) revert InsufficientBalance(msg.sender, balance, amount);
        uint256 availableAt =
            amount == 0 ? 0 : block.timestamp + PARAMETERS.get(Keys.WITHDRAW_DELAY);
        pendingWithdrawal[msg.sender] = Withdrawal({amount: amount, availableAt: availableAt});
        emit WithdrawalRequested(msg.sender, amount, availableAt);
    }

    /// @inheritdoc IInferenceVault
    function withdraw(address to) external {
        if (to == address(0)) revert ZeroAddress();
        Withdrawal memory pending = pendingWithdrawal[msg.sender];
        if (block.timestamp < pending.availableAt) {
            revert WithdrawalNotAvailable(msg.sender, pending.availableAt);
        }
        uint256 balance = balanceOf[msg.sender];
        uint256 amount = pending.amount < balance ? pending.amount : balance;
        if (amount == 0) revert NothingToWithdraw(msg.sender);
        delete pendingWithdrawal[msg.sender];
        balanceOf[msg.sender] = balance - amount;
        emit Withdrawn(msg.sender, to, amount);
        SafeTransferLib.safeTransferETH(to, amount);
    }

    /// @inheritdoc IInferenceVault
    function draw(uint64 epoch, Draw[] calldata draws)
        external
        onlySettlement
        returns (uint256 total)
    {
        for (uint256 i = 0; i < draws.length; ++i) {
            (address payer, uint256 amount) = (draws[i].payer, draws[i].amount);
            uint256 balance = balanceOf[payer];
            if (amount > balance) revert InsufficientBalance(payer, balance, amount);
            balanceOf[payer] = balance - amount;
            total += amount;
            emit Drawn(payer, epoch, amount);
        }
        SafeTransferLib.safeTransferETH(msg.sender, total);
    }

    /// @inheritdoc IInferenceVault
    function restore(uint64 epoch, Draw[] calldata draws) external payable onlySettlement {
        uint256 sum = 0;
        for (uint256 i = 0; i < draws.length; ++i) {
            (address payer, uint256 amount) = (draws[i].payer, draws[i].amount);
            balanceOf[payer] += amount;
            sum += amount;
            emit Restored(payer, epoch, amount);
        }
        if (sum != msg.value) revert SumMismatch(sum, msg.value);
    }

    function _onlySettlement() private view {
        if (msg.sender != settlement) revert NotSettlement(msg.sender);
    }
}
