// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The part of the OP Stack's CrossDomainMessenger that the bridges use.
interface ICrossDomainMessenger {
    function sendMessage(address target, bytes calldata message, uint32 minGasLimit)
        external
        payable;
    function xDomainMessageSender() external view returns (address);
}

/// @notice The part of the LiquidityController predeploy that the L2 bridge uses; it must be
/// authorized there as a minter.
interface ILiquidityController {
    function mint(address to, uint256 amount) external;
    function burn() external payable;
}

/// @title One end of the bridge between the OPEN ERC-20 on L1 and native OPEN on L2
/// @notice Nobody owns it. Each end believes the other end alone, as the chain's messenger names
/// it, and lets at most so much in at a time: whoever could forge a message would be slow. A
/// message
/// over the limit fails, stays with the messenger, and can be relayed again by anyone when the
/// limit has recovered; no end takes in more at once than the other can ever let out.
/// @dev At any time: locked on L1 = minted - burned on L2 + under way in both directions.
interface IOpenBridge {
    event Sent(address indexed from, address indexed to, uint256 amount);
    event Received(address indexed to, uint256 amount);

    error NotMessenger(address caller);
    error NotOtherBridge(address sender);
    error OverLimit(uint256 amount, uint256 available);
    error OverCapacity(uint256 amount, uint256 capacity);
    error ZeroAddress();
    error ZeroAmount();

    /// @notice Pays out what was sent from the other end; by the messenger, in its name.
    function receiveFromOther(address to, uint256 amount) external;

    /// @notice Wei that may be received now.
    function available() external view returns (uint256);
}
