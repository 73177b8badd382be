// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice EIP-712 hash of a receipt as Solidity computes it: `RECEIPT_TYPES` of
/// protocol/receipt.ts, member by member. Test only.
library ReceiptHasher {
    struct Span {
        uint32 outputStart;
        uint32 recordStart;
        uint32 length;
    }

    struct Row {
        bytes32 cluster;
        bytes32 record;
        address contributor;
        int64 influence;
        int64 significance;
        uint64 text;
        Span[] spans;
        uint256 amount;
    }

    struct Receipt {
        bytes32 requestId;
        address payer;
        bytes32 base;
        bytes32 adapter;
        bytes32 indexRoot;
        bytes32[] datanets;
        bytes32 paramsHash;
        uint32 methodVersion;
        bytes32 promptHash;
        bytes32 outputHash;
        bytes32 queryHash;
        uint32 promptTokens;
        uint32 completionTokens;
        uint256 fee;
        uint256 platform;
        uint256 model;
        uint256 stakers;
        address modelOwner;
        Row[] rows;
        uint256 unattributed;
        address worker;
        uint64 time;
    }

    bytes private constant SPAN = "Span(uint32 outputStart,uint32 recordStart,uint32 length)";
    bytes private constant ROW =
        "Row(bytes32 cluster,bytes32 record,address contributor,int64 influence,int64 significance,uint64 text,Span[] spans,uint256 amount)";
    bytes private constant RECEIPT =
        "Receipt(bytes32 requestId,address payer,bytes32 base,bytes32 adapter,bytes32 indexRoot,bytes32[] datanets,bytes32 paramsHash,uint32 methodVersion,bytes32 promptHash,bytes32 outputHash,bytes32 queryHash,uint32 promptTokens,uint32 completionTokens,uint256 fee,uint256 platform,uint256 model,uint256 stakers,address modelOwner,Row[] rows,uint256 unattributed,address worker,uint64 time)";

    function structHash(Receipt calldata r) internal pure returns (bytes32) {
        // In three parts, because the stack holds too few operands for one; all members are static.
        bytes memory head = abi.encode(
            keccak256(bytes.concat(RECEIPT, ROW, SPAN)),
            r.requestId,
            r.payer,
            r.base,
            r.adapter,
            r.indexRoot,
            keccak256(abi.encodePacked(r.datanets)),
            r.paramsHash
        );
        bytes memory middle = abi.encode(
            r.methodVersion,
            r.promptHash,
            r.outputHash,
            r.queryHash,
            r.promptTokens,
            r.completionTokens
        );
        bytes memory tail = abi.encode(
            r.fee,
            r.platform,
            r.model,
            r.stakers,
            r.modelOwner,
            _rows(r.rows),
            r.unattributed,
            r.worker,
            r.time
        );
        return keccak256(bytes.concat(head, middle, tail));
    }

    function _rows(Row[] calldata rows) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](rows.length);
        for (uint256 i = 0; i < rows.length; ++i) {
            Row calldata row = rows[i];
            hashes[i] = keccak256(
                abi.encode(
                    keccak256(bytes.concat(ROW, SPAN)),
                    row.cluster,
                    row.record,
                    row.contributor,
                    row.influence,
                    row.significance,
                    row.text,
                    _spans(row.spans),
                    row.amount
                )
            );
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _spans(Span[] calldata spans) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](spans.length);
        for (uint256 i = 0; i < spans.length; ++i) {
            Span calldata span = spans[i];
            hashes[i] = keccak256(
                abi.encode(keccak256(SPAN), span.outputStart, span.recordStart, span.length)
            );
        }
        return keccak256(abi.encodePacked(hashes));
    }
}
