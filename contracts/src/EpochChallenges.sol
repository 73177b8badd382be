// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Demands} from "./Demands.sol";
import {ReceiptOpener} from "./ReceiptOpener.sol";
import {IAttributionSettlement} from "./interfaces/IAttributionSettlement.sol";
import {
    Credit,
    CreditGap,
    IEpochChallenges,
    PartOpening,
    PayoutGap
} from "./interfaces/IEpochChallenges.sol";
import {Draw} from "./interfaces/IInferenceVault.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {ReceiptOpening, RowOpening} from "./interfaces/IReceiptChallenges.sol";
import {Receipts} from "./libraries/Receipts.sol";

/// @notice Implements IEpochChallenges; demands are in Demands.
contract EpochChallenges is Demands {
    /// @dev Parts of a fee by number; row i is ROWS + i, citation i CITATIONS + i
    /// (protocol/epoch.ts). No listing is so long that the two meet.
    uint32 private constant PLATFORM = 0;
    uint32 private constant MODEL = 1;
    uint32 private constant STAKERS = 2;
    uint32 private constant ROWS = 3;
    uint32 private constant CITATIONS = 1_000;
    /// @dev In the place of a receipt's position: a part of the base pool.
    uint32 private constant BASE_POOL = type(uint32).max;

    constructor(IAttributionSettlement settlement, IParameters parameters)
        ReceiptOpener(settlement, parameters)
    {}

    /// @inheritdoc IEpochChallenges
    function challengeCredit(
        ReceiptOpening calldata receipt,
        PartOpening calldata opening,
        uint32 creditIndex,
        Credit calldata credit,
        bytes32[] calldata proof
    ) external {
        _requireReceipt(receipt);
        _requireCredit(SETTLEMENT.epochs(receipt.epoch), creditIndex, credit, proof);
        if (credit.receipt != receipt.index) revert WrongOpening("credit");
        (address account, uint256 amount) = _partOf(receipt.head, opening, credit.part);
        bool isRight = amount > 0 && account == credit.account && amount == credit.amount;
        _prove(receipt.epoch, isRight, Fault.Credit);
    }

    /// @inheritdoc IEpochChallenges
    function challengeStrayCredit(
        uint64 epoch,
        uint32 creditIndex,
        Credit calldata credit,
        bytes32[] calldata proof
    ) external {
        IAttributionSettlement.Epoch memory record = _pending(epoch);
        _requireCredit(record, creditIndex, credit, proof);
        bool isRight = credit.receipt < record.receipts || credit.receipt == BASE_POOL;
        _prove(epoch, isRight, Fault.Credit);
    }

    /// @inheritdoc IEpochChallenges
    function challengeMissingCredit(
        ReceiptOpening calldata receipt,
        PartOpening calldata opening,
        uint32 part,
        CreditGap calldata gap
    ) external {
        _requireReceipt(receipt);
        IAttributionSettlement.Epoch memory record = SETTLEMENT.epochs(receipt.epoch);
        (bool hasLeft, bool hasRight) = _requireCreditGap(record, gap);
        (address account, uint256 amount) = _partOf(receipt.head, opening, part);
        uint256 key = _key(account, receipt.index, part);
        if ((hasLeft && _keyOf(gap.left) >= key) || (hasRight && _keyOf(gap.right) <= key)) {
            revert WrongOpening("gap");
        }
        _prove(receipt.epoch, amount == 0, Fault.MissingCredit);
    }

    /// @inheritdoc IEpochChallenges
    function challengeCredits(uint64 epoch, CreditGap calldata gap, PayoutGap calldata before)
        external
    {
        (bool hasLeft, bool hasRight) = _requireCreditGap(_pending(epoch), gap);
        if (!hasRight) revert WrongOpening("gap");
        Credit calldata right = gap.right;
        bool isRight = !hasLeft || _keyOf(gap.left) < _keyOf(right);
        if (isRight) {
            uint256 previous = hasLeft && gap.left.account == right.account
                ? gap.left.cumulative
                : _payoutAt(epoch - 1, right.account, before);
            unchecked {
                // A sum that would not fit is wrong, not a reason to refuse the proof.
                isRight = right.cumulative == previous + right.amount;
            }
        }
        _prove(epoch, isRight, Fault.Credits);
    }

    /// @inheritdoc IEpochChallenges
    function challengeTotal(
        uint64 epoch,
        address account,
        CreditGap calldata credits,
        PayoutGap calldata payouts,
        PayoutGap calldata before
    ) external {
        (bool hasLeft, bool hasRight) = _requireCreditGap(_pending(epoch), credits);
        if (
            (hasLeft && credits.left.account > account)
                || (hasRight && credits.right.account <= account)
        ) revert WrongOpening("credits");
        uint256 due = hasLeft && credits.left.account == account
            ? credits.left.cumulative
            : _payoutAt(epoch - 1, account, before);
        _prove(epoch, _payoutAt(epoch, account, payouts) == due, Fault.Total);
    }

    /// @inheritdoc IEpochChallenges
    function challengePayouts(uint64 epoch, PayoutGap calldata gap) external {
        (bool hasLeft, bool hasRight) = _requirePayoutGap(_pending(epoch), gap);
        if (!hasLeft || !hasRight) revert WrongOpening("gap");
        _prove(epoch, gap.left.account < gap.right.account, Fault.Payouts);
    }

    /// @inheritdoc IEpochChallenges
    function challengeDraws(
        uint32 index,
        ReceiptOpening calldata left,
        ReceiptOpening calldata right,
        Draw[] calldata draws
    ) external {
        bool hasLeft = index > 0;
        uint64 epoch = hasLeft ? left.epoch : right.epoch;
        IAttributionSettlement.Epoch memory record = _pending(epoch);
        bool hasRight = index < record.receipts;
        if (hasLeft) {
            if (left.index != index - 1) revert WrongOpening("left");
            _requireReceipt(left);
        }
        if (hasRight) {
            if (right.epoch != epoch || right.index != index) revert WrongOpening("right");
            _requireReceipt(right);
        }
        bool isRight = !hasRight || _follows(hasLeft, left, right);
        if (isRight && keccak256(abi.encode(draws)) == record.drawsHash) {
            isRight = _areDrawsRight(hasLeft, hasRight, left, right, draws);
        }
        _prove(epoch, isRight, Fault.Draws);
    }

    /// @inheritdoc IEpochChallenges
    function challengeReplay(ReceiptOpening calldata receipt, ReceiptOpening calldata earlier)
        external
    {
        _requireReceipt(receipt);
        IAttributionSettlement.Status status = SETTLEMENT.statusOf(earlier.epoch);
        if (
            earlier.epoch >= receipt.epoch
                || (status != IAttributionSettlement.Status.Pending
                    && status != IAttributionSettlement.Status.Active)
        ) revert WrongOpening("earlier");
        IAttributionSettlement.Epoch memory record = SETTLEMENT.epochs(earlier.epoch);
        if (!_isReceipt(earlier, record.receiptsRoot, record.receipts)) {
            revert WrongOpening("earlier");
        }
        bool isRight = receipt.head.requestId != earlier.head.requestId;
        _prove(receipt.epoch, isRight, Fault.Replay);
    }

    /* ----------------------------------- internals ---------------------------------- */

    /// @dev Who gets a part of a receipt, and how much; nothing when there is no such part.
    function _partOf(Receipts.Head calldata head, PartOpening calldata opening, uint32 part)
        private
        view
        returns (address account, uint256 amount)
    {
        if (part == PLATFORM) return (SETTLEMENT.TREASURY(), head.platform);
        if (part == MODEL) return (head.modelOwner, head.model);
        if (part == STAKERS) return (SETTLEMENT.STAKING(), head.stakers);
        if (part >= CITATIONS) {
            _requireCitations(head, opening.citations);
            uint256 i = part - CITATIONS;
            if (i >= opening.citations.length) return (address(0), 0);
            return (opening.citations[i].contributor, opening.citations[i].amount);
        }
        RowOpening calldata listed = opening.listed;
        if (listed.position != part - ROWS) revert WrongOpening("row");
        if (!_isListed(head, listed)) return (address(0), 0);
        _requireRow(head, listed);
        return (listed.row.contributor, listed.row.amount);
    }

    /// @dev Whether order and `spent` of a receipt follow from the one before.
    function _follows(bool hasLeft, ReceiptOpening calldata left, ReceiptOpening calldata right)
        private
        pure
        returns (bool)
    {
        uint256 previous = 0;
        if (hasLeft) {
            if (left.head.payer > right.head.payer) return false;
            if (left.head.payer == right.head.payer) {
                if (left.head.requestId >= right.head.requestId) return false;
                previous = left.spent;
            }
        }
        unchecked {
            // A sum that would not fit is wrong, not a reason to refuse the proof.
            return right.spent == previous + right.head.fee;
        }
    }

    /// @dev Whether, at a border between payers, the left one's draw is what it spent, and nobody
    /// without receipts is drawn from.
    function _areDrawsRight(
        bool hasLeft,
        bool hasRight,
        ReceiptOpening calldata left,
        ReceiptOpening calldata right,
        Draw[] calldata draws
    ) private pure returns (bool) {
        if (hasLeft && hasRight && left.head.payer == right.head.payer) {
            return true;
        }
        uint256 drawn = 0;
        for (uint256 i = 0; i < draws.length; ++i) {
            address payer = draws[i].payer;
            if (hasLeft && payer == left.head.payer) drawn += draws[i].amount;
            bool isAfter = !hasLeft || payer > left.head.payer;
            bool isBefore = !hasRight || payer < right.head.payer;
            if (isAfter && isBefore) return false;
        }
        return !hasLeft || drawn == left.spent;
    }

    /// @dev An account's payout in an epoch, zero when it has none.
    function _payoutAt(uint64 epoch, address account, PayoutGap calldata gap)
        private
        view
        returns (uint256)
    {
        (bool hasLeft, bool hasRight) = _requirePayoutGap(SETTLEMENT.epochs(epoch), gap);
        if ((hasLeft && gap.left.account > account) || (hasRight && gap.right.account <= account)) {
            revert WrongOpening("payouts");
        }
        return hasLeft && gap.left.account == account ? gap.left.cumulative : 0;
    }

    function _requireCreditGap(IAttributionSettlement.Epoch memory record, CreditGap calldata gap)
        private
        pure
        returns (bool hasLeft, bool hasRight)
    {
        if (gap.index > record.credits) revert OutOfRange(gap.index, record.credits);
        hasLeft = gap.index > 0;
        hasRight = gap.index < record.credits;
        if (hasLeft) _requireCredit(record, gap.index - 1, gap.left, gap.leftProof);
        if (hasRight) _requireCredit(record, gap.index, gap.right, gap.rightProof);
    }

    function _requirePayoutGap(IAttributionSettlement.Epoch memory record, PayoutGap calldata gap)
        private
        pure
        returns (bool hasLeft, bool hasRight)
    {
        if (gap.index > record.payouts) revert OutOfRange(gap.index, record.payouts);
        hasLeft = gap.index > 0;
        hasRight = gap.index < record.payouts;
        if (hasLeft) _requirePayout(record, gap.index - 1, gap.left, gap.leftProof);
        if (hasRight) _requirePayout(record, gap.index, gap.right, gap.rightProof);
    }

    /// @dev The order of credits as one number.
    function _key(address account, uint32 receipt, uint32 part) private pure returns (uint256) {
        return (uint256(uint160(account)) << 64) | (uint256(receipt) << 32) | part;
    }

    function _keyOf(Credit calldata credit) private pure returns (uint256) {
        return _key(credit.account, credit.receipt, credit.part);
    }
}
