// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {ReceiptContent} from "../src/interfaces/IEpochChallenges.sol";
import {
    IReceiptChallenges,
    IndexRow,
    ReceiptOpening,
    RowOpening,
    TokenOpening
} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";

/// @notice Scores and spans of a receipt: what is right cannot be challenged, what is wrong can.
contract ScoreChallengesTest is ChallengesBase {
    function test_aReceiptMustBeInAPendingEpoch() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        receipt.spent += 1;
        vm.expectRevert(abi.encodeWithSelector(IReceiptChallenges.NotInEpoch.selector, 1, 0));
        receiptChallenges.challengeShares(receipt, content.rows);
        receipt.spent -= 1;
        receipt.index = 1;
        vm.expectRevert(abi.encodeWithSelector(IReceiptChallenges.NotInEpoch.selector, 1, 1));
        receiptChallenges.challengeShares(receipt, content.rows);
        receipt.index = 0;
        receipt.head.fee += 1;
        vm.expectRevert(abi.encodeWithSelector(IReceiptChallenges.NotInEpoch.selector, 1, 0));
        receiptChallenges.challengeShares(receipt, content.rows);
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IAttributionSettlement.EpochNotPending.selector, 1));
        receiptChallenges.challengeShares(receipt, content.rows);
    }

    function test_scores() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        for (uint256 i = 0; i < 3; ++i) {
            _challengeScore(receipt, content, i, NO_FAULT);
        }
    }

    function test_aWrongInfluenceLoses() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        content.rows[1].influence += 1;
        _challengeScore(_submit(fair, content), content, 1, "");
    }

    function test_aWrongSignificanceLoses() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        content.rows[1].significance -= 1;
        _challengeScore(_submit(fair, content), content, 1, "");
    }

    function test_anotherClusterThanTheIndexHasLoses() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        content.rows[0].cluster = "another";
        _challengeScore(_submit(fair, content), content, 0, "");
    }

    function test_anotherContributorThanTheIndexHasLoses() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        content.rows[2].contributor = stranger;
        _challengeScore(_submit(fair, content), content, 2, "");
    }

    function test_aQueryOfAnotherLengthLoses() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        query = hex"01";
        fair.queryHash = keccak256(query);
        _challengeScore(_submit(fair, content), content, 0, "");
    }

    function test_scoreRefusesWhatTheReceiptDoesNotCommitTo() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        RowOpening memory row = _rowOpening(content.rows, 0);
        IndexRow memory indexRow = _indexRow(0);
        bytes memory vector = _vector(1);

        vm.expectRevert(_wrong("query"));
        receiptChallenges.challengeScore(receipt, row, indexRow, hex"01", vector);
        vm.expectRevert(_wrong("vector"));
        receiptChallenges.challengeScore(receipt, row, indexRow, query, hex"01");
        IndexRow memory other = _indexRow(1);
        vm.expectRevert(_wrong("record"));
        receiptChallenges.challengeScore(receipt, row, other, query, vector);
        other.self += 1;
        vm.expectRevert(
            abi.encodeWithSelector(IReceiptChallenges.NotInIndex.selector, other.record)
        );
        receiptChallenges.challengeScore(receipt, row, other, query, vector);

        row.row.amount += 1;
        vm.expectRevert(_wrong("row"));
        receiptChallenges.challengeScore(receipt, row, indexRow, query, vector);
        row = _rowOpening(content.rows, 3);
        vm.expectRevert(_wrong("row")); // there is none
        receiptChallenges.challengeScore(receipt, row, indexRow, query, vector);
        row = _rowOpening(content.rows, 0);
        row.hashes[1] = 0;
        vm.expectRevert(_wrong("row"));
        receiptChallenges.challengeScore(receipt, row, indexRow, query, vector);
        row.groups[0] = vectors.listHash(row.hashes);
        vm.expectRevert(_wrong("row"));
        receiptChallenges.challengeScore(receipt, row, indexRow, query, vector);
    }

    function test_spans() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        for (uint32 offset = 0; offset < SPAN; offset += 6) {
            _challengeSpan(receipt, content, offset, NO_FAULT);
        }
        _challengeSpan(receipt, content, SPAN, _wrong("offset"));
    }

    function test_aSpanThatDiffersLoses() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        content.spans[0][0].length = SPAN + 1; // one token more than they share
        ReceiptOpening memory receipt = _submit(fair, content);
        _challengeSpan(receipt, content, SPAN - 1, NO_FAULT);
        _challengeSpan(receipt, content, SPAN, "");
    }

    function test_aSpanThatReachesTooFarLoses() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 before = vm.snapshotState();
            (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
            Receipts.Span memory span = content.spans[0][0];
            if (i == 0) span.length = 0;
            if (i == 1) span.outputStart = ANSWER - SPAN + 1;
            if (i == 2) span.recordStart = RECORD - SPAN + 1;
            ReceiptOpening memory receipt = _submit(fair, content);
            _challengeSpan(receipt, content, 0, "");
            vm.revertToState(before);
        }
    }

    function test_aLeafThatIsTooShortHasNoToken() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        // The last leaf of the answer lacks the last of the tokens that the head counts.
        fair.outputTokens = ANSWER + 1;
        content.spans[0][0] = Receipts.Span(ANSWER, IN_RECORD, 1);
        ReceiptOpening memory receipt = _submit(fair, content);
        _challengeSpan(receipt, content, 0, "");
    }

    function test_spanRefusesWhatTheReceiptDoesNotCommitTo() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        RowOpening memory row = _rowOpening(content.rows, 0);
        TokenOpening memory output = _tokenOpening(_answerTokens(), IN_ANSWER);
        TokenOpening memory record = _tokenOpening(_recordTokens(), IN_RECORD);
        IndexRow memory indexRow = _indexRow(1);
        vm.expectRevert(_wrong("record"));
        receiptChallenges.challengeSpan(
            receipt, row, content.spans[0], 0, indexRow, 0, output, record
        );
        indexRow = _indexRow(0);
        vm.expectRevert(_wrong("spans"));
        receiptChallenges.challengeSpan(
            receipt, row, content.spans[1], 0, indexRow, 0, output, record
        );
        vm.expectRevert(_wrong("spans"));
        receiptChallenges.challengeSpan(
            receipt, row, content.spans[0], 1, indexRow, 0, output, record
        );
        output.leaf = record.leaf;
        vm.expectRevert(_wrong("token"));
        receiptChallenges.challengeSpan(
            receipt, row, content.spans[0], 0, indexRow, 0, output, record
        );
    }

    function _challengeScore(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        uint256 i,
        bytes memory refusal
    ) private {
        RowOpening memory row = _rowOpening(content.rows, i);
        IndexRow memory indexRow = _indexRow(i);
        bytes memory published = query;
        _expect(refusal);
        receiptChallenges.challengeScore(receipt, row, indexRow, published, _vector(i + 1));
        _settle(receipt.epoch, refusal);
    }

    function _challengeSpan(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        uint32 offset,
        bytes memory refusal
    ) private {
        RowOpening memory row = _rowOpening(content.rows, 0);
        IndexRow memory indexRow = _indexRow(0);
        Receipts.Span[] memory spans = content.spans[0];
        TokenOpening memory output = _tokenOpening(_answerTokens(), spans[0].outputStart + offset);
        TokenOpening memory record = _tokenOpening(_recordTokens(), spans[0].recordStart + offset);
        _expect(refusal);
        receiptChallenges.challengeSpan(receipt, row, spans, 0, indexRow, offset, output, record);
        _settle(receipt.epoch, refusal);
    }

    function _tokenOpening(bytes memory tokens, uint256 position)
        private
        pure
        returns (TokenOpening memory opening)
    {
        bytes32[] memory leaves = _tokenLeaves(tokens);
        uint256 leaf = position / 32;
        if (leaf >= leaves.length) leaf = leaves.length - 1; // not looked at
        return TokenOpening(_tokenLeaf(tokens, leaf), _proof(leaves, leaf));
    }
}
