// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {
    Credit,
    CreditGap,
    IEpochChallenges,
    Payout,
    PayoutGap,
    ReceiptContent
} from "../src/interfaces/IEpochChallenges.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {IReceiptChallenges, ReceiptOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {ISubmitters} from "../src/interfaces/ISubmitters.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ReceiptsBase} from "./ReceiptsBase.sol";

/// @notice Epochs of receipts, and what a challenge of them must do.
abstract contract ChallengesBase is ReceiptsBase {
    /// @dev An epoch before it is submitted; whatever a test changes, roots and proofs follow.
    struct Epoch {
        ReceiptOpening[] receipts;
        Credit[] credits;
        Payout[] payouts;
        Draw[] draws;
    }

    uint32 internal constant BASE_POOL = type(uint32).max;
    bytes internal constant NO_FAULT = abi.encodeWithSelector(IReceiptChallenges.NoFault.selector);

    /// @dev Receipts of a few payers, in order, with what follows from them after `previous`.
    function _epoch(
        Receipts.Head[] memory heads,
        ReceiptContent[] memory contents,
        Payout[] memory previous
    ) internal view returns (Epoch memory epoch) {
        epoch.receipts = new ReceiptOpening[](heads.length);
        epoch.draws = new Draw[](heads.length);
        uint256 payers = 0;
        Credit[] memory credits = new Credit[](0);
        for (uint32 i = 0; i < heads.length; ++i) {
            ReceiptOpening memory receipt = epoch.receipts[i];
            receipt.head = heads[i];
            receipt.spent = heads[i].fee;
            if (i == 0 || heads[i - 1].payer != heads[i].payer) {
                epoch.draws[payers++] = Draw(heads[i].payer, 0);
            } else {
                receipt.spent += epoch.receipts[i - 1].spent;
            }
            epoch.draws[payers - 1].amount = receipt.spent;
            credits = _concat(credits, _creditsOf(i, heads[i], contents[i]));
        }
        Draw[] memory draws = epoch.draws;
        assembly ("memory-safe") {
            mstore(draws, payers)
        }
        _follow(epoch, credits, previous);
    }

    /// @dev One receipt and the base pool's part of it, in epoch 1.
    function _epochOf(Receipts.Head memory head, ReceiptContent memory content)
        internal
        view
        returns (Epoch memory)
    {
        Receipts.Head[] memory heads = new Receipts.Head[](1);
        ReceiptContent[] memory contents = new ReceiptContent[](1);
        (heads[0], contents[0]) = (head, content);
        return _epoch(heads, contents, new Payout[](0));
    }

    function _submitEpoch(Epoch memory epoch) internal {
        _submitEpoch(epoch, keccak256(abi.encode("data", settlement.lastEpoch() + 1)));
    }

    function _submitEpoch(Epoch memory epoch, bytes32 dataHash) internal {
        uint64 number = settlement.lastEpoch() + 1;
        bytes32[] memory leaves = new bytes32[](epoch.receipts.length);
        for (uint32 i = 0; i < leaves.length; ++i) {
            ReceiptOpening memory receipt = epoch.receipts[i];
            leaves[i] = Leaf.receipt(receipt.head.requestId, _digest(receipt.head), receipt.spent);
            (receipt.epoch, receipt.index) = (number, i);
        }
        for (uint32 i = 0; i < leaves.length; ++i) {
            epoch.receipts[i].proof = _proof(leaves, i);
        }
        uint256 total = 0;
        for (uint256 i = 0; i < epoch.draws.length; ++i) {
            total += epoch.draws[i].amount;
        }
        bool pays = epoch.payouts.length > 0;
        IAttributionSettlement.Submission memory submission =
            _submission(total, pays ? _root(_payoutLeaves(epoch)) : bytes32(0));
        submission.dataHash = dataHash;
        submission.receiptsRoot = _root(leaves);
        if (epoch.credits.length > 0) submission.creditsRoot = _root(_creditLeaves(epoch));
        submission.receipts = uint32(leaves.length);
        submission.credits = uint32(epoch.credits.length);
        submission.payouts = uint32(epoch.payouts.length);
        vm.prank(submitter);
        settlement.submitEpoch(submission, epoch.draws);
    }

    function _submit(Receipts.Head memory receipt, ReceiptContent memory content)
        internal
        returns (ReceiptOpening memory)
    {
        _seal(receipt, content);
        return _submitSealed(receipt, content);
    }

    function _submitSealed(Receipts.Head memory receipt, ReceiptContent memory content)
        internal
        returns (ReceiptOpening memory)
    {
        Epoch memory epoch = _epochOf(receipt, content);
        _submitEpoch(epoch);
        return epoch.receipts[0];
    }

    /* ------------------------- three receipts of two payers ------------------------- */

    /// @dev Two receipts of the lower payer, bare and fair, then one of the other.
    function _heads() internal view returns (Receipts.Head[] memory heads) {
        heads = new Receipts.Head[](3);
        heads[0] = _bare("a");
        (heads[1],) = _fair("b");
        heads[2] = _bare("a"); // of another payer, who may name it as it likes
        (address low, address high) =
            operator < stranger ? (operator, stranger) : (stranger, operator);
        (heads[0].payer, heads[1].payer, heads[2].payer) = (low, low, high);
    }

    function _contents() internal view returns (ReceiptContent[] memory contents) {
        contents = new ReceiptContent[](3);
        (, contents[1]) = _fair("b");
    }

    function _threeReceipts() internal view returns (Epoch memory) {
        return _epoch(_heads(), _contents(), new Payout[](0));
    }

    function _submitted() internal returns (Epoch memory epoch) {
        epoch = _threeReceipts();
        _submitEpoch(epoch);
    }

    /// @dev The next epoch, with the same receipts of other requests.
    function _after(Epoch memory previous) internal view returns (Epoch memory) {
        Receipts.Head[] memory heads = _heads();
        (heads[0].requestId, heads[1].requestId, heads[2].requestId) = ("c", "d", "e");
        return _epoch(heads, _contents(), previous.payouts);
    }

    /* ------------------------------------ proofs ------------------------------------ */

    function _creditProof(Epoch memory epoch, uint256 i) internal pure returns (bytes32[] memory) {
        return _proof(_creditLeaves(epoch), i);
    }

    function _payoutProof(Epoch memory epoch, uint256 i) internal pure returns (bytes32[] memory) {
        return _proof(_payoutLeaves(epoch), i);
    }

    function _creditGap(Epoch memory epoch, uint32 index)
        internal
        pure
        returns (CreditGap memory gap)
    {
        gap.index = index;
        if (index > 0) {
            (gap.left, gap.leftProof) = (epoch.credits[index - 1], _creditProof(epoch, index - 1));
        }
        if (index < epoch.credits.length) {
            (gap.right, gap.rightProof) = (epoch.credits[index], _creditProof(epoch, index));
        }
    }

    function _payoutGap(Epoch memory epoch, uint32 index)
        internal
        pure
        returns (PayoutGap memory gap)
    {
        gap.index = index;
        if (index > 0) {
            (gap.left, gap.leftProof) = (epoch.payouts[index - 1], _payoutProof(epoch, index - 1));
        }
        if (index < epoch.payouts.length) {
            (gap.right, gap.rightProof) = (epoch.payouts[index], _payoutProof(epoch, index));
        }
    }

    function _afterPayout(Epoch memory epoch, address account) internal pure returns (uint32 i) {
        while (i < epoch.payouts.length && epoch.payouts[i].account <= account) ++i;
    }

    /* ----------------------------------- outcomes ----------------------------------- */

    /// @dev Without a refusal it succeeds.
    function _expect(bytes memory refusal) internal {
        if (refusal.length > 0) vm.expectRevert(refusal);
        vm.prank(stranger);
    }

    function _settle(uint64 epoch, bytes memory refusal) internal view {
        if (refusal.length == 0) _assertFaulted(epoch, stranger);
    }

    /// @dev What is true after a challenge has succeeded.
    function _assertFaulted(uint64 epoch, address challenger) internal view {
        vm.assertEq(
            uint256(settlement.statusOf(epoch)), uint256(IAttributionSettlement.Status.Disabled)
        );
        ISubmitters.Submitter memory staker = settlement.submitterOf(submitter);
        vm.assertEq(staker.bond, 0);
        vm.assertEq(settlement.owed(challenger), BOND / 2);
        vm.assertEq(settlement.owed(treasury), BOND / 2);
    }

    function _wrong(string memory what) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IReceiptChallenges.WrongOpening.selector, what);
    }

    function _outOfRange(uint32 index, uint32 count) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IEpochChallenges.OutOfRange.selector, index, count);
    }

    /* ---------------------------------- internals ----------------------------------- */

    function _creditsOf(uint32 i, Receipts.Head memory head, ReceiptContent memory content)
        private
        view
        returns (Credit[] memory credits)
    {
        uint256 count = content.rows.length;
        bool pools = head.unattributed > 0;
        credits = new Credit[](3 + count + content.citations.length + (pools ? 1 : 0));
        credits[0] = Credit(treasury, i, 0, head.platform, 0);
        credits[1] = Credit(head.modelOwner, i, 1, head.model, 0);
        credits[2] = Credit(address(staking), i, 2, head.stakers, 0);
        for (uint32 j = 0; j < count; ++j) {
            Receipts.Row memory row = content.rows[j];
            credits[3 + j] = Credit(row.contributor, i, 3 + j, row.amount, 0);
        }
        for (uint32 j = 0; j < content.citations.length; ++j) {
            Receipts.Citation memory citation = content.citations[j];
            credits[3 + count + j] = Credit(citation.contributor, i, 1_000 + j, citation.amount, 0);
        }
        if (pools) {
            credits[credits.length - 1] =
                Credit(_contributor(9), BASE_POOL, i, head.unattributed, 0);
        }
    }

    /// @dev Orders the credits, and sums them and the payouts up.
    function _follow(Epoch memory epoch, Credit[] memory credits, Payout[] memory previous)
        private
        pure
    {
        for (uint256 i = 1; i < credits.length; ++i) {
            for (uint256 j = i; j > 0 && _isAfter(credits[j - 1], credits[j]); --j) {
                (credits[j - 1], credits[j]) = (credits[j], credits[j - 1]);
            }
        }
        Payout[] memory payouts = new Payout[](credits.length + previous.length);
        (uint256 count, uint256 taken) = (0, 0);
        for (uint256 i = 0; i < credits.length; ++i) {
            address account = credits[i].account;
            while (taken < previous.length && previous[taken].account < account) {
                payouts[count++] = _copy(previous[taken++]);
            }
            uint256 before = 0;
            if (count > 0 && payouts[count - 1].account == account) {
                before = payouts[--count].cumulative;
            } else if (taken < previous.length && previous[taken].account == account) {
                before = previous[taken++].cumulative;
            }
            credits[i].cumulative = before + credits[i].amount;
            payouts[count++] = Payout(account, credits[i].cumulative);
        }
        while (taken < previous.length) {
            payouts[count++] = _copy(previous[taken++]);
        }
        assembly ("memory-safe") {
            mstore(payouts, count)
        }
        (epoch.credits, epoch.payouts) = (credits, payouts);
    }

    /// @dev What a test changes in one epoch stays as it was in the other.
    function _copy(Payout memory payout) private pure returns (Payout memory) {
        return Payout(payout.account, payout.cumulative);
    }

    function _isAfter(Credit memory a, Credit memory b) private pure returns (bool) {
        if (a.account != b.account) return a.account > b.account;
        return a.receipt != b.receipt ? a.receipt > b.receipt : a.part > b.part;
    }

    function _concat(Credit[] memory a, Credit[] memory b)
        private
        pure
        returns (Credit[] memory all)
    {
        all = new Credit[](a.length + b.length);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = i < a.length ? a[i] : b[i - a.length];
        }
    }

    function _creditLeaves(Epoch memory epoch) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](epoch.credits.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            Credit memory credit = epoch.credits[i];
            leaves[i] = Leaf.credit(
                credit.account, credit.receipt, credit.part, credit.amount, credit.cumulative
            );
        }
    }

    function _payoutLeaves(Epoch memory epoch) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](epoch.payouts.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            leaves[i] = Leaf.payout(epoch.payouts[i].account, epoch.payouts[i].cumulative);
        }
    }
}
