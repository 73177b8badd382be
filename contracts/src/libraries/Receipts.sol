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

    /// @param datanet Root of the Datanet version that it was retrieved from.
    struct Citation {
        bytes32 cluster;
        bytes32 record;
        address contributor;
        bytes32 datanet;
        uint256 amount;
    }

    /// @param datanetsHash `listHash` of the Datanet versions' roots.
    /// @param clustersHash keccak256 of the first 20 bytes of every row's cluster.
    /// @param rowsHash `rowsHash` of the rows.
    /// @param citationsHash `citationsHash` of its citations.
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
        uint256 retrieval;
        address modelOwner;
        uint64 covered;
        uint64 total;
        int64 floor;
        bytes32 clustersHash;
        bytes32 rowsHash;
        uint256 unattributed;
        bytes32 citationsHash;
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
        "Receipt(bytes32 requestId,address payer,bytes32 base,bytes32 adapter,bytes32 indexRoot,bytes32[] datanets,bytes32 paramsHash,uint32 methodVersion,bytes32 promptHash,bytes32 outputHash,bytes32 outputRoot,uint32 outputTokens,bytes32 queryHash,uint32 promptTokens,uint32 completionTokens,uint256 fee,uint256 platform,uint256 model,uint256 stakers,uint256 retrieval,address modelOwner,uint64 covered,uint64 total,int64 floor,bytes clusters,Row[][] rows,uint256 unattributed,Citation[] citations,bool stored,address worker,uint64 time)Citation(bytes32 cluster,bytes32 record,address contributor,bytes32 datanet,uint256 amount)Row(bytes32 cluster,bytes32 record,address contributor,int64 influence,int64 significance,uint64 text,Span[] spans,uint256 amount)Span(uint32 outputStart,uint32 recordStart,uint32 length)"
    );
    bytes32 private constant CITATION = keccak256(
        "Citation(bytes32 cluster,bytes32 record,address contributor,bytes32 datanet,uint256 amount)"
    );
    /// @notice `citationsHash` of no citations.
    bytes32 internal constant NO_CITATIONS = keccak256("");
    /// @notice Rows are hashed in groups of so many.
    uint256 internal constant ROWS_PER_GROUP = 8;
    uint256 private constant HEAD_WORDS = 31;
    uint256 private constant ROW_WORDS = 8;
    uint256 private constant SPAN_WORDS = 3;
    uint256 private constant CITATION_WORDS = 5;

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
        uint256 offset;
        assembly {
            offset := rows.offset
        }
        uint256 count = rows.length;
        bytes32[] memory groups = new bytes32[]((count + ROWS_PER_GROUP - 1) / ROWS_PER_GROUP);
        for (uint256 i = 0; i < groups.length; ++i) {
            uint256 first = i * ROWS_PER_GROUP;
            uint256 size = count - first < ROWS_PER_GROUP ? count - first : ROWS_PER_GROUP;
            groups[i] = _hashStructs(ROW, offset + first * ROW_WORDS * 32, size, ROW_WORDS);
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

    /// @notice What `Row.spansHash` must be for these spans.
    function spansHash(Span[] calldata spans) internal pure returns (bytes32) {
        uint256 offset;
        assembly {
            offset := spans.offset
        }
        return _hashStructs(SPAN, offset, spans.length, SPAN_WORDS);
    }

    /// @notice What `Head.citationsHash` must be for these citations.
    function citationsHash(Citation[] calldata citations) internal pure returns (bytes32) {
        uint256 offset;
        assembly {
            offset := citations.offset
        }
        return _hashStructs(CITATION, offset, citations.length, CITATION_WORDS);
    }

    function listHash(bytes32[] calldata list) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(list));
    }

    /// @dev Hash of a list of structs of so many words each, one after the other in calldata.
    function _hashStructs(bytes32 typeHash, uint256 offset, uint256 count, uint256 words)
        private
        pure
        returns (bytes32)
    {
        bytes32[] memory hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            hashes[i] = _hashWords(typeHash, offset + i * words * 32, words);
        }
        return _hashList(hashes);
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
