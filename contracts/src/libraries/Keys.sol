// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Keys of the governed numbers that contracts read; the full table is
/// protocol/parameters.ts.
library Keys {
    /// @dev Seconds in which an epoch may be disabled and a batch challenged.
    bytes32 internal constant SETTLEMENT_WINDOW = "settlement.window";
    /// @dev Wei a submitter must have at stake.
    bytes32 internal constant SETTLEMENT_BOND = "settlement.bond";
    /// @dev Wei for the registration of a Datanet.
    bytes32 internal constant DATANET_FEE = "fee.datanet";
    /// @dev Wei for the registration of a base model or an adapter.
    bytes32 internal constant MODEL_FEE = "fee.model";
    /// @dev Wei locked with a contribution batch.
    bytes32 internal constant CONTRIBUTION_BOND = "bond.contribution";
    /// @dev Seconds between the request of a withdrawal and the withdrawal.
    bytes32 internal constant WITHDRAW_DELAY = "vault.withdrawDelay";
}
