// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Receipts} from "../libraries/Receipts.sol";
import {IDebts} from "./IDebts.sol";
import {Draw} from "./IInferenceVault.sol";
import {IndexRow, ReceiptOpening, RowOpening} from "./IReceiptChallenges.sol";

/// @notice What a receipt pays an account: a leaf of `creditsRoot` (`Leaf.credit`).
/// @param receipt Position of the receipt; `BASE_POOL` for the account's part of the base pool.
/// @param part 0 platform, 1 model, 2 stakers, 3 + i row i of the receipt, 1000 + i citation i.
/// @param cumulative What the account may have claimed in all with it.
struct Credit {
    address account;
    uint32 receipt;
    uint32 part;
    uint256 amount;
    uint256 cumulative;
}

/// @notice A place between two neighbours of the credits: the one at `index` and the one before.
/// @dev What would stand before the first or after the last is not looked at.
struct CreditGap {
    uint32 index;
    Credit left;
    bytes32[] leftProof;
    Credit right;
    bytes32[] rightProof;
}

/// @notice What a part of a receipt is read from.
/// @param listed The row; beyond them when the receipt has no such row. Of no account for other
/// parts.
/// @param citations All citations when the part is one. Of no account for other parts.
struct PartOpening {
    RowOpening listed;
    Receipts.Citation[] citations;
}

/// @notice Everything in a receipt that its head gives as a hash.
/// @param spans Of each row.
/// @param query The int8 query vector; of no account without an adapter.
struct ReceiptContent {
    bytes32[] datanets;
    Receipts.Row[] rows;
    Receipts.Span[][] spans;
    Receipts.Citation[] citations;
    bytes query;
}

/// @notice A leaf of `payoutsRoot` (`Leaf.payout`).
struct Payout {
    address account;
    uint256 cumulative;
}

/// @notice A place between two neighbours of the payouts: the one at `index` and the one before.
struct PayoutGap {
    uint32 index;
    Payout left;
    bytes32[] leftProof;
    Payout right;
    bytes32[] rightProof;
}

/// @title Proofs that what a pending epoch pays is not what its receipts say, and demands to reveal
/// @notice The commitment: receipts are ordered by payer and request, each with what its payer owes
/// up to it; credits are ordered by account, receipt and part, each with what its account may claim
/// up to it; payouts are ordered by account. So every sum is a chain of steps that are checked
/// alone:
///
///   draw of a payer      = `spent` of its last receipt          (challengeDraws)
///   each credit          = the part of its receipt              (challengeCredit)
///   each part            has its credit                         (challengeMissingCredit)
///   cumulative of a credit = the one before + amount; the first of an account: its payout of
///                          the epoch before + amount            (challengeCredits)
///   payout of an account = cumulative of its last credit; without one, its payout of the epoch
///                          before                               (challengeTotal)
///   payouts are in order                                        (challengePayouts)
///
/// What is not proven but re-executed: how the base pool is divided.
///
/// A demand forces what an epoch commits to into the open: whoever demands a receipt, credit,
/// payout or index row leaves a bond, and unless somebody answers in time the epoch is wrong. The
/// bond goes to who answers, else back.
///
/// As in IReceiptChallenges: `NoFault` when what is shown is right.
interface IEpochChallenges is IDebts {
    enum Fault {
        Credit,
        MissingCredit,
        Credits,
        Total,
        Payouts,
        Draws,
        Replay,
        Availability
    }

    /// @dev What a demand is about: `index` counts receipts, credits, payouts; IndexRow is about
    /// row `position` of receipt `index`.
    enum Kind {
        Receipt,
        Credit,
        Payout,
        IndexRow
    }

    /// @param challenger Who gets its bond back.
    /// @param deadline Unix time after which it is too late to answer.
    struct Demand {
        address challenger;
        uint96 bond;
        uint64 epoch;
        uint40 deadline;
        Kind kind;
        uint32 index;
        uint32 position;
        bytes32 dataHash;
    }

    event FaultProven(uint64 indexed epoch, address indexed challenger, Fault fault);
    event Demanded(
        bytes32 indexed id,
        uint64 indexed epoch,
        address indexed challenger,
        Kind kind,
        uint32 index,
        uint32 position,
        uint256 deadline
    );
    event Answered(bytes32 indexed id, address indexed by);
    event DemandReturned(bytes32 indexed id, address indexed challenger);

    error NoFault();
    error WrongOpening(string what);
    error EpochNotPending(uint64 epoch);
    error WrongValue(uint256 value, uint256 due);
    error TooLate(uint256 deadline);
    error TooEarly(uint256 deadline);
    error DemandExists(bytes32 id);
    error UnknownDemand(bytes32 id);
    error OutOfRange(uint32 index, uint32 count);

    /// @notice Shows that a credit is not what its receipt says.
    function challengeCredit(
        ReceiptOpening calldata receipt,
        PartOpening calldata opening,
        uint32 creditIndex,
        Credit calldata credit,
        bytes32[] calldata proof
    ) external;

    /// @notice Shows that a credit names a receipt that is not in the epoch.
    function challengeStrayCredit(
        uint64 epoch,
        uint32 creditIndex,
        Credit calldata credit,
        bytes32[] calldata proof
    ) external;

    /// @notice Shows that a part of a receipt has no credit: its place is between two neighbours.
    function challengeMissingCredit(
        ReceiptOpening calldata receipt,
        PartOpening calldata opening,
        uint32 part,
        CreditGap calldata gap
    ) external;

    /// @notice Shows that two neighbours are out of order, or that the right one's cumulative sum
    /// does not follow.
    /// @param before The right one's account among the payouts of the epoch before, when the left
    /// one is another account's (or there is none); else of no account.
    function challengeCredits(uint64 epoch, CreditGap calldata gap, PayoutGap calldata before)
        external;

    /// @notice Shows that an account's payout is not its payout of the epoch before plus its
    /// credits.
    /// @param credits After the account's last credit, or where one would be.
    /// @param payouts After the account's payout, or where it would be.
    /// @param before The same in the epoch before; of no account when the account has credits.
    function challengeTotal(
        uint64 epoch,
        address account,
        CreditGap calldata credits,
        PayoutGap calldata payouts,
        PayoutGap calldata before
    ) external;

    /// @notice Shows that two neighbouring payouts are out of order.
    function challengePayouts(uint64 epoch, PayoutGap calldata gap) external;

    /// @notice Shows that two neighbouring receipts are out of order (or the same), that `spent`
    /// does not follow, or that the last one of a payer is not what was drawn from it.
    /// @param left The receipt before; of no account when `right` is the first.
    /// @param right The receipt after; of no account when `left` is the last.
    /// @param index Position of `right`; the number of receipts when `left` is the last.
    /// @param draws As submitted; may be empty when order or sum is shown.
    function challengeDraws(
        uint32 index,
        ReceiptOpening calldata left,
        ReceiptOpening calldata right,
        Draw[] calldata draws
    ) external;

    /// @notice Shows that a request of a pending epoch was settled in an earlier one too.
    /// @param earlier In an epoch that is pending or active.
    function challengeReplay(ReceiptOpening calldata receipt, ReceiptOpening calldata earlier)
        external;

    /// @notice Demands what a pending epoch commits to; value is `challenge.bond`.
    /// @dev There must be time to answer (`challenge.answerTime`), and as much again, before the
    /// epoch is active.
    function demand(uint64 epoch, Kind kind, uint32 index, uint32 position)
        external
        payable
        returns (bytes32 id);

    /// @notice Answers a demand for a receipt with all of it, and its query vector.
    function answerReceipt(
        bytes32 id,
        ReceiptOpening calldata receipt,
        ReceiptContent calldata content
    ) external;

    /// @notice Answers a demand for a credit.
    function answerCredit(bytes32 id, Credit calldata credit, bytes32[] calldata proof) external;

    /// @notice Answers a demand for a payout.
    function answerPayout(bytes32 id, Payout calldata payout, bytes32[] calldata proof) external;

    /// @notice Answers a demand for the row of the index that a receipt's row names.
    function answerIndexRow(
        bytes32 id,
        ReceiptOpening calldata receipt,
        RowOpening calldata listed,
        IndexRow calldata indexRow
    ) external;

    /// @notice Declares an epoch wrong that did not answer a demand in time.
    function resolve(bytes32 id) external;

    /// @notice Gives a demand's bond back when its epoch is not pending any more.
    function reclaim(bytes32 id) external;

    function demandOf(bytes32 id) external view returns (Demand memory);
}
