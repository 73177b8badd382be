// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReceiptContent} from "../src/interfaces/IEpochChallenges.sol";
import {ReceiptOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";

/// @notice How a receipt divides its fee.
contract ShareChallengesTest is ChallengesBase {
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

    /// @dev For fees that nobody could draw.
    function _submitUnpaid(Receipts.Head memory receipt) private returns (ReceiptOpening memory) {
        Epoch memory epoch;
        epoch.receipts = new ReceiptOpening[](1);
        epoch.receipts[0].head = receipt;
        _submitEpoch(epoch);
        return epoch.receipts[0];
    }

    function _challengeShares(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        bytes memory refusal
    ) private {
        _expect(refusal);
        receiptChallenges.challengeShares(receipt, content.rows);
        _settle(receipt.epoch, refusal);
    }
}
