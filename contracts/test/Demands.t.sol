// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDebts} from "../src/interfaces/IDebts.sol";
import {
    Credit,
    IEpochChallenges,
    Payout,
    ReceiptContent
} from "../src/interfaces/IEpochChallenges.sol";
import {IndexRow, ReceiptOpening, RowOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";
import {Reentrant, Refuser} from "./Receivers.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Reveal or lose: who answers earns the bond, who does not loses the epoch.
contract DemandsTest is ChallengesBase {
    IEpochChallenges.Kind private constant RECEIPT = IEpochChallenges.Kind.Receipt;
    IEpochChallenges.Kind private constant CREDIT = IEpochChallenges.Kind.Credit;
    IEpochChallenges.Kind private constant PAYOUT = IEpochChallenges.Kind.Payout;
    IEpochChallenges.Kind private constant INDEX_ROW = IEpochChallenges.Kind.IndexRow;

    function test_demandRefuses() public {
        Epoch memory epoch = _fairEpoch();
        for (uint256 i = 0; i < 2; ++i) {
            uint256 value = i == 0 ? DEMAND_BOND - 1 : DEMAND_BOND + 1;
            vm.expectRevert(
                abi.encodeWithSelector(IEpochChallenges.WrongValue.selector, value, DEMAND_BOND)
            );
            epochChallenges.demand{value: value}(1, RECEIPT, 0, 0);
        }
        IEpochChallenges.Kind[4] memory kinds = [RECEIPT, INDEX_ROW, CREDIT, PAYOUT];
        uint32[4] memory counts =
            [uint32(1), 1, uint32(epoch.credits.length), uint32(epoch.payouts.length)];
        for (uint256 i = 0; i < kinds.length; ++i) {
            vm.expectRevert(_outOfRange(counts[i], counts[i]));
            epochChallenges.demand{value: DEMAND_BOND}(1, kinds[i], counts[i], 0);
        }
        bytes32 id = _demand(RECEIPT, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.DemandExists.selector, id));
        epochChallenges.demand{value: DEMAND_BOND}(1, RECEIPT, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.EpochNotPending.selector, 2));
        epochChallenges.demand{value: DEMAND_BOND}(2, RECEIPT, 0, 0);

        uint256 activeAt = settlement.epochs(1).activeAt;
        vm.warp(activeAt - 2 * ANSWER_TIME);
        _demand(CREDIT, 0, 0); // as late as it can be
        vm.warp(activeAt - 2 * ANSWER_TIME + 1);
        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.TooLate.selector, activeAt));
        epochChallenges.demand{value: DEMAND_BOND}(1, CREDIT, 1, 0);
    }

    function test_aReceiptIsAnsweredWithAllOfIt() public {
        (, ReceiptContent memory content) = _fair("r");
        Epoch memory epoch = _fairEpoch();
        bytes32 id = _demand(RECEIPT, 0, 0);
        vm.prank(alice);
        epochChallenges.answerReceipt(id, epoch.receipts[0], content);
        vm.assertEq(epochChallenges.owed(alice), DEMAND_BOND);
        vm.assertEq(epochChallenges.demandOf(id).challenger, address(0));
        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.UnknownDemand.selector, id));
        epochChallenges.answerReceipt(id, epoch.receipts[0], content);
    }

    function test_aReceiptOfTheBareBaseIsAnsweredWithNothing() public {
        ReceiptContent memory nothing;
        Epoch memory epoch = _epochOf(_bare("b"), nothing);
        _submitEpoch(epoch);
        bytes32 id = _demand(RECEIPT, 0, 0);
        nothing.query = hex"01"; // of no account
        epochChallenges.answerReceipt(id, epoch.receipts[0], nothing);
    }

    function test_aReceiptIsNotAnsweredWithAnythingElse() public {
        Epoch memory epoch = _fairEpoch();
        bytes32 id = _demand(RECEIPT, 0, 0);
        for (uint256 i = 0; i < 6; ++i) {
            (, ReceiptContent memory content) = _fair("r");
            if (i == 0) content.datanets = new bytes32[](0);
            if (i == 1) content.rows[2].amount += 1;
            if (i == 2) content.spans = new Receipts.Span[][](2);
            if (i == 3) content.spans[0][0].length -= 1;
            if (i == 4) content.citations[0].amount += 1;
            if (i == 5) content.query = hex"01";
            vm.expectRevert(_wrong(["datanets", "rows", "rows", "spans", "citations", "query"][i]));
            epochChallenges.answerReceipt(id, epoch.receipts[0], content);
        }
        epoch.receipts[0].index = 1;
        (, ReceiptContent memory right) = _fair("r");
        vm.expectRevert(_wrong("receipt"));
        epochChallenges.answerReceipt(id, epoch.receipts[0], right);
        (epoch.receipts[0].index, epoch.receipts[0].epoch) = (0, 2);
        vm.expectRevert(_wrong("receipt"));
        epochChallenges.answerReceipt(id, epoch.receipts[0], right);
    }

    function test_receiptsThatContradictThemselvesCannotBeAnswered() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        fair.clustersHash = 0;
        Epoch memory epoch = _epochOf(fair, content);
        _submitEpoch(epoch);
        bytes32 id = _demand(RECEIPT, 0, 0);
        vm.expectRevert(_wrong("clusters"));
        epochChallenges.answerReceipt(id, epoch.receipts[0], content);

        ReceiptContent memory nothing;
        Receipts.Head memory bare = _bare("s");
        bare.queryHash = "one"; // without an adapter there is no query
        epoch = _epochOf(bare, nothing);
        _submitEpoch(epoch);
        vm.prank(stranger);
        id = epochChallenges.demand{value: DEMAND_BOND}(2, RECEIPT, 0, 0);
        vm.expectRevert(_wrong("query"));
        epochChallenges.answerReceipt(id, epoch.receipts[0], nothing);
    }

    function test_creditsAndPayoutsAreAnswered() public {
        Epoch memory epoch = _fairEpoch();
        bytes32 credit = _demand(CREDIT, 2, 0);
        bytes32 payout = _demand(PAYOUT, 1, 0);
        Credit memory asked = epoch.credits[2];
        bytes32[] memory proof = _creditProof(epoch, 2);
        Payout memory paid = epoch.payouts[1];
        bytes32[] memory paidProof = _payoutProof(epoch, 1);

        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.UnknownDemand.selector, payout));
        epochChallenges.answerCredit(payout, asked, proof);
        asked.amount += 1;
        vm.expectRevert(_wrong("credit"));
        epochChallenges.answerCredit(credit, asked, proof);
        asked.amount -= 1;
        paid.cumulative += 1;
        vm.expectRevert(_wrong("payout"));
        epochChallenges.answerPayout(payout, paid, paidProof);
        paid.cumulative -= 1;

        vm.prank(alice);
        epochChallenges.answerCredit(credit, asked, proof);
        vm.prank(bob);
        epochChallenges.answerPayout(payout, paid, paidProof);
        vm.assertEq(epochChallenges.owed(alice), DEMAND_BOND);
        vm.assertEq(epochChallenges.owed(bob), DEMAND_BOND);
    }

    function test_indexRowsAreAnswered() public {
        (, ReceiptContent memory content) = _fair("r");
        Epoch memory epoch = _fairEpoch();
        ReceiptOpening memory receipt = epoch.receipts[0];
        bytes32 id = _demand(INDEX_ROW, 0, 1);
        RowOpening memory listed = _rowOpening(content.rows, 0);
        IndexRow memory indexRow = _indexRow(0);
        vm.expectRevert(_wrong("row")); // another row
        epochChallenges.answerIndexRow(id, receipt, listed, indexRow);
        listed = _rowOpening(content.rows, 1);
        vm.expectRevert(_wrong("row")); // another record
        epochChallenges.answerIndexRow(id, receipt, listed, indexRow);
        indexRow = _indexRow(1);
        indexRow.tokens += 1;
        vm.expectRevert(_wrong("indexRow"));
        epochChallenges.answerIndexRow(id, receipt, listed, indexRow);
        indexRow.tokens -= 1;
        epochChallenges.answerIndexRow(id, receipt, listed, indexRow);

        // Of a row that is not listed there is nothing to show.
        id = _demand(INDEX_ROW, 0, 3);
        listed = _rowOpening(content.rows, 3);
        epochChallenges.answerIndexRow(id, receipt, listed, indexRow);
        vm.assertEq(epochChallenges.owed(address(this)), 2 * DEMAND_BOND);
    }

    function test_whatIsNotAnsweredInTimeIsAFault() public {
        Epoch memory epoch = _fairEpoch();
        bytes32 id = _demand(PAYOUT, 0, 0);
        uint256 deadline = block.timestamp + ANSWER_TIME;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.TooEarly.selector, deadline));
        epochChallenges.resolve(id);
        vm.warp(deadline + 1);
        bytes32[] memory proof = _payoutProof(epoch, 0);
        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.TooLate.selector, deadline));
        epochChallenges.answerPayout(id, epoch.payouts[0], proof);
        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.TooEarly.selector, deadline));
        epochChallenges.reclaim(id); // it is to be resolved
        vm.prank(bob);
        epochChallenges.resolve(id); // by anyone, for the challenger
        _assertFaulted(1, stranger);
        vm.assertEq(epochChallenges.owed(stranger), DEMAND_BOND);
        vm.expectRevert(abi.encodeWithSelector(IEpochChallenges.UnknownDemand.selector, id));
        epochChallenges.resolve(id);
    }

    function test_demandsOfEpochsThatAreSettledOtherwiseGoBack() public {
        Epoch memory epoch = _fairEpoch();
        bytes32 first = _demand(PAYOUT, 0, 0);
        bytes32 second = _demand(PAYOUT, 1, 0);
        vm.prank(governance);
        settlement.disable(1);
        bytes32[] memory proof = _payoutProof(epoch, 0);
        bytes memory refusal = abi.encodeWithSelector(IEpochChallenges.EpochNotPending.selector, 1);
        vm.expectRevert(refusal);
        epochChallenges.answerPayout(first, epoch.payouts[0], proof);
        vm.warp(block.timestamp + ANSWER_TIME + 1);
        vm.expectRevert(refusal);
        epochChallenges.resolve(first);
        epochChallenges.reclaim(first);

        // The same number with other content is another epoch.
        settlement.refund(1, epoch.draws);
        _submitEpoch(epoch, "other data");
        vm.expectRevert(refusal);
        epochChallenges.resolve(second);
        epochChallenges.reclaim(second);
        vm.assertEq(epochChallenges.owed(stranger), 2 * DEMAND_BOND);
        vm.assertEq(settlement.submitterOf(submitter).bond, BOND);
    }

    function test_bondsAreFetchedOnceAndByTheirOwner() public {
        vm.expectRevert(IDebts.ZeroAddress.selector);
        epochChallenges.withdrawOwed(address(0));
        vm.expectRevert(IDebts.ZeroAmount.selector);
        epochChallenges.withdrawOwed(alice);

        Reentrant asker = new Reentrant();
        Refuser refuser = new Refuser();
        _fairEpoch();
        bytes32[2] memory ids;
        for (uint32 i = 0; i < 2; ++i) {
            address account = i == 0 ? address(asker) : address(refuser);
            vm.deal(account, DEMAND_BOND);
            vm.prank(account);
            ids[i] = epochChallenges.demand{value: DEMAND_BOND}(1, PAYOUT, i, 0);
        }
        vm.prank(governance);
        settlement.disable(1);
        epochChallenges.reclaim(ids[0]);
        epochChallenges.reclaim(ids[1]);
        // Whoever refuses its wei harms itself alone, and may have them sent elsewhere.
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector);
        vm.prank(address(refuser));
        epochChallenges.withdrawOwed(address(refuser));
        uint256 before = alice.balance;
        vm.prank(address(refuser));
        epochChallenges.withdrawOwed(alice);
        vm.assertEq(alice.balance, before + DEMAND_BOND);

        asker.prepare(
            address(epochChallenges), abi.encodeCall(epochChallenges.withdrawOwed, (address(asker)))
        );
        vm.deal(address(epochChallenges), 5 * DEMAND_BOND); // others' wei
        vm.prank(address(asker));
        epochChallenges.withdrawOwed(address(asker));
        vm.assertTrue(asker.entered() && !asker.succeeded(), "re-entered");
        vm.assertEq(bytes32(asker.refusal()), bytes32(IDebts.ZeroAmount.selector));
        vm.assertEq(address(asker).balance, DEMAND_BOND);
    }

    function _fairEpoch() private returns (Epoch memory epoch) {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        epoch = _epochOf(fair, content);
        _submitEpoch(epoch);
    }

    function _demand(IEpochChallenges.Kind kind, uint32 index, uint32 position)
        private
        returns (bytes32)
    {
        vm.prank(stranger);
        return epochChallenges.demand{value: DEMAND_BOND}(1, kind, index, position);
    }
}
