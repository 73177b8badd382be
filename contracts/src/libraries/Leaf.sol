// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Leaves of every Merkle tree of the system, column by column as `LEAF_TYPES` of
/// protocol/merkle.ts: keccak256(keccak256(abi.encode(columns))). Hashing twice keeps leaves and
/// inner nodes apart.
library Leaf {
    /// @notice A record of a contribution batch or of a Datanet version.
    function record(bytes32 recordHash, bytes32 cluster, address contributor)
        internal
        pure
        returns (bytes32)
    {
        return twice(abi.encode(recordHash, cluster, contributor));
    }

    /// @notice A row of an adapter's influence index; protocol/influence-row.ts names the columns.
    function indexRow(
        bytes32 recordHash,
        bytes32 cluster,
        address contributor,
        bytes32 vectorHash,
        int16 exponent,
        int64 nullMean,
        uint64 nullDeviation,
        uint64 squaredNorm
    ) internal pure returns (bytes32) {
        return twice(
            abi.encode(
                recordHash,
                cluster,
                contributor,
                vectorHash,
                exponent,
                nullMean,
                nullDeviation,
                squaredNorm
            )
        );
    }

    /// @notice A receipt of an epoch: its request and its EIP-712 hash.
    function receipt(bytes32 requestId, bytes32 receiptHash) internal pure returns (bytes32) {
        return twice(abi.encode(requestId, receiptHash));
    }

    /// @notice Wei an account may have claimed in all after an epoch.
    function payout(address account, uint256 cumulative) internal pure returns (bytes32) {
        return twice(abi.encode(account, cumulative));
    }

    function twice(bytes memory columns) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(columns)));
    }
}
