// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What a contributor's past was like; the same integers as protocol/curation.ts. All in
/// parts per million.
library Penalty {
    uint256 internal constant PPM = 1_000_000;

    /// @notice Exponential moving average of outcomes: 0 for a clean batch, its severity for a
    /// rejected one. Rounded down, so that clean work ends at zero.
    function next(uint256 penalty, uint256 outcome, uint256 weight)
        internal
        pure
        returns (uint256)
    {
        return (penalty * (PPM - weight) + outcome * weight) / PPM;
    }
}
