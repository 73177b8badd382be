// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Receipts} from "../libraries/Receipts.sol";

/// @notice A receipt of a pending epoch, opened.
/// @param epoch Number of the epoch.
/// @param index Position of the receipt among the epoch's.
/// @param spent Wei its payer owes for the epoch's receipts up to and with it.
/// @param head The receipt, lists as hashes.
/// @param proof Of `Leaf.receipt(head.requestId, digest, spent)` at `index` of `receiptsRoot`.
struct ReceiptOpening {
    uint64 epoch;
    uint32 index;
    uint256 spent;
    Receipts.Head head;
    bytes32[] proof;
}

/// @notice One of a receipt's rows, opened.
/// @param groups Hashes of all groups of rows (`Receipts.ROWS_PER_GROUP`); `head.rowsHash` is their
/// list's.
/// @param hashes Hashes of the rows of its group.
/// @param position Of the row among all. Beyond them, with the last group, it shows that there is
/// no such row.
/// @param row The row, spans as hash.
struct RowOpening {
    bytes32[] groups;
    bytes32[] hashes;
    uint256 position;
    Receipts.Row row;
}

/// @notice A row of an adapter's influence index (protocol/influence-row.ts) and its proof in the
/// set tree `head.indexRoot`.
struct IndexRow {
    bytes32 record;
    bytes32 cluster;
    address contributor;
    bytes32 vectorHash;
    int16 exponent;
    int64 nullMean;
    uint64 nullDeviation;
    uint64 self;
    bytes32 tokensRoot;
    uint32 tokens;
    bytes32[] proof;
}

/// @notice The leaf of a token tree (protocol/tokens.ts) that holds a position.
/// @param leaf Its tokens, 4 bytes each.
struct TokenOpening {
    bytes leaf;
    bytes32[] proof;
}

/// @title Proofs that a receipt of a pending epoch is wrong, each in one transaction
/// @notice Every function reverts with `NoFault` when what it is shown is right, and with another
/// error when it is not shown what the receipt commits to. A proof disables the epoch and all
/// later ones, takes the submitter's bond and pays the caller half
/// (`IAttributionSettlement.fault`).
interface IReceiptChallenges {
    enum Fault {
        Score,
        Span,
        Omission,
        Shares,
        Citations,
        Listing,
        Model,
        Equivocation
    }

    event FaultProven(
        uint64 indexed epoch, bytes32 indexed requestId, address indexed challenger, Fault fault
    );

    error NoFault();
    error NotInEpoch(uint64 epoch, uint32 index);
    error NotInIndex(bytes32 record);
    error WrongOpening(string what);
    error TooLittleAtStake(address worker, uint256 stake, uint256 minimum);
    error RecordRevoked(bytes32 record, uint256 time);

    /// @notice Shows that a row's influence or significance is not what the vectors give, or that
    /// its record is another cluster's or contributor's in the index.
    /// @dev The vectors are int8, in two's complement. A query vector of another length than the
    /// row's is a fault.
    function challengeScore(
        ReceiptOpening calldata receipt,
        RowOpening calldata listed,
        IndexRow calldata indexRow,
        bytes calldata query,
        bytes calldata vector
    ) external;

    /// @notice Shows that a span reaches beyond the answer or the record, or that the two differ
    /// at one token of it.
    /// @param spans All spans of the row.
    /// @param which Which of them.
    /// @param offset Token of the span that differs; of no account when it is out of range.
    /// @param output Opens token `outputStart + offset` of the answer.
    /// @param record Opens token `recordStart + offset` of the record.
    function challengeSpan(
        ReceiptOpening calldata receipt,
        RowOpening calldata listed,
        Receipts.Span[] calldata spans,
        uint256 which,
        IndexRow calldata indexRow,
        uint256 offset,
        TokenOpening calldata output,
        TokenOpening calldata record
    ) external;

    /// @notice Shows that a row of the index is significant and has more influence than the
    /// receipt's floor, and is not listed.
    /// @dev Refused when the row's record was revoked on chain (`IDatanetRegistry.revokedAt`) by
    /// the time the epoch was submitted. Nobody honest can be convicted: a submitter knows what its
    /// receipts left out and sends those withdrawals, which anyone may, before the epoch, so that
    /// neither clocks nor a slow chain matter. Nobody can be excused afterwards: what is revoked
    /// once the epoch is there comes too late, and a withdrawal needs the contributor's signature.
    /// A contributor that withdraws between a receipt and its epoch gives up this challenge for it.
    /// @param clusters The first 20 bytes of every listed cluster.
    function challengeOmission(
        ReceiptOpening calldata receipt,
        bytes calldata clusters,
        IndexRow calldata indexRow,
        bytes calldata query,
        bytes calldata vector
    ) external;

    /// @notice Shows that fee split, order, amounts or the unattributed part are not what the
    /// listed rows and the governed numbers give (protocol/shares.ts), or that the method is
    /// unknown.
    function challengeShares(ReceiptOpening calldata receipt, Receipts.Row[] calldata rows) external;

    /// @notice Shows that a citation does not get its equal part of `retrieval`, or that a cluster
    /// is cited twice. How much `retrieval` is, challengeShares shows.
    function challengeCitations(
        ReceiptOpening calldata receipt,
        Receipts.Citation[] calldata citations
    ) external;

    /// @notice Shows that a listed row stands twice or belongs to neither shortlist, or that the
    /// floor is not the influence of the last row of a full first list (or zero).
    /// @param position Of the row that does not belong, that stands twice, or that is the last of
    /// the first list; of no account when that list is not full.
    function challengeListing(
        ReceiptOpening calldata receipt,
        Receipts.Row[] calldata rows,
        uint256 position
    ) external;

    /// @notice Shows that base, index, owner or Datanet versions of the receipt are not those of
    /// its registered adapter, or the owner not that of its registered base.
    /// @param datanets The receipt's list.
    function challengeModel(ReceiptOpening calldata receipt, bytes32[] calldata datanets) external;

    /// @notice Shows two different receipts that one worker signed for one request, and takes the
    /// worker's stake, which has to be at least `staking.minimum`. When the first one is in a
    /// pending epoch (`receipt.epoch` is not zero) that epoch is disabled too; its submitter keeps
    /// its bond.
    function challengeEquivocation(
        ReceiptOpening calldata receipt,
        bytes calldata signature,
        Receipts.Head calldata other,
        bytes calldata otherSignature
    ) external;
}
