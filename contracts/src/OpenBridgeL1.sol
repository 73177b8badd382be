// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OpenBridge} from "./OpenBridge.sol";
import {ICrossDomainMessenger} from "./interfaces/IOpenBridge.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice The end on L1: locks the OPEN ERC-20. See IOpenBridge.
contract OpenBridgeL1 is OpenBridge {
    address public immutable TOKEN;

    /// @param token A plain ERC-20 of 18 decimals that moves exactly what it is told to.
    constructor(
        address token,
        ICrossDomainMessenger messenger,
        address other,
        uint256 capacity,
        uint256 perSecond
    ) OpenBridge(messenger, other, capacity, perSecond) {
        if (token == address(0)) revert ZeroAddress();
        TOKEN = token;
    }

    /// @notice Locks `amount` of the caller's OPEN, which it has approved; `to` receives native
    /// OPEN on L2.
    function deposit(address to, uint256 amount) external {
        SafeTransferLib.safeTransferFrom(TOKEN, msg.sender, address(this), amount);
        _send(to, amount);
    }

    function _payOut(address to, uint256 amount) internal override {
        SafeTransferLib.safeTransfer(TOKEN, to, amount);
    }
}
