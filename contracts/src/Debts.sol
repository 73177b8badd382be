// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDebts} from "./interfaces/IDebts.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IDebts.
abstract contract Debts is IDebts {
    /// @inheritdoc IDebts
    mapping(address account => uint256 wei_) public owed;

    /// @inheritdoc IDebts
    function withdrawOwed(address to) external {
        if (to == address(0)) revert ZeroAddress();
        uint256 amount = owed[msg.sender];
        if (amount == 0) revert ZeroAmount();
        owed[msg.sender] = 0;
        emit OwedWithdrawn(msg.sender, to, amount);
        SafeTransferLib.safeTransferETH(to, amount);
    }
}
