// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {ReceiptContent} from "../src/interfaces/IEpochChallenges.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {
    IReceiptChallenges,
    IndexRow,
    ReceiptOpening,
    RowOpening,
    TokenOpening
} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";
import {IERC5267} from "./Vectors.sol";

/// @notice What is right cannot be challenged, what is wrong can, and nothing is taken on trust.
contract ReceiptChallengesTest is ChallengesBase {
    bytes private constant NO_FAULT = abi.encodeWithSelector(IReceiptChallenges.NoFault.selector);

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

    /* ------------------------------------ scores ------------------------------------ */

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

    function test_anotherClusterOrContributorThanTheIndexHasLoses() public {
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

    /* ------------------------------------- spans ------------------------------------ */

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

    /* ----------------------------------- omissions ---------------------------------- */

    function test_aListedRowIsNotOmitted() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        _challengeOmission(_submit(fair, content), content, 2, NO_FAULT);
    }

    function test_aRecordThatWasRevokedInTimeIsNotOmitted() public {
        _withdrawRecord(2);
        (Receipts.Head memory fair, ReceiptContent memory content) = _withoutLast();
        ReceiptOpening memory receipt = _submit(fair, content);
        _challengeOmission(
            receipt,
            content,
            2,
            abi.encodeWithSelector(
                IReceiptChallenges.RecordRevoked.selector, _indexRow(2).record, block.timestamp
            )
        );
    }

    function test_aRecordThatIsRevokedAfterwardsIsOmitted() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _withoutLast();
        ReceiptOpening memory receipt = _submit(fair, content);
        vm.warp(block.timestamp + 1);
        _withdrawRecord(2);
        _challengeOmission(receipt, content, 2, "");
    }

    function test_anOmittedRowLoses() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _withoutLast();
        ReceiptOpening memory receipt = _submit(fair, content);
        bytes memory clusters = _clusters(content);
        IndexRow memory indexRow = _indexRow(2);
        vm.expectRevert(_wrong("clusters"));
        receiptChallenges.challengeOmission(receipt, hex"", indexRow, query, _vector(3));
        vm.prank(stranger);
        receiptChallenges.challengeOmission(receipt, clusters, indexRow, query, _vector(3));
        _assertFaulted(1, stranger);
    }

    function test_aRowBelowTheFloorIsNotOmitted() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _withoutLast();
        fair.floor = 200_000;
        _challengeOmission(_submit(fair, content), content, 2, NO_FAULT);
    }

    function test_anInsignificantRowIsNotOmitted() public {
        _setParameter("attribution.significance", 4_001);
        (Receipts.Head memory fair, ReceiptContent memory content) = _withoutLast();
        _challengeOmission(_submit(fair, content), content, 2, NO_FAULT);
    }

    /* ------------------------------------ shares ------------------------------------ */

    function test_shares() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        _challengeShares(_submit(fair, content), content, NO_FAULT);
        ReceiptContent memory nothing;
        _challengeShares(_submit(_bare("b"), nothing), nothing, NO_FAULT);
        ReceiptOpening memory receipt = _submit(_bare("c"), nothing);
        vm.expectRevert(_wrong("rows"));
        receiptChallenges.challengeShares(receipt, content.rows);
    }

    function test_eachPartOfAWrongSplitLoses() public {
        for (uint256 i = 0; i < 9; ++i) {
            uint256 before = vm.snapshotState();
            (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
            if (i == 0) fair.platform += 1;
            if (i == 1) fair.model -= 1;
            if (i == 2) fair.stakers += 1;
            if (i == 3) fair.retrieval -= 1;
            if (i == 4) fair.methodVersion = 2;
            if (i == 5) fair.unattributed += 1;
            if (i == 6) {
                (content.rows[0].amount, content.rows[1].amount) = (0.239 ether, 0.049 ether);
            }
            if (i == 7) (content.rows[1], content.rows[2]) = (content.rows[2], content.rows[1]);
            if (i == 8) fair.clustersHash = 0;
            bytes32 clusters = fair.clustersHash;
            _seal(fair, content);
            if (i == 8) fair.clustersHash = clusters;
            _challengeShares(_submitSealed(fair, content), content, "");
            vm.revertToState(before);
        }
    }

    function test_aBareBaseThatPaysContributorsLoses() public {
        ReceiptContent memory nothing;
        Receipts.Head memory bare = _bare("b");
        bare.unattributed = 1;
        _challengeShares(_submit(bare, nothing), nothing, "");
    }

    function test_aFeeBeyondAllOpenLoses() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        fair.fee = uint256(type(uint128).max) + 1;
        ReceiptOpening memory receipt = _submitUnpaid(fair);
        _challengeShares(receipt, content, "");
    }

    /* ----------------------------------- citations ---------------------------------- */

    function test_citations() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        Receipts.Citation[] memory none = new Receipts.Citation[](0);
        vm.expectRevert(_wrong("citations"));
        receiptChallenges.challengeCitations(receipt, none);
        vm.expectRevert(NO_FAULT);
        receiptChallenges.challengeCitations(receipt, content.citations);
    }

    function test_unequalCitationsAndClustersCitedTwiceLose() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 before = vm.snapshotState();
            (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
            Receipts.Citation memory first = content.citations[0];
            content.citations = new Receipts.Citation[](2);
            first.amount = 0.05 ether;
            content.citations[0] = first;
            content.citations[1] = Receipts.Citation({
                cluster: i == 0 ? bytes32("other") : first.cluster,
                record: first.record,
                contributor: first.contributor,
                datanet: first.datanet,
                amount: i == 0 ? 0.05 ether - 1 : 0.05 ether
            });
            ReceiptOpening memory receipt = _submit(fair, content);
            vm.prank(stranger);
            receiptChallenges.challengeCitations(receipt, content.citations);
            _assertFaulted(1, stranger);
            vm.revertToState(before);
        }
    }

    /* ------------------------------------ listing ----------------------------------- */

    function test_listings() public {
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        for (uint256 i = 0; i < 3; ++i) {
            _challengeListing(receipt, content, i, NO_FAULT);
        }
        _challengeListing(receipt, content, 3, _wrong("position"));
    }

    function test_aFullFirstListHasItsLastInfluenceAsFloor() public {
        _setParameter("attribution.topK", 2);
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        // The first list is the first two; the third stands in the second for its text.
        (content.rows[2].text, fair.floor) = (1, 300_000);
        ReceiptOpening memory receipt = _submit(fair, content);
        for (uint256 i = 0; i < 3; ++i) {
            _challengeListing(receipt, content, i, NO_FAULT);
        }
    }

    function test_aWrongFloorLoses() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 before = vm.snapshotState();
            if (i == 1) _setParameter("attribution.topK", 2);
            (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
            fair.floor = i == 0 ? int64(1) : int64(299_999);
            content.rows[2].text = 1;
            _challengeListing(_submit(fair, content), content, 1, "");
            vm.revertToState(before);
        }
    }

    function test_aRowOfNeitherListLoses() public {
        _setParameter("attribution.topK", 1);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 before = vm.snapshotState();
            (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
            fair.floor = 500_000;
            if (i == 1) content.rows[2].text = 1; // behind the first row's
            if (i == 2) content.rows[1].cluster = content.rows[2].cluster; // stands twice
            _challengeListing(_submit(fair, content), content, 2, "");
            vm.revertToState(before);
        }
    }

    function test_tiesGoToTheLowerCluster() public {
        _setParameter("attribution.topK", 1);
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        (content.rows[0].cluster, content.rows[1].cluster) = (bytes32("b"), bytes32("a"));
        content.rows[1].influence = 500_000;
        fair.floor = 500_000;
        ReceiptOpening memory receipt = _submit(fair, content);
        _challengeListing(receipt, content, 0, NO_FAULT); // by its text
        _challengeListing(receipt, content, 1, NO_FAULT); // the first of the first list
        _challengeListing(receipt, content, 2, "");
    }

    /* ------------------------------------- models ----------------------------------- */

    function test_models() public {
        _registerModels();
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        fair.modelOwner = alice;
        _challengeModel(_submit(fair, content), content, NO_FAULT);
        ReceiptContent memory nothing;
        _challengeModel(_submit(_bare("b"), nothing), nothing, NO_FAULT);
        ReceiptOpening memory receipt = _submit(_bare("c"), nothing);
        vm.expectRevert(_wrong("datanets"));
        receiptChallenges.challengeModel(receipt, content.datanets);
    }

    function test_whatTheAdapterIsNotLoses() public {
        _registerModels();
        for (uint256 i = 0; i < 6; ++i) {
            uint256 before = vm.snapshotState();
            (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
            fair.modelOwner = alice;
            if (i == 0) fair.modelOwner = bob;
            if (i == 1) fair.base = "another";
            if (i == 2) fair.indexRoot = "another";
            if (i == 3) fair.adapter = "unknown";
            if (i == 4) content.datanets = new bytes32[](0);
            if (i == 5) content.datanets[0] = "another";
            _challengeModel(_submit(fair, content), content, "");
            vm.revertToState(before);
        }
    }

    function test_whatTheBaseIsNotLoses() public {
        _registerModels();
        for (uint256 i = 0; i < 4; ++i) {
            uint256 before = vm.snapshotState();
            ReceiptContent memory content;
            Receipts.Head memory bare = _bare("b");
            if (i == 0) bare.modelOwner = alice;
            if (i == 1) bare.indexRoot = "one";
            if (i == 2) bare.base = "unknown";
            if (i == 3) content.datanets = new bytes32[](1);
            _challengeModel(_submit(bare, content), content, "");
            vm.revertToState(before);
        }
    }

    /* --------------------------------- equivocations -------------------------------- */

    function test_aWorkerThatSignsTwoReceiptsOfOneRequestLosesItsStake() public {
        vm.deal(worker, 3 ether);
        vm.prank(worker);
        staking.stake{value: 3 ether}(worker);
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        Receipts.Head memory other = _bare("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        (bytes memory signature, bytes memory otherSignature) = (_sign(fair), _sign(other));
        vm.prank(stranger);
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
        vm.assertEq(staking.owed(stranger), 1.5 ether);
        vm.assertEq(staking.validatorOf(worker).stake, 0);
        vm.assertEq(uint256(settlement.statusOf(1)), 3);
        vm.assertEq(settlement.submitterOf(submitter).bond, BOND); // it is not the submitter's
        // fault
    }

    function test_receiptsThatWereNeverSettledEquivocateToo() public {
        vm.deal(worker, 3 ether);
        vm.prank(worker);
        staking.stake{value: 3 ether}(worker);
        ReceiptOpening memory receipt;
        (receipt.head,) = _fair("r");
        Receipts.Head memory other = _bare("r");
        (bytes memory signature, bytes memory otherSignature) = (_sign(receipt.head), _sign(other));
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
        vm.assertEq(staking.validatorOf(worker).stake, 0);
        // Nothing is left for another one.
        vm.expectRevert(
            abi.encodeWithSelector(
                IReceiptChallenges.TooLittleAtStake.selector, worker, 0, MINIMUM_STAKE
            )
        );
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
    }

    function test_equivocationRefuses() public {
        ReceiptOpening memory receipt;
        (receipt.head,) = _fair("r");
        Receipts.Head memory other = _bare("r");
        (bytes memory signature, bytes memory otherSignature) = (_sign(receipt.head), _sign(other));
        vm.expectRevert(NO_FAULT); // the same receipt
        receiptChallenges.challengeEquivocation(receipt, signature, receipt.head, signature);
        Receipts.Head memory elsewhere = _bare("another");
        vm.expectRevert(NO_FAULT); // another request
        receiptChallenges.challengeEquivocation(receipt, signature, elsewhere, otherSignature);
        other.worker = stranger;
        vm.expectRevert(NO_FAULT); // another worker
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
        other.worker = worker;
        bytes memory forged = _signWith(0xBAD, _digest(other));
        vm.expectRevert(_wrong("signature"));
        receiptChallenges.challengeEquivocation(receipt, signature, other, forged);
        vm.expectRevert(_wrong("signature"));
        receiptChallenges.challengeEquivocation(receipt, otherSignature, other, otherSignature);
        // What was signed for another chain says nothing here.
        vm.chainId(7);
        vm.expectRevert(_wrong("signature"));
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
    }

    /* ------------------------------------ helpers ----------------------------------- */

    function _submit(Receipts.Head memory receipt, ReceiptContent memory content)
        private
        returns (ReceiptOpening memory)
    {
        _seal(receipt, content);
        return _submitSealed(receipt, content);
    }

    function _submitSealed(Receipts.Head memory receipt, ReceiptContent memory content)
        private
        returns (ReceiptOpening memory)
    {
        Epoch memory epoch = _epochOf(receipt, content);
        _submitEpoch(epoch);
        return epoch.receipts[0];
    }

    /// @dev For fees that nobody could draw.
    function _submitUnpaid(Receipts.Head memory receipt) private returns (ReceiptOpening memory) {
        Epoch memory epoch;
        epoch.receipts = new ReceiptOpening[](1);
        epoch.receipts[0].head = receipt;
        _submitEpoch(epoch);
        return epoch.receipts[0];
    }

    /// @dev Without a refusal it succeeds.
    function _expect(bytes memory refusal) private {
        if (refusal.length > 0) vm.expectRevert(refusal);
        vm.prank(stranger);
    }

    function _settle(ReceiptOpening memory receipt, bytes memory refusal) private view {
        if (refusal.length == 0) _assertFaulted(receipt.epoch, stranger);
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
        _settle(receipt, refusal);
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
        _settle(receipt, refusal);
    }

    function _challengeOmission(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        uint256 i,
        bytes memory refusal
    ) private {
        IndexRow memory indexRow = _indexRow(i);
        bytes memory clusters = _clusters(content);
        bytes memory published = query;
        _expect(refusal);
        receiptChallenges.challengeOmission(receipt, clusters, indexRow, published, _vector(i + 1));
        _settle(receipt, refusal);
    }

    function _challengeShares(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        bytes memory refusal
    ) private {
        _expect(refusal);
        receiptChallenges.challengeShares(receipt, content.rows);
        _settle(receipt, refusal);
    }

    function _challengeListing(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        uint256 position,
        bytes memory refusal
    ) private {
        _expect(refusal);
        receiptChallenges.challengeListing(receipt, content.rows, position);
        _settle(receipt, refusal);
    }

    function _challengeModel(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        bytes memory refusal
    ) private {
        _expect(refusal);
        receiptChallenges.challengeModel(receipt, content.datanets);
        _settle(receipt, refusal);
    }

    /// @dev A receipt that leaves the third record out.
    function _withoutLast()
        private
        view
        returns (Receipts.Head memory fair, ReceiptContent memory content)
    {
        (fair, content) = _fair("r");
        Receipts.Row[] memory rows = content.rows;
        Receipts.Span[][] memory spans = content.spans;
        assembly ("memory-safe") {
            mstore(rows, 2)
            mstore(spans, 2)
        }
    }

    /// @dev A record's contributor takes it back.
    function _withdrawRecord(uint256 i) private {
        bytes32[] memory records = new bytes32[](1);
        records[0] = _indexRow(i).record;
        bytes32 withdrawal = keccak256(
            abi.encode(
                keccak256("Withdrawal(bytes32[] records)"), keccak256(abi.encodePacked(records))
            )
        );
        bytes32 domain = vectors.domainOf(IERC5267(address(datanets)));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, withdrawal));
        bytes memory signature = _signWith(CONTRIBUTOR_KEY + i, digest);
        datanets.withdraw(_contributor(i), records, signature);
    }

    function _clusters(ReceiptContent memory content) private pure returns (bytes memory all) {
        for (uint256 i = 0; i < content.rows.length; ++i) {
            all = bytes.concat(all, bytes20(content.rows[i].cluster));
        }
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

    function _sign(Receipts.Head memory receipt) private view returns (bytes memory) {
        return _signWith(WORKER_KEY, _digest(receipt));
    }

    function _signWith(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _registerModels() private {
        bytes32 datanet = keccak256("dn_1");
        vm.prank(operator);
        datanets.createDatanet{value: DATANET_FEE}(
            datanet, alice, "metadata", LICENCE, IDatanetRegistry.Access.Open
        );
        vm.prank(operator);
        datanets.publishVersion(datanet, 1, VERSION, "manifest", 3);
        vm.prank(operator);
        models.registerBase{value: MODEL_FEE}(BASE, bob, 5, "manifest");
        bytes32[] memory roots = new bytes32[](1);
        roots[0] = VERSION;
        bytes32 index = _setRoot(_indexLeaves());
        vm.prank(operator);
        models.registerAdapter{value: MODEL_FEE}(
            IModelRegistry.AdapterRegistration({
                digest: ADAPTER,
                base: BASE,
                indexRoot: index,
                manifestHash: "manifest",
                owner: alice,
                pricePerToken: 9,
                datanetRoots: roots
            })
        );
    }

    function _wrong(string memory what) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IReceiptChallenges.WrongOpening.selector, what);
    }
}
