// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Debts} from "./Debts.sol";
import {ReceiptOpener} from "./ReceiptOpener.sol";
import {IAttributionSettlement} from "./interfaces/IAttributionSettlement.sol";
import {Credit, IEpochChallenges, Payout, ReceiptContent} from "./interfaces/IEpochChallenges.sol";
import {IndexRow, ReceiptOpening, RowOpening} from "./interfaces/IReceiptChallenges.sol";
import {Keys} from "./libraries/Keys.sol";
import {Leaf} from "./libraries/Leaf.sol";
import {OrderedTree} from "./libraries/OrderedTree.sol";
import {Receipts} from "./libraries/Receipts.sol";
import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

/// @notice Reveal or lose: the demands of IEpochChallenges.
abstract contract Demands is IEpochChallenges, Debts, ReceiptOpener {
    using SafeCastLib for uint256;

    mapping(bytes32 id => Demand) private _demands;

    /// @inheritdoc IEpochChallenges
    function demand(uint64 epoch, Kind kind, uint32 index, uint32 position)
        external
        payable
        returns (bytes32 id)
    {
        IAttributionSettlement.Epoch memory record = _pending(epoch);
        uint256 due = PARAMETERS.get(Keys.DEMAND_BOND);
        if (msg.value != due) revert WrongValue(msg.value, due);
        uint32 count = kind == Kind.Credit
            ? record.credits
            : kind == Kind.Payout ? record.payouts : record.receipts;
        if (index >= count) revert OutOfRange(index, count);
        uint256 answerTime = PARAMETERS.get(Keys.ANSWER_TIME);
        uint256 deadline = block.timestamp + answerTime;
        if (deadline + answerTime > record.activeAt) revert TooLate(record.activeAt);
        id = keccak256(abi.encode(epoch, record.dataHash, kind, index, position));
        if (_demands[id].challenger != address(0)) revert DemandExists(id);
        _demands[id] = Demand({
            challenger: msg.sender,
            bond: msg.value.toUint96(),
            epoch: epoch,
            deadline: deadline.toUint40(),
            kind: kind,
            index: index,
            position: position,
            dataHash: record.dataHash
        });
        emit Demanded(id, epoch, msg.sender, kind, index, position, deadline);
    }

    /// @inheritdoc IEpochChallenges
    function answerReceipt(
        bytes32 id,
        ReceiptOpening calldata receipt,
        ReceiptContent calldata content
    ) external {
        Demand memory asked = _asked(id, Kind.Receipt);
        _requireAsked(asked, receipt);
        Receipts.Head calldata head = receipt.head;
        Receipts.Row[] calldata rows = content.rows;
        if (Receipts.listHash(content.datanets) != head.datanetsHash) {
            revert WrongOpening("datanets");
        }
        if (Receipts.rowsHash(rows) != head.rowsHash || content.spans.length != rows.length) {
            revert WrongOpening("rows");
        }
        for (uint256 i = 0; i < rows.length; ++i) {
            if (Receipts.spansHash(content.spans[i]) != rows[i].spansHash) {
                revert WrongOpening("spans");
            }
        }
        if (Receipts.clustersHash(rows) != head.clustersHash) revert WrongOpening("clusters");
        _requireCitations(head, content.citations);
        if (head.adapter == 0 ? head.queryHash != 0 : keccak256(content.query) != head.queryHash) {
            revert WrongOpening("query");
        }
        _answered(id, asked);
    }

    /// @inheritdoc IEpochChallenges
    function answerCredit(bytes32 id, Credit calldata credit, bytes32[] calldata proof) external {
        Demand memory asked = _asked(id, Kind.Credit);
        _requireCredit(SETTLEMENT.epochs(asked.epoch), asked.index, credit, proof);
        _answered(id, asked);
    }

    /// @inheritdoc IEpochChallenges
    function answerPayout(bytes32 id, Payout calldata payout, bytes32[] calldata proof) external {
        Demand memory asked = _asked(id, Kind.Payout);
        _requirePayout(SETTLEMENT.epochs(asked.epoch), asked.index, payout, proof);
        _answered(id, asked);
    }

    /// @inheritdoc IEpochChallenges
    function answerIndexRow(
        bytes32 id,
        ReceiptOpening calldata receipt,
        RowOpening calldata listed,
        IndexRow calldata indexRow
    ) external {
        Demand memory asked = _asked(id, Kind.IndexRow);
        _requireAsked(asked, receipt);
        if (listed.position != asked.position) revert WrongOpening("row");
        if (_isListed(receipt.head, listed)) {
            _requireRow(receipt.head, listed);
            if (listed.row.record != indexRow.record) revert WrongOpening("row");
            if (!MerkleProofLib.verifyCalldata(
                    indexRow.proof, receipt.head.indexRoot, _indexLeaf(indexRow)
                )) revert WrongOpening("indexRow");
        }
        _answered(id, asked);
    }

    /// @inheritdoc IEpochChallenges
    function resolve(bytes32 id) external {
        Demand memory asked = _known(id);
        if (block.timestamp <= asked.deadline) revert TooEarly(asked.deadline);
        if (!_isPending(asked)) revert EpochNotPending(asked.epoch);
        delete _demands[id];
        owed[asked.challenger] += asked.bond;
        emit FaultProven(asked.epoch, asked.challenger, Fault.Availability);
        SETTLEMENT.fault(asked.epoch, asked.challenger);
    }

    /// @inheritdoc IEpochChallenges
    function reclaim(bytes32 id) external {
        Demand memory asked = _known(id);
        if (_isPending(asked)) revert TooEarly(asked.deadline);
        delete _demands[id];
        owed[asked.challenger] += asked.bond;
        emit DemandReturned(id, asked.challenger);
    }

    /// @inheritdoc IEpochChallenges
    function demandOf(bytes32 id) external view returns (Demand memory) {
        return _demands[id];
    }

    /* ----------------------------------- internals ---------------------------------- */

    function _prove(uint64 epoch, bool isRight, Fault fault) internal {
        if (isRight) revert NoFault();
        emit FaultProven(epoch, msg.sender, fault);
        SETTLEMENT.fault(epoch, msg.sender);
    }

    function _pending(uint64 epoch)
        internal
        view
        returns (IAttributionSettlement.Epoch memory record)
    {
        if (SETTLEMENT.statusOf(epoch) != IAttributionSettlement.Status.Pending) {
            revert EpochNotPending(epoch);
        }
        return SETTLEMENT.epochs(epoch);
    }

    function _requireCredit(
        IAttributionSettlement.Epoch memory record,
        uint32 index,
        Credit calldata credit,
        bytes32[] calldata proof
    ) internal pure {
        bytes32 leaf = Leaf.credit(
            credit.account, credit.receipt, credit.part, credit.amount, credit.cumulative
        );
        if (!OrderedTree.verify(proof, record.creditsRoot, leaf, index, record.credits)) {
            revert WrongOpening("credit");
        }
    }

    function _requirePayout(
        IAttributionSettlement.Epoch memory record,
        uint32 index,
        Payout calldata payout,
        bytes32[] calldata proof
    ) internal pure {
        bytes32 leaf = Leaf.payout(payout.account, payout.cumulative);
        if (!OrderedTree.verify(proof, record.payoutsRoot, leaf, index, record.payouts)) {
            revert WrongOpening("payout");
        }
    }

    function _requireAsked(Demand memory asked, ReceiptOpening calldata receipt) private view {
        if (receipt.epoch != asked.epoch || receipt.index != asked.index) {
            revert WrongOpening("receipt");
        }
        _requireReceipt(receipt);
    }

    function _asked(bytes32 id, Kind kind) private view returns (Demand memory asked) {
        asked = _known(id);
        if (asked.kind != kind) revert UnknownDemand(id);
        if (block.timestamp > asked.deadline) revert TooLate(asked.deadline);
        if (!_isPending(asked)) revert EpochNotPending(asked.epoch);
    }

    function _known(bytes32 id) private view returns (Demand memory asked) {
        asked = _demands[id];
        if (asked.challenger == address(0)) revert UnknownDemand(id);
    }

    function _answered(bytes32 id, Demand memory asked) private {
        delete _demands[id];
        owed[msg.sender] += asked.bond;
        emit Answered(id, msg.sender);
    }

    /// @dev Whether the epoch, with the content it had, is still pending.
    function _isPending(Demand memory asked) private view returns (bool) {
        return SETTLEMENT.statusOf(asked.epoch) == IAttributionSettlement.Status.Pending
            && SETTLEMENT.epochs(asked.epoch).dataHash == asked.dataHash;
    }
}
