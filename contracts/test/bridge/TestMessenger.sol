// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICrossDomainMessenger} from "../../src/interfaces/IOpenBridge.sol";

/// @notice The OP Stack's CrossDomainMessenger as an application sees it: a message is relayed once
/// with success, a failed one can be relayed again by anyone. Who relays first stands for the
/// portal.
contract TestMessenger is ICrossDomainMessenger {
    address public immutable PORTAL = msg.sender;

    address public xDomainMessageSender;
    uint256 public messageNonce;
    mapping(bytes32 hash => bool) public successfulMessages;
    mapping(bytes32 hash => bool) public failedMessages;

    event SentMessage(
        address indexed target,
        address sender,
        bytes message,
        uint256 messageNonce,
        uint256 gasLimit
    );
    event RelayedMessage(bytes32 indexed msgHash);
    event FailedRelayedMessage(bytes32 indexed msgHash);

    function sendMessage(address target, bytes calldata message, uint32 minGasLimit)
        external
        payable
    {
        require(msg.value == 0, "value is not sent on a custom gas token chain");
        emit SentMessage(target, msg.sender, message, messageNonce++, minGasLimit);
    }

    function relayMessage(uint256 nonce, address sender, address target, bytes calldata message)
        external
    {
        bytes32 hash = keccak256(abi.encode(nonce, sender, target, message));
        require(msg.sender == PORTAL || failedMessages[hash], "only the portal, or a retry");
        require(!successfulMessages[hash], "relayed already");
        xDomainMessageSender = sender;
        (bool ok,) = target.call(message);
        xDomainMessageSender = address(0);
        if (ok) {
            successfulMessages[hash] = true;
            emit RelayedMessage(hash);
        } else {
            failedMessages[hash] = true;
            emit FailedRelayedMessage(hash);
        }
    }
}
