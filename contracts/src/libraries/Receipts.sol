// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.37;

/// @notice Receipts as openings: `RECEIPT_TYPES` of protocol/receipt.ts, member by member, with
/// lists given as their EIP-712 hashes, so that a challenge shows only the lists it is about.
library Receipts {
    struct Span {
        uint32 outputStart;
        uint32 recordStart;
        uint32 length;
    }

    /// @param spansHash `spansHash` of its spans.
    struct Row {
        bytes32 cluster;
        bytes32 record;
        address contributor;
        int64 influence;
        int64 significance;
        uint64 text;
        bytes32 spansHash;
        uint256 amount;
    }

    /// @param datanetsHash `listHash` of the Datanet versions' roots.
    /// @param clustersHash keccak256 of the first 20 bytes of every row's cluster.
    /// @param rowsHash `rowsHash` of the rows.
    struct Head {
        bytes32 requestId;
        address payer;
        bytes32 base;
        bytes32 adapter;
        bytes32 indexRoot;
        bytes32 datanetsHash;
        bytes32 paramsHash;
        uint32 methodVersion;
        bytes32 promptHash;
        bytes32 outputHash;
        bytes32 outputRoot;
        uint32 outputTokens;
        bytes32 queryHash;
        uint32 promptTokens;
        uint32 completionTokens;
        uint256 fee;
        uint256 platform;
        uint256 model;
        uint256 stakers;
        address modelOwner;
        uint64 covered;
        uint64 total;
        int64 floor;
        bytes32 clustersHash;
        bytes32 rowsHash;
        uint256 unattributed;
        bool stored;
        address worker;
        uint64 time;
    }

    bytes32 private constant SPAN =
        keccak256("Span(uint32 outputStart,uint32 recordStart,uint32 length)");
    bytes32 private constant ROW = keccak256(
        "Row(bytes32 cluster,bytes32 record,address contributor,int64 influence,int64 significance,uint64 text,Span[] spans,uint256 amount)Span(uint32 outputStart,uint32 recordStart,uint32 length)"
    );
    bytes32 private constant RECEIPT = keccak256(
        "Receipt(bytes32 requestId,address payer,bytes32 base,bytes32 adapter,bytes32 indexRoot,bytes32[] datanets,bytes32 paramsHash,uint32 methodVersion,bytes32 promptHash,bytes32 outputHash,bytes32 outputRoot,uint32 outputTokens,bytes32 queryHash,uint32 promptTokens,uint32 completionTokens,uint256 fee,uint256 platform,uint256 model,uint256 stakers,address modelOwner,uint64 covered,uint64 total,int64 floor,bytes clusters,Row[][] rows,uint256 unattributed,bool stored,address worker,uint64 time)Row(bytes32 cluster,bytes32 record,address contributor,int64 influence,int64 significance,uint64 text,Span[] spans,uint256 amount)Span(uint32 outputStart,uint32 recordStart,uint32 length)"
    );
    /// @notice Rows are hashed in groups of so many.
    uint256 internal constant ROWS_PER_GROUP = 8;
    uint256 private constant HEAD_WORDS = 29;
    uint256 private constant ROW_WORDS = 8;
    uint256 private constant SPAN_WORDS = 3;

    /// @notice EIP-712 hash of a receipt in a domain: what the worker signs.
    function digest(Head calldata head, bytes32 domainSeparator) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator, structHash(head)));
    }

    function structHash(Head calldata head) internal pure returns (bytes32) {
        uint256 offset;
        assembly {
            offset := head
        }
        return _hashWords(RECEIPT, offset, HEAD_WORDS);
    }

    function rowHash(Row calldata row) internal pure returns (bytes32) {
        uint256 offset;
        assembly {
            offset := row
        }
        return _hashWords(ROW, offset, ROW_WORDS);
    }

    /// @notice What `Head.rowsHash` must be for these rows.
    function rowsHash(Row[] calldata rows) internal pure returns (bytes32) {
        uint256 count = rows.length;
        bytes32[] memory groups = new bytes32[]((count + ROWS_PER_GROUP - 1) / ROWS_PER_GROUP);
        for (uint256 i = 0; i < groups.length; ++i) {
            uint256 first = i * ROWS_PER_GROUP;
            uint256 left = count - first;
            bytes32[] memory hashes = new bytes32[](left < ROWS_PER_GROUP ? left : ROWS_PER_GROUP);
            for (uint256 j = 0; j < hashes.length; ++j) {
                hashes[j] = rowHash(rows[first + j]);
            }
            groups[i] = _hashList(hashes);
        }
        return _hashList(groups);
    }

    /// @notice What `Head.clustersHash` must be for these rows.
    function clustersHash(Row[] calldata rows) internal pure returns (bytes32) {
        bytes memory clusters = new bytes(20 * rows.length + 12);
        for (uint256 i = 0; i < rows.length; ++i) {
            bytes32 cluster = rows[i].cluster;
            // Each is written over the last 12 bytes of the one before.
            assembly ("memory-safe") {
                mstore(add(add(clusters, 0x20), mul(20, i)), cluster)
            }
        }
        uint256 size = 20 * rows.length;
        assembly ("memory-safe") {
            mstore(clusters, size)
        }
        return keccak256(clusters);
    }

    function spansHash(Span[] calldata spans) internal pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](spans.length);
        for (uint256 i = 0; i < spans.length; ++i) {
            Span calldata span = spans[i];
            uint256 offset;
            assembly {
                offset := span
            }
            hashes[i] = _hashWords(SPAN, offset, SPAN_WORDS);
        }
        return _hashList(hashes);
    }

    function listHash(bytes32[] calldata list) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(list));
    }

    /// @dev keccak256(abi.encodePacked(list)) without the copy.
    function _hashList(bytes32[] memory list) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(add(list, 0x20), shl(5, mload(list)))
        }
    }

    /// @dev keccak256 of a type hash and words of calldata as they are. A member with dirty bits
    /// makes a hash that no signed receipt has; reading the member reverts.
    function _hashWords(bytes32 typeHash, uint256 offset, uint256 words)
        private
        pure
        returns (bytes32 hash)
    {
        // Equal to keccak256(abi.encode(typeHash, words of calldata at offset)), without a stack
        // slot for each.
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := shl(5, words)
            mstore(free, typeHash)
            calldatacopy(add(free, 0x20), offset, size)
            hash := keccak256(free, add(size, 0x20))
        }
    }
}
