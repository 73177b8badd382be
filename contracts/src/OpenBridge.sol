// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICrossDomainMessenger, IOpenBridge} from "./interfaces/IOpenBridge.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

/// @notice What both ends do alike.
abstract contract OpenBridge is IOpenBridge {
    using SafeCastLib for uint256;

    /// @notice Gas that the other end surely needs.
    uint32 public constant MIN_GAS = 200_000;

    ICrossDomainMessenger public immutable MESSENGER;
    address public immutable OTHER;
    /// @notice Wei that may be received at once after a long rest.
    uint256 public immutable CAPACITY;
    /// @notice Wei by which the limit recovers each second.
    uint256 public immutable PER_SECOND;

    uint192 private _available;
    uint64 private _updatedAt;

    constructor(
        ICrossDomainMessenger messenger,
        address other,
        uint256 capacity,
        uint256 perSecond
    ) {
        if (address(messenger) == address(0) || other == address(0)) {
            revert ZeroAddress();
        }
        if (capacity == 0 || perSecond == 0) revert ZeroAmount();
        (MESSENGER, OTHER, CAPACITY, PER_SECOND) = (messenger, other, capacity, perSecond);
        (_available, _updatedAt) = (capacity.toUint192(), uint64(block.timestamp));
    }

    /// @inheritdoc IOpenBridge
    function receiveFromOther(address to, uint256 amount) external {
        if (msg.sender != address(MESSENGER)) revert NotMessenger(msg.sender);
        address sender = MESSENGER.xDomainMessageSender();
        if (sender != OTHER) revert NotOtherBridge(sender);
        uint256 limit = available();
        if (amount > limit) revert OverLimit(amount, limit);
        (_available, _updatedAt) = ((limit - amount).toUint192(), uint64(block.timestamp));
        emit Received(to, amount);
        _payOut(to, amount);
    }

    /// @inheritdoc IOpenBridge
    function available() public view returns (uint256 limit) {
        limit = _available + PER_SECOND * (block.timestamp - _updatedAt);
        if (limit > CAPACITY) limit = CAPACITY;
    }

    /// @dev Tells the other end of an amount that this end has already taken in.
    function _send(address to, uint256 amount) internal {
        if (to == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        if (amount > CAPACITY) revert OverCapacity(amount, CAPACITY);
        emit Sent(msg.sender, to, amount);
        MESSENGER.sendMessage(
            OTHER, abi.encodeCall(IOpenBridge.receiveFromOther, (to, amount)), MIN_GAS
        );
    }

    function _payOut(address to, uint256 amount) internal virtual;
}
