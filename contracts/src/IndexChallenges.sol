// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReceiptOpener} from "./ReceiptOpener.sol";
import {IAttributionSettlement} from "./interfaces/IAttributionSettlement.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {
    IReceiptChallenges,
    IndexRow,
    ReceiptOpening,
    RowOpening,
    TokenOpening
} from "./interfaces/IReceiptChallenges.sol";
import {Leaf} from "./libraries/Leaf.sol";
import {OrderedTree} from "./libraries/OrderedTree.sol";
import {Receipts} from "./libraries/Receipts.sol";
import {Score} from "./libraries/Score.sol";
import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";

/// @notice The challenges of IReceiptChallenges that hold a receipt against its adapter's index:
/// scores, spans, and what should have been listed.
abstract contract IndexChallenges is IReceiptChallenges, ReceiptOpener {
    /// @dev protocol/tokens.ts.
    uint256 private constant TOKENS_PER_LEAF = 32;
    uint256 private constant TOKEN_BYTES = 4;

    IDatanetRegistry public immutable DATANETS;

    constructor(
        IAttributionSettlement settlement,
        IParameters parameters,
        IDatanetRegistry datanets
    ) ReceiptOpener(settlement, parameters) {
        DATANETS = datanets;
    }

    /// @inheritdoc IReceiptChallenges
    function challengeScore(
        ReceiptOpening calldata receipt,
        RowOpening calldata listed,
        IndexRow calldata indexRow,
        bytes calldata query,
        bytes calldata vector
    ) external {
        _requireReceipt(receipt);
        _requireRow(receipt.head, listed);
        _requireIndexed(receipt.head, indexRow);
        Receipts.Row calldata row = listed.row;
        if (row.record != indexRow.record) revert WrongOpening("record");
        bool isRight = row.cluster == indexRow.cluster && row.contributor == indexRow.contributor;
        if (isRight) {
            (bool isComparable, int256 influence, int256 significance) =
                _score(receipt.head, indexRow, query, vector);
            isRight = isComparable && influence == row.influence && significance == row.significance;
        }
        _prove(receipt, isRight, Fault.Score);
    }

    /// @inheritdoc IReceiptChallenges
    function challengeSpan(
        ReceiptOpening calldata receipt,
        RowOpening calldata listed,
        Receipts.Span[] calldata spans,
        uint256 which,
        IndexRow calldata indexRow,
        uint256 offset,
        TokenOpening calldata output,
        TokenOpening calldata record
    ) external {
        _requireReceipt(receipt);
        _requireRow(receipt.head, listed);
        _requireIndexed(receipt.head, indexRow);
        if (listed.row.record != indexRow.record) revert WrongOpening("record");
        if (Receipts.spansHash(spans) != listed.row.spansHash || which >= spans.length) {
            revert WrongOpening("spans");
        }
        bool isRight = _isSpanRight(receipt.head, spans[which], indexRow, offset, output, record);
        _prove(receipt, isRight, Fault.Span);
    }

    /// @inheritdoc IReceiptChallenges
    function challengeOmission(
        ReceiptOpening calldata receipt,
        bytes calldata clusters,
        IndexRow calldata indexRow,
        bytes calldata query,
        bytes calldata vector
    ) external {
        _requireReceipt(receipt);
        _requireIndexed(receipt.head, indexRow);
        _requireStanding(receipt.epoch, indexRow);
        if (keccak256(clusters) != receipt.head.clustersHash) {
            revert WrongOpening("clusters");
        }
        if (_isAmong(clusters, indexRow.cluster)) revert NoFault();
        (bool isComparable, int256 influence, int256 significance) =
            _score(receipt.head, indexRow, query, vector);
        bool isRight = isComparable
            && (influence <= receipt.head.floor
                || !Score.isSignificant(influence, significance, _rules(receipt.head.paramsHash)));
        _prove(receipt, isRight, Fault.Omission);
    }

    /* ----------------------------------- internals ---------------------------------- */

    function _prove(ReceiptOpening calldata receipt, bool isRight, Fault fault) internal {
        if (isRight) revert NoFault();
        emit FaultProven(receipt.epoch, receipt.head.requestId, msg.sender, fault);
        SETTLEMENT.fault(receipt.epoch, msg.sender);
    }

    function _requireIndexed(Receipts.Head calldata head, IndexRow calldata row) private pure {
        if (!MerkleProofLib.verifyCalldata(row.proof, head.indexRoot, _indexLeaf(row))) {
            revert NotInIndex(row.record);
        }
    }

    /// @dev Reverts when the row's record was revoked on chain before the epoch came: it may have
    /// been left out for that.
    function _requireStanding(uint64 epoch, IndexRow calldata row) private view {
        uint256 time = DATANETS.revokedAt(row.contributor, row.record);
        if (time != 0 && time <= SETTLEMENT.submittedAt(epoch)) {
            revert RecordRevoked(row.record, time);
        }
    }

    /// @dev Whether a span lies within answer and record, and token `offset` of it is in both.
    function _isSpanRight(
        Receipts.Head calldata head,
        Receipts.Span calldata span,
        IndexRow calldata indexRow,
        uint256 offset,
        TokenOpening calldata output,
        TokenOpening calldata record
    ) private pure returns (bool) {
        if (
            span.length == 0 || uint256(span.outputStart) + span.length > head.outputTokens
                || uint256(span.recordStart) + span.length > indexRow.tokens
        ) return false;
        if (offset >= span.length) revert WrongOpening("offset");
        bytes4 written =
            _token(output, head.outputRoot, head.outputTokens, span.outputStart + offset);
        return
            written
                == _token(record, indexRow.tokensRoot, indexRow.tokens, span.recordStart + offset);
    }

    function _isAmong(bytes calldata clusters, bytes32 cluster) private pure returns (bool found) {
        // Equal to comparing bytes20(clusters[i:i + 20]) with bytes20(cluster) for every i.
        assembly ("memory-safe") {
            let end := add(clusters.offset, clusters.length)
            for { let i := clusters.offset } lt(i, end) { i := add(i, 20) } {
                if iszero(shr(96, xor(calldataload(i), cluster))) {
                    found := 1
                    break
                }
            }
        }
    }

    /// @dev Not comparable: the query has another length than the row's vector.
    function _score(
        Receipts.Head calldata head,
        IndexRow calldata row,
        bytes calldata query,
        bytes calldata vector
    ) private pure returns (bool isComparable, int256 influence, int256 significance) {
        if (keccak256(query) != head.queryHash) revert WrongOpening("query");
        if (keccak256(vector) != row.vectorHash) revert WrongOpening("vector");
        if (query.length != vector.length) return (false, 0, 0);
        (int256 product, int256 selfQuery) = Score.products(query, vector);
        // forge-lint: disable-next-line(unsafe-typecast)
        int256 score = Score.relative(product, row.self, uint256(selfQuery));
        return
            (true, score - row.nullMean, Score.significance(score, row.nullMean, row.nullDeviation));
    }

    function _token(TokenOpening calldata opening, bytes32 root, uint256 count, uint256 position)
        private
        pure
        returns (bytes4)
    {
        uint256 index = position / TOKENS_PER_LEAF;
        uint256 leaves = (count + TOKENS_PER_LEAF - 1) / TOKENS_PER_LEAF;
        if (!OrderedTree.verify(opening.proof, root, Leaf.twice(opening.leaf), index, leaves)) {
            revert WrongOpening("token");
        }
        uint256 offset = (position % TOKENS_PER_LEAF) * TOKEN_BYTES;
        // A leaf that is too short commits to nothing there, which equals no token id.
        if (offset + TOKEN_BYTES > opening.leaf.length) return 0xffffffff;
        return bytes4(opening.leaf[offset:offset + TOKEN_BYTES]);
    }
}
