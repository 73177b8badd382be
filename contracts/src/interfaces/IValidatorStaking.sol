// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDebts} from "./IDebts.sol";

/// @title Stake of validators and workers, and what it says about epochs
/// @notice Stake votes (`IVotingOpen`), approves and rejects epochs, and can be lost: to proofs
/// alone, never to an account. It leaves slowly, so that it is still there when a proof comes.
/// Faults that only re-execution can see (gradients, texts, the base pool) have no proof: an epoch
/// that most of the stake rejects within its window is disabled, and nobody is slashed for it.
///
/// Where the wei are: balance = stakes + leaving + owed + rewards not collected.
interface IValidatorStaking is IDebts {
    /// @param stake Wei that vote and attest.
    /// @param leaving Wei on their way out; they can still be slashed.
    /// @param leavesAt Unix time from which they can be withdrawn.
    /// @param lockedUntil Unix time until which nothing can: when all epochs it approved are
    /// active.
    struct Validator {
        uint96 stake;
        uint96 leaving;
        uint40 leavesAt;
        uint40 lockedUntil;
    }

    /// @notice What stake says about an epoch's content (its number and `dataHash`).
    /// @param approved Weight of the approvals.
    /// @param rejected Weight of the rejections.
    /// @param faulted Whether it was proven wrong after somebody approved it.
    struct Verdict {
        uint120 approved;
        uint120 rejected;
        bool faulted;
    }

    event Staked(address indexed account, address indexed from, uint256 amount, uint256 stake);
    event LeaveRequested(address indexed account, uint256 amount, uint256 leavesAt);
    event Left(address indexed account, address indexed to, uint256 amount);
    event Approved(uint64 indexed epoch, address indexed validator, uint256 weight);
    event Rejected(uint64 indexed epoch, address indexed validator, uint256 weight, string reason);
    event RejectedByMajority(uint64 indexed epoch, uint256 rejected, uint256 total);
    event EpochFaulted(uint64 indexed epoch, bytes32 dataHash);
    event Slashed(address indexed account, address indexed challenger, uint256 amount);
    event RewardCollected(uint64 indexed epoch, address indexed validator, uint256 amount);

    error NotSlasher(address caller);
    error NotSettlement(address caller);
    error InsufficientStake(address account, uint256 stake, uint256 required);
    error StakeLocked(address account, uint256 until);
    error EpochNotPending(uint64 epoch);
    error EpochNotActive(uint64 epoch);
    error AlreadyAttested(address validator, uint64 epoch);
    error NotApprover(address validator, uint64 epoch);
    error NotFaulted(uint64 epoch);
    error NothingToCollect(address validator, uint64 epoch);
    error InsufficientRewards(uint256 amount, uint256 available);

    /// @notice Adds the sent wei to an account's stake; only the account gets them back.
    function stake(address account) external payable;

    /// @notice Takes `amount` of the caller's stake out of votes and attestations. It can be
    /// withdrawn after `staking.unbondDelay`; asking again starts the time anew for all that
    /// leaves.
    function requestLeave(uint256 amount) external;

    /// @notice Sends what has left to `to`.
    function withdraw(address to) external;

    /// @notice Says that the caller has verified a pending epoch. Its stake stays until the epoch
    /// is active, shares the epoch's reward by weight, and loses a tenth when the epoch is proven
    /// wrong.
    /// @dev Weight of an attestation: the stake that the caller has now and had
    /// `settlement.window` seconds ago, so that nobody can buy a verdict on an epoch that is known.
    function approve(uint64 epoch) external;

    /// @notice Says that a pending epoch is wrong. When more than half of the stake of
    /// `settlement.window` seconds ago says so, it and every later one are disabled.
    function reject(uint64 epoch, string calldata reason) external;

    /// @notice Takes a tenth of the stake of a validator that approved an epoch that was proven
    /// wrong; half of it is owed to the caller. Once per epoch and validator; anyone may call.
    function slashApprover(uint64 epoch, bytes32 dataHash, address validator) external;

    /// @notice Sends the caller's part of the stakers' fees of active epochs it approved to `to`.
    /// @dev An epoch's reward is `split.stakers` of its total, less a wei per receipt for rounding.
    /// The wei must have been claimed from the settlement contract for this one, by anyone.
    function collect(uint64[] calldata epochs, address to) external returns (uint256 amount);

    /// @notice Takes up to `amount` of an account's stake, what is leaving included; half is owed
    /// to the challenger, half to the treasury. By the challenge contracts alone.
    /// @return slashed What was there to take.
    function slash(address account, uint256 amount, address challenger)
        external
        returns (uint256 slashed);

    /// @notice Notes that an epoch was proven wrong, by the settlement contract.
    function epochFaulted(uint64 epoch, bytes32 dataHash) external;

    function validatorOf(address account) external view returns (Validator memory);

    /// @notice Wei that an account had at stake at a past Unix time, what was leaving not counted:
    /// who signs receipts has to have `staking.minimum`, which it loses by signing two for one
    /// request.
    function stakeAt(address account, uint48 time) external view returns (uint256);

    /// @notice All wei that vote and attest.
    function totalStake() external view returns (uint256);

    /// @notice Wei claimed from the settlement contract and not collected.
    function rewards() external view returns (uint256);

    function verdictOf(uint64 epoch, bytes32 dataHash) external view returns (Verdict memory);

    /// @notice Wei that `collect` gives a validator for an epoch.
    function rewardOf(uint64 epoch, address validator) external view returns (uint256);
}
