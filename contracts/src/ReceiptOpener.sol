// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "./interfaces/IAttributionSettlement.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {
    IReceiptChallenges,
    IndexRow,
    ReceiptOpening,
    RowOpening
} from "./interfaces/IReceiptChallenges.sol";
import {Keys} from "./libraries/Keys.sol";
import {Leaf} from "./libraries/Leaf.sol";
import {OrderedTree} from "./libraries/OrderedTree.sol";
import {Receipts} from "./libraries/Receipts.sol";
import {Score} from "./libraries/Score.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";

/// @notice What every challenge of receipts needs: the settlement's domain, receipts by their
/// proof, and the governed numbers a receipt names.
abstract contract ReceiptOpener {
    IAttributionSettlement public immutable SETTLEMENT;
    IParameters internal immutable PARAMETERS;
    /// @dev Where `Score.Rules` stand among all governed numbers, one byte each in their order.
    uint256 private immutable PLACES;

    constructor(IAttributionSettlement settlement, IParameters parameters) {
        SETTLEMENT = settlement;
        PARAMETERS = parameters;
        bytes32[11] memory keys = [
            Keys.SIGNIFICANCE,
            Keys.MIN_SHARE,
            Keys.COVERAGE,
            Keys.TOP_K,
            Keys.TEXT_CAP,
            Keys.RELIABILITY,
            Keys.ROW_COST,
            Keys.SPLIT_PLATFORM,
            Keys.SPLIT_MODEL,
            Keys.SPLIT_STAKERS,
            Keys.SPLIT_RETRIEVAL
        ];
        uint256 places = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            places |= parameters.indexOf(keys[i]) << (8 * i);
        }
        PLACES = places;
    }

    /// @dev Reverts unless the receipt is where the opening says, in a pending epoch.
    function _requireReceipt(ReceiptOpening calldata opening) internal view {
        (bytes32 root, uint32 count) = SETTLEMENT.pendingReceipts(opening.epoch);
        if (!_isReceipt(opening, root, count)) {
            revert IReceiptChallenges.NotInEpoch(opening.epoch, opening.index);
        }
    }

    function _isReceipt(ReceiptOpening calldata opening, bytes32 root, uint32 count)
        internal
        view
        returns (bool)
    {
        bytes32 leaf = Leaf.receipt(
            opening.head.requestId, Receipts.digest(opening.head, _domain()), opening.spent
        );
        return OrderedTree.verify(opening.proof, root, leaf, opening.index, count);
    }

    function _requireRow(Receipts.Head calldata head, RowOpening calldata listed) internal pure {
        if (
            !_isListed(head, listed)
                || Receipts.rowHash(listed.row)
                    != listed.hashes[listed.position % Receipts.ROWS_PER_GROUP]
        ) revert IReceiptChallenges.WrongOpening("row");
    }

    /// @dev Whether the receipt has a row at the position; reverts when that is not shown.
    function _isListed(Receipts.Head calldata head, RowOpening calldata listed)
        internal
        pure
        returns (bool isListed)
    {
        uint256 group = listed.position / Receipts.ROWS_PER_GROUP;
        uint256 groups = listed.groups.length;
        isListed =
            group < groups && listed.position % Receipts.ROWS_PER_GROUP < listed.hashes.length;
        // Rows fill one group after the other, so none is beyond the end of the last.
        if (!isListed && groups > 0) group = groups - 1;
        if (
            Receipts.listHash(listed.groups) != head.rowsHash
                || (groups > 0 && Receipts.listHash(listed.hashes) != listed.groups[group])
                || (!isListed && groups > 0 && listed.position < group * Receipts.ROWS_PER_GROUP)
        ) revert IReceiptChallenges.WrongOpening("row");
    }

    function _requireCitations(Receipts.Head calldata head, Receipts.Citation[] calldata citations)
        internal
        pure
    {
        if (Receipts.citationsHash(citations) != head.citationsHash) {
            revert IReceiptChallenges.WrongOpening("citations");
        }
    }

    function _indexLeaf(IndexRow calldata row) internal pure returns (bytes32) {
        return Leaf.indexRow(
            row.record,
            row.cluster,
            row.contributor,
            row.vectorHash,
            row.exponent,
            row.nullMean,
            row.nullDeviation,
            row.self,
            row.tokensRoot,
            row.tokens
        );
    }

    /// @dev EIP-712 domain of the settlement contract, whatever the chain's id is now.
    function _domain() internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("OpenLedger"),
                keccak256("1"),
                block.chainid,
                address(SETTLEMENT)
            )
        );
    }

    function _rules(bytes32 paramsHash) internal view returns (Score.Rules memory) {
        bytes memory values = SSTORE2.read(PARAMETERS.storedAt(paramsHash));
        return Score.Rules({
            significance: _value(values, 0),
            minShare: _value(values, 1),
            coverage: _value(values, 2),
            topK: _value(values, 3),
            textCap: _value(values, 4),
            reliability: _value(values, 5),
            rowCost: _value(values, 6),
            platform: _value(values, 7),
            model: _value(values, 8),
            stakers: _value(values, 9),
            retrieval: _value(values, 10)
        });
    }

    /// @dev `values` is abi.encode(uint256[]): offset and length come first.
    function _value(bytes memory values, uint256 rule) private view returns (uint256 value) {
        uint256 place = (PLACES >> (8 * rule)) & 0xff;
        assembly ("memory-safe") {
            value := mload(add(values, shl(5, add(place, 3))))
        }
    }
}
