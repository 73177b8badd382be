// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OpenBridge} from "./OpenBridge.sol";
import {ICrossDomainMessenger, ILiquidityController} from "./interfaces/IOpenBridge.sol";

/// @notice The end on L2: mints and burns native OPEN. See IOpenBridge.
contract OpenBridgeL2 is OpenBridge {
    ILiquidityController public immutable CONTROLLER;

    constructor(
        ILiquidityController controller,
        ICrossDomainMessenger messenger,
        address other,
        uint256 capacity,
        uint256 perSecond
    ) OpenBridge(messenger, other, capacity, perSecond) {
        if (address(controller) == address(0)) revert ZeroAddress();
        CONTROLLER = controller;
    }

    /// @notice Burns the sent wei; `to` receives as much of the OPEN ERC-20 on L1, once the
    /// withdrawal is proven and final there.
    function withdraw(address to) external payable {
        CONTROLLER.burn{value: msg.value}();
        _send(to, msg.value);
    }

    function _payOut(address to, uint256 amount) internal override {
        CONTROLLER.mint(to, amount);
    }
}
