// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IParameters} from "./interfaces/IParameters.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @notice The one owner of every privileged role: runs what the governor has queued, after a
/// delay. It has no administrator but itself.
contract OpenTimelock is TimelockController {
    IParameters public immutable PARAMETERS;

    /// @param governor The only account that may queue, cancel and run.
    constructor(uint256 minDelay, address governor, IParameters parameters)
        TimelockController(minDelay, _one(governor), _one(governor), address(0))
    {
        PARAMETERS = parameters;
    }

    /// @notice Accepts the governance of the whole system that this timelock was offered; anyone
    /// may call.
    function acceptGovernance() external {
        PARAMETERS.acceptGovernance();
    }

    function _one(address account) private pure returns (address[] memory accounts) {
        accounts = new address[](1);
        accounts[0] = account;
    }
}
