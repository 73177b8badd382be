// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILiquidityController} from "../../src/interfaces/IOpenBridge.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice The LiquidityController predeploy with its NativeAssetLiquidity: holds all native OPEN
/// that was never minted. Without a constructor, so that its code can be put at the predeploy's
/// address.
contract TestLiquidityController is ILiquidityController {
    mapping(address account => bool) public minters;

    error LiquidityController_Unauthorized();

    function authorizeMinter(address minter) external {
        minters[minter] = true;
    }

    function mint(address to, uint256 amount) external {
        if (!minters[msg.sender]) revert LiquidityController_Unauthorized();
        SafeTransferLib.forceSafeTransferETH(to, amount);
    }

    function burn() external payable {
        if (!minters[msg.sender]) revert LiquidityController_Unauthorized();
    }
}
