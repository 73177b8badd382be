// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.37;

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
        uint64 squaredNorm,
        bytes32 tokensRoot,
        uint32 tokens
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
                squaredNorm,
                tokensRoot,
                tokens
            )
        );
    }

    /// @notice A receipt of an epoch: its request, its EIP-712 hash, and what its payer owes for
    /// the epoch's receipts up to and with it.
    function receipt(bytes32 requestId, bytes32 receiptHash, uint256 spent)
        internal
        pure
        returns (bytes32)
    {
        return twice(abi.encode(requestId, receiptHash, spent));
    }

    /// @notice What part `part` of receipt number `receiptIndex` pays an account, and what the
    /// account may have claimed in all with it.
    function credit(
        address account,
        uint32 receiptIndex,
        uint32 part,
        uint256 amount,
        uint256 cumulative
    ) internal pure returns (bytes32) {
        return twice(abi.encode(account, receiptIndex, part, amount, cumulative));
    }

    /// @notice Wei an account may have claimed in all after an epoch.
    function payout(address account, uint256 cumulative) internal pure returns (bytes32) {
        return twice(abi.encode(account, cumulative));
    }

    /// @notice keccak256(keccak256(bytes)): a leaf that is bytes.
    function twice(bytes memory columns) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(columns)));
    }
}
