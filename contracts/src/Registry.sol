// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./Governed.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IRegistry.
abstract contract Registry is IRegistry, Governed {
    /// @inheritdoc IRegistry
    address public operator;
    /// @inheritdoc IRegistry
    uint256 public fees;

    constructor(IParameters parameters) Governed(parameters) {}

    /// @inheritdoc IRegistry
    function setOperator(address current) external onlyGovernance {
        emit OperatorSet(operator, current);
        operator = current;
    }

    /// @inheritdoc IRegistry
    function collectFees(address to) external onlyGovernance {
        uint256 amount = fees;
        fees = 0;
        emit FeesCollected(to, amount);
        SafeTransferLib.safeTransferETH(to, amount);
    }

    /// @dev Takes exactly the fee that is due now.
    function _takeFee(bytes32 key) internal {
        _requireValue(key);
        fees += msg.value;
    }

    function _requireValue(bytes32 key) internal view {
        uint256 due = PARAMETERS.get(key);
        if (msg.value != due) revert WrongValue(msg.value, due);
    }

    function _requireOwnerOrOperator(address owner) internal view {
        if (msg.sender != owner && msg.sender != operator) revert NotAuthorized(msg.sender, owner);
    }

    function _requireNonZero(bytes32 value) internal pure {
        if (value == 0) revert ZeroValue();
    }

    function _requireNonZero(address value) internal pure {
        if (value == address(0)) revert ZeroValue();
    }
}
