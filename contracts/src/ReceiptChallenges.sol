// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReceiptOpener} from "./ReceiptOpener.sol";
import {IAttributionSettlement} from "./interfaces/IAttributionSettlement.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {
    IReceiptChallenges,
    IndexRow,
    ReceiptOpening,
    RowOpening,
    TokenOpening
} from "./interfaces/IReceiptChallenges.sol";
import {IValidatorStaking} from "./interfaces/IValidatorStaking.sol";
import {Keys} from "./libraries/Keys.sol";
import {Leaf} from "./libraries/Leaf.sol";
import {OrderedTree} from "./libraries/OrderedTree.sol";
import {Receipts} from "./libraries/Receipts.sol";
import {Score} from "./libraries/Score.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";
import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";

/// @notice Implements IReceiptChallenges.
contract ReceiptChallenges is IReceiptChallenges, ReceiptOpener {
    /// @dev protocol/tokens.ts.
    uint256 private constant TOKENS_PER_LEAF = 32;
    uint256 private constant TOKEN_BYTES = 4;

    IModelRegistry public immutable MODELS;
    IDatanetRegistry public immutable DATANETS;

    constructor(
        IAttributionSettlement settlement,
        IParameters parameters,
        IModelRegistry models,
        IDatanetRegistry datanets
    ) ReceiptOpener(settlement, parameters) {
        MODELS = models;
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

    /// @inheritdoc IReceiptChallenges
    function challengeShares(ReceiptOpening calldata receipt, Receipts.Row[] calldata rows)
        external
    {
        Receipts.Head calldata head = receipt.head;
        _requireReceipt(receipt);
        _requireRows(head, rows);
        // More than there is of OPEN is no fee.
        if (head.fee > type(uint128).max) return _prove(receipt, false, Fault.Shares);
        Score.Rules memory rules = _rules(head.paramsHash);
        Score.FeeSplit memory split =
            Score.splitFee(head.fee, rules, head.citationsHash != Receipts.NO_CITATIONS);
        bool isBase = head.adapter == 0;
        // Nobody contributed to a bare base: its owner gets the contributors' part.
        if (isBase) split.model += split.contributors;
        bool isRight = head.platform == split.platform && head.model == split.model
            && head.stakers == split.stakers && head.retrieval == split.retrieval
            && head.methodVersion == Score.METHOD
            && Receipts.clustersHash(rows) == head.clustersHash;
        if (isRight) {
            isRight = isBase
                ? rows.length == 0 && head.unattributed == 0
                : Score.isAllocation(
                    split.contributors, rows, head.covered, head.total, head.unattributed, rules
                );
        }
        _prove(receipt, isRight, Fault.Shares);
    }

    /// @inheritdoc IReceiptChallenges
    function challengeCitations(
        ReceiptOpening calldata receipt,
        Receipts.Citation[] calldata citations
    ) external {
        _requireReceipt(receipt);
        _requireCitations(receipt.head, citations);
        _prove(receipt, _areCitationsRight(receipt.head, citations), Fault.Citations);
    }

    /// @inheritdoc IReceiptChallenges
    function challengeListing(
        ReceiptOpening calldata receipt,
        Receipts.Row[] calldata rows,
        uint256 position
    ) external {
        _requireReceipt(receipt);
        _requireRows(receipt.head, rows);
        Score.Rules memory rules = _rules(receipt.head.paramsHash);
        _prove(receipt, _isListedRightly(receipt.head, rows, position, rules), Fault.Listing);
    }

    /// @inheritdoc IReceiptChallenges
    function challengeModel(ReceiptOpening calldata receipt, bytes32[] calldata datanets) external {
        Receipts.Head calldata head = receipt.head;
        _requireReceipt(receipt);
        if (Receipts.listHash(datanets) != head.datanetsHash) revert WrongOpening("datanets");
        _prove(receipt, _isModelRight(head, datanets), Fault.Model);
    }

    /// @inheritdoc IReceiptChallenges
    function challengeEquivocation(
        ReceiptOpening calldata receipt,
        bytes calldata signature,
        Receipts.Head calldata other,
        bytes calldata otherSignature
    ) external {
        Receipts.Head calldata head = receipt.head;
        address worker = head.worker;
        bytes32 domain = _domain();
        bytes32 digest = Receipts.digest(head, domain);
        bytes32 otherDigest = Receipts.digest(other, domain);
        if (head.requestId != other.requestId || worker != other.worker || digest == otherDigest) {
            revert NoFault();
        }
        if (
            ECDSA.recoverCalldata(digest, signature) != worker
                || ECDSA.recoverCalldata(otherDigest, otherSignature) != worker
        ) revert WrongOpening("signature");
        if (receipt.epoch != 0) {
            _requireReceipt(receipt);
            SETTLEMENT.disable(receipt.epoch);
        }
        emit FaultProven(receipt.epoch, head.requestId, msg.sender, Fault.Equivocation);
        // A worker without a stake worth the name could stop settlement for nothing by signing
        // twice.
        uint256 slashed =
            IValidatorStaking(SETTLEMENT.STAKING()).slash(worker, type(uint256).max, msg.sender);
        uint256 minimum = PARAMETERS.get(Keys.MINIMUM_STAKE);
        if (slashed == 0 || slashed < minimum) revert TooLittleAtStake(worker, slashed, minimum);
    }

    /* ----------------------------------- internals ---------------------------------- */

    function _prove(ReceiptOpening calldata receipt, bool isRight, Fault fault) private {
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

    function _requireRows(Receipts.Head calldata head, Receipts.Row[] calldata rows) private pure {
        if (Receipts.rowsHash(rows) != head.rowsHash) revert WrongOpening("rows");
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

    /// @dev A model that the registry does not know is not the receipt's either.
    function _isModelRight(Receipts.Head calldata head, bytes32[] calldata datanets)
        private
        view
        returns (bool)
    {
        if (head.adapter == 0) {
            try MODELS.baseOf(head.base) returns (IModelRegistry.Base memory base) {
                return base.owner == head.modelOwner && head.indexRoot == 0 && datanets.length == 0;
            } catch (bytes memory reason) {
                return _requireUnknown(reason);
            }
        }
        try MODELS.adapterOf(head.adapter) returns (IModelRegistry.Adapter memory adapter) {
            return adapter.base == head.base && adapter.indexRoot == head.indexRoot
                && adapter.owner == head.modelOwner && _areSame(adapter.datanetRoots, datanets);
        } catch (bytes memory reason) {
            return _requireUnknown(reason);
        }
    }

    /// @dev False; reverts when a call failed for another reason, such as too little gas.
    function _requireUnknown(bytes memory reason) private pure returns (bool) {
        // forge-lint: disable-next-line(unsafe-typecast)
        if (bytes4(reason) != IModelRegistry.UnknownModel.selector) revert WrongOpening("model");
        return false;
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

    /// @dev Whether every citation gets its equal part and none is of a cluster cited before.
    function _areCitationsRight(Receipts.Head calldata head, Receipts.Citation[] calldata citations)
        private
        pure
        returns (bool)
    {
        for (uint256 i = 0; i < citations.length; ++i) {
            Receipts.Citation calldata citation = citations[i];
            if (citation.amount != Score.citationAmount(head.retrieval, citations.length, i)) {
                return false;
            }
            for (uint256 j = 0; j < i; ++j) {
                if (citations[j].cluster == citation.cluster) return false;
            }
        }
        return true;
    }

    /// @dev Counts, among the listed rows, those before this one by influence and by text.
    function _isListedRightly(
        Receipts.Head calldata head,
        Receipts.Row[] calldata rows,
        uint256 position,
        Score.Rules memory rules
    ) private pure returns (bool) {
        if (position >= rows.length) revert WrongOpening("position");
        Receipts.Row calldata row = rows[position];
        uint256 significant = 0;
        uint256 byInfluence = 0;
        uint256 byText = 0;
        for (uint256 i = 0; i < rows.length; ++i) {
            Receipts.Row calldata other = rows[i];
            if (i != position && other.cluster == row.cluster) return false;
            if (Score.isSignificant(other.influence, other.significance, rules)) {
                ++significant;
                if (_isBefore(other.influence, other.cluster, row.influence, row.cluster)) {
                    ++byInfluence;
                }
            }
            if (_isBefore(
                    int256(uint256(other.text)),
                    other.cluster,
                    int256(uint256(row.text)),
                    row.cluster
                )) {
                ++byText;
            }
        }
        bool isSignificant = Score.isSignificant(row.influence, row.significance, rules);
        bool isFirstList = isSignificant && byInfluence < rules.topK;
        if (!isFirstList && (row.text == 0 || byText >= rules.topK)) return false;
        if (significant < rules.topK) return head.floor == 0;
        bool isLast = isFirstList && byInfluence + 1 == rules.topK;
        return !isLast || head.floor == row.influence;
    }

    function _isBefore(int256 a, bytes32 clusterA, int256 b, bytes32 clusterB)
        private
        pure
        returns (bool)
    {
        return a > b || (a == b && clusterA < clusterB);
    }

    /// @dev Same elements, in any order; neither has one twice.
    function _areSame(bytes32[] memory a, bytes32[] calldata b) private pure returns (bool) {
        if (a.length != b.length) return false;
        for (uint256 i = 0; i < a.length; ++i) {
            uint256 j = 0;
            while (j < b.length && b[j] != a[i]) ++j;
            if (j == b.length) return false;
        }
        return true;
    }
}
