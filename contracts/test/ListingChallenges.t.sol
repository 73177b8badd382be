// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReceiptContent} from "../src/interfaces/IEpochChallenges.sol";
import {
    IReceiptChallenges,
    IndexRow,
    ReceiptOpening
} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";

/// @notice Which rows a receipt lists: those it left out, and those it should have.
contract ListingChallengesTest is ChallengesBase {
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
        _settle(receipt.epoch, refusal);
    }

    function _challengeListing(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        uint256 position,
        bytes memory refusal
    ) private {
        _expect(refusal);
        receiptChallenges.challengeListing(receipt, content.rows, position);
        _settle(receipt.epoch, refusal);
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
        bytes memory signature = _signWithdrawal(CONTRIBUTOR_KEY + i, records);
        datanets.withdraw(_contributor(i), records, signature);
    }
}
