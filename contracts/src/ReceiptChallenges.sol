// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IndexChallenges} from "./IndexChallenges.sol";
import {IAttributionSettlement} from "./interfaces/IAttributionSettlement.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IReceiptChallenges, ReceiptOpening} from "./interfaces/IReceiptChallenges.sol";
import {IValidatorStaking} from "./interfaces/IValidatorStaking.sol";
import {Keys} from "./libraries/Keys.sol";
import {Receipts} from "./libraries/Receipts.sol";
import {Score} from "./libraries/Score.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";

/// @notice Implements IReceiptChallenges: what a receipt shows by itself, or beside the registry of
/// models; what takes the adapter's index is in IndexChallenges.
contract ReceiptChallenges is IndexChallenges {
    IModelRegistry public immutable MODELS;

    constructor(
        IAttributionSettlement settlement,
        IParameters parameters,
        IModelRegistry models,
        IDatanetRegistry datanets
    ) IndexChallenges(settlement, parameters, datanets) {
        MODELS = models;
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

    function _requireRows(Receipts.Head calldata head, Receipts.Row[] calldata rows) private pure {
        if (Receipts.rowsHash(rows) != head.rowsHash) revert WrongOpening("rows");
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
