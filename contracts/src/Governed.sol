// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IParameters} from "./interfaces/IParameters.sol";

/// @notice A contract that reads the governed numbers and obeys who governs them: handing over
/// `Parameters` hands over the whole system in one step.
abstract contract Governed {
    IParameters public immutable PARAMETERS;

    modifier onlyGovernance() {
        _onlyGovernance();
        _;
    }

    constructor(IParameters parameters) {
        PARAMETERS = parameters;
    }

    /// @dev A governed number by its key in `Keys`.
    function _number(bytes32 key) internal view returns (uint256) {
        return PARAMETERS.get(key);
    }

    function _onlyGovernance() private view {
        if (msg.sender != PARAMETERS.governance()) revert IParameters.NotGovernance(msg.sender);
    }
}
