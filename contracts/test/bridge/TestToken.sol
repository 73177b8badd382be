// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice OPEN on L1: a plain ERC-20 with all of its supply minted at once.
contract TestToken is ERC20("Open", "OPEN") {
    constructor() {
        _mint(msg.sender, 1e9 ether);
    }
}
