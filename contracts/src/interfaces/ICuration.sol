// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDebts} from "./IDebts.sol";

/// @title Challenges of contributions
/// @notice What can be proven is settled by its proof in one transaction. What is a matter of
/// judgement is settled by a panel that is drawn from the reviewers: one seat, one vote, committed
/// and then revealed, open to appeals before larger panels. The two are never slashed alike.
interface ICuration is IDebts {
    /// @notice A fault that a proof shows.
    enum Fault {
        Duplicate,
        Foreign,
        Miscounted
    }

    /// @notice What a panel is asked: whether a batch is poor, taken from others, or harmful.
    enum Claim {
        Quality,
        Plagiarism,
        Adversarial
    }

    enum Verdict {
        None,
        Uphold,
        Dismiss
    }

    /// @notice Drawing: waits for the panel's block. Voting: commits, then reveals. Decided: may be
    /// appealed against until `deadline`. Closed: all is paid.
    enum Stage {
        None,
        Drawing,
        Voting,
        Decided,
        Closed
    }

    /// @notice A record of an anchored batch, opened.
    struct Opening {
        bytes32 batchId;
        bytes32 recordHash;
        bytes32 cluster;
        address contributor;
        bytes32[] proof;
    }

    /// @param batchId The batch at issue.
    /// @param evidence Hash of the challenger's reasons, which are published off chain.
    /// @param seal Hides whether the case is a known one (see `unseal`).
    /// @param challenger Who asked.
    /// @param stake Wei that the challenger loses when dismissed.
    /// @param claim What was asked.
    /// @param stage How far it is.
    /// @param verdict Of the latest panel; None without a majority.
    /// @param round Number of the panel, from 0.
    /// @param openedAt Unix time; who became a reviewer later is not drawn.
    /// @param deadline Unix time: end of the stage Decided.
    /// @param drawBlock Block whose hash draws the panel.
    /// @param pot Wei for the panels.
    struct Case {
        bytes32 batchId;
        bytes32 evidence;
        bytes32 seal;
        address challenger;
        uint96 stake;
        Claim claim;
        Stage stage;
        Verdict verdict;
        uint8 round;
        uint40 openedAt;
        uint40 deadline;
        uint64 drawBlock;
        uint96 pot;
    }

    /// @param seats Who was drawn.
    /// @param appellant Who asked for this panel; zero for the first and for one that replaces a
    /// hung one.
    /// @param stake Wei that the appellant loses when the verdict stands.
    /// @param against The verdict appealed against.
    /// @param commitBy Unix time until which votes are committed.
    /// @param revealBy Unix time until which they are revealed.
    struct Round {
        address[] seats;
        address appellant;
        uint96 stake;
        Verdict against;
        uint40 commitBy;
        uint40 revealBy;
        uint16 committed;
        uint16 upheld;
        uint16 dismissed;
    }

    event Proven(
        bytes32 indexed batchId, Fault indexed fault, address indexed challenger, uint256 slashed
    );
    event CaseOpened(
        uint256 indexed caseId,
        bytes32 indexed batchId,
        address indexed challenger,
        Claim claim,
        bytes32 evidence
    );
    event DrawPostponed(uint256 indexed caseId, uint64 drawBlock);
    event PanelDrawn(
        uint256 indexed caseId, uint8 round, address[] seats, uint40 commitBy, uint40 revealBy
    );
    event Committed(uint256 indexed caseId, uint8 round, address indexed reviewer);
    event Revealed(
        uint256 indexed caseId,
        uint8 round,
        address indexed reviewer,
        Verdict verdict,
        bytes32 evidence
    );
    event Tallied(uint256 indexed caseId, uint8 round, Verdict verdict, uint40 deadline);
    event Appealed(uint256 indexed caseId, uint8 round, address indexed appellant);
    event Unsealed(uint256 indexed caseId, Verdict truth);
    event CaseClosed(uint256 indexed caseId, Verdict verdict, uint256 slashed);
    event KeeperSet(address indexed previous, address indexed current);

    error InvalidOpening(bytes32 batchId);
    error NotADuplicate(bytes32 earlier, bytes32 later);
    error NotForeign(address contributor);
    error CountPossible(uint32 count, uint256 depth);
    error NotRegistry(address caller);
    error WrongValue(uint256 sent, uint256 due);
    error WrongStage(uint256 caseId, Stage stage);
    error TooEarly(uint256 caseId, uint256 time);
    error TooLate(uint256 caseId, uint256 time);
    error NotSeated(uint256 caseId, address account);
    error AlreadyVoted(uint256 caseId, address reviewer);
    error WrongReveal(uint256 caseId, address reviewer);
    error LastRound(uint256 caseId, uint8 round);
    error NotKeeper(address caller);
    error WrongSeal(uint256 caseId);

    /// @notice Rejects the later of two batches of a Datanet that hold the same record, or a batch
    /// that holds one twice.
    /// @dev Requirements: both openings are valid; the record hashes are equal; the earlier batch
    /// was anchored at an earlier second and is not rejected itself. For one batch: the leaves or
    /// their places differ.
    function proveDuplicate(Opening calldata earlier, Opening calldata later) external;

    /// @notice Rejects a batch that holds a record in the name of somebody else than its
    /// contributor.
    function proveForeign(Opening calldata record) external;

    /// @notice Rejects a batch whose count of records cannot be true: a leaf of a complete tree of
    /// that many lies at another depth.
    function proveMiscounted(Opening calldata record) external;

    /// @notice Asks a panel about a batch within its window.
    /// @dev Requirements: value is `costOf(batchId)`.
    /// @param evidence Hash of the reasons.
    /// @param seal Any number; of a known case the hash that `unseal` opens.
    function challenge(bytes32 batchId, Claim claim, bytes32 evidence, bytes32 seal)
        external
        payable
        returns (uint256 caseId);

    /// @notice Draws the panel by the hash of a block after the challenge or appeal; anyone may
    /// call. When that hash is no longer known the draw moves to a later block. With fewer
    /// reviewers than a first panel has seats the case ends and everybody gets back what they paid.
    function draw(uint256 caseId) external;

    /// @notice Commits a vote: `commitmentOf` of it.
    function commit(uint256 caseId, bytes32 commitment) external;

    /// @notice Reveals a committed vote, once the time to commit is over or everybody has.
    /// @param evidence Hash of the list of records that the reviewer looked at.
    function reveal(uint256 caseId, Verdict verdict, bytes32 evidence, bytes32 salt) external;

    /// @notice Counts a panel, once the time to reveal is over or everybody has. A panel without
    /// the needed majority, or of which no more than half voted, is replaced by a larger one as
    /// long as
    /// there may be one; after the last the batch is acquitted and no vote is held against anybody.
    function tally(uint256 caseId) external;

    /// @notice Asks a larger panel; anyone may.
    /// @dev Requirements: value is `appealCostOf(caseId)`; the deadline is not over; there may be
    /// another panel.
    function appeal(uint256 caseId) external payable;

    /// @notice Shows that a case was a known one; by the keeper whom its seal names, after the
    /// tally and before the deadline. The batch is acquitted and the challenger refunded whatever
    /// the
    /// panel said: the keeper's word rejects nothing. Each seat is scored by the truth; who is
    /// wrong too often is no longer drawn.
    function unseal(uint256 caseId, Verdict truth, bytes32 salt) external;

    /// @notice Carries the verdict out and pays everybody, after the deadline; anyone may call.
    function close(uint256 caseId) external;

    /// @notice Names who may unseal known cases, by governance.
    function setKeeper(address keeper) external;

    /// @notice Wei a challenge of the batch costs: its bond as stake, and the fee of each seat.
    function costOf(bytes32 batchId) external view returns (uint256);

    /// @notice Wei an appeal costs: twice the last stake, and the fee of each seat.
    function appealCostOf(uint256 caseId) external view returns (uint256);

    /// @notice What a reviewer commits: bound to voter, case, round, chain and contract.
    function commitmentOf(
        uint256 caseId,
        uint8 round,
        address reviewer,
        Verdict verdict,
        bytes32 evidence,
        bytes32 salt
    ) external view returns (bytes32);

    /// @notice The seal of a known case: bound to keeper, batch, chain and contract.
    function sealOf(address keeper, bytes32 batchId, Verdict truth, bytes32 salt)
        external
        view
        returns (bytes32);

    function caseOf(uint256 caseId) external view returns (Case memory);

    function roundOf(uint256 caseId, uint8 round) external view returns (Round memory);

    function voteOf(uint256 caseId, uint8 round, address reviewer) external view returns (Verdict);

    function keeper() external view returns (address);

    function cases() external view returns (uint256);
}
