// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Draw} from "./IInferenceVault.sol";
import {ISubmitters} from "./ISubmitters.sol";

/// @title Epochs of receipts: what payers owe, what contributors may claim
/// @notice A bonded submitter settles epoch after epoch. Each draws its total from the payers'
/// prepaid balances and carries a Merkle root over what every account may have claimed in all. A
/// root becomes claimable after a window in which its epoch, and with it every later one, can be
/// disabled; earlier roots stay claimable meanwhile.
///
/// Where the wei are, at any time:
///   balance = bonds + owed + totals of epochs 1..lastEpoch + totals of disabled epochs not
///   refunded - claimed
/// A disabled epoch gives its draws back to exactly who they were taken from, and only then can its
/// number be submitted again: it ends as if it had never been.
interface IAttributionSettlement is ISubmitters {
    /// @dev None: never submitted, or disabled and refunded. Disabled: waits for its refund.
    enum Status {
        None,
        Pending,
        Active,
        Disabled
    }

    /// @param epoch Number; the last one plus one.
    /// @param receiptsRoot Ordered tree over the receipts (`Leaf.receipt`), by payer and request.
    /// @param creditsRoot Ordered tree over what the receipts pay (`Leaf.credit`), by account,
    /// receipt and part; zero when nobody is paid.
    /// @param payoutsRoot Ordered tree over cumulative payouts (`Leaf.payout`), by account; zero
    /// when nobody was ever paid.
    /// @param receipts Leaves of `receiptsRoot`.
    /// @param credits Leaves of `creditsRoot`.
    /// @param payouts Leaves of `payoutsRoot`.
    /// @param total Wei this epoch draws and pays.
    /// @param dataHash keccak256 of the manifest of what the epoch publishes.
    /// @param commitment Where the data-availability layer keeps the manifest.
    /// @param paramsHash Governed numbers the receipts were made under.
    struct Submission {
        uint64 epoch;
        bytes32 receiptsRoot;
        bytes32 creditsRoot;
        bytes32 payoutsRoot;
        uint32 receipts;
        uint32 credits;
        uint32 payouts;
        uint256 total;
        bytes32 dataHash;
        bytes commitment;
        bytes32 paramsHash;
    }

    /// @param drawsHash keccak256(abi.encode(draws)).
    /// @param submitter Whose bond stands for it.
    /// @param total Wei drawn for this epoch.
    /// @param cumulativeTotal Wei drawn for this and all earlier epochs: 96 bits hold 79 times all
    /// OPEN.
    /// @param activeAt Unix time from which its root can be claimed against.
    /// @param window Seconds before `activeAt` at which it was submitted.
    struct Epoch {
        bytes32 receiptsRoot;
        bytes32 creditsRoot;
        bytes32 payoutsRoot;
        bytes32 dataHash;
        bytes32 paramsHash;
        bytes32 drawsHash;
        address submitter;
        uint96 total;
        uint96 cumulativeTotal;
        uint40 activeAt;
        uint24 window;
        uint32 receipts;
        uint32 credits;
        uint32 payouts;
    }

    /// @param staking ValidatorStaking: may disable, and is paid the stakers' part of fees.
    /// @param receiptChallenges ReceiptChallenges: may declare faults.
    /// @param epochChallenges EpochChallenges: may declare faults.
    /// @param treasury Is paid the platform's part of fees, and what of a slashed bond no
    /// challenger gets.
    struct Links {
        address staking;
        address receiptChallenges;
        address epochChallenges;
        address treasury;
    }

    /// @notice A claim that its account signs (EIP-712 type `Claim`, with the account's nonce
    /// between `maxFee` and `deadline`) and anyone sends.
    /// @param account Whose claim it is.
    /// @param to Who is paid.
    /// @param maxFee Wei of it that the sender may keep, at most.
    /// @param deadline Unix time after which it is void.
    struct SignedClaim {
        address account;
        address to;
        uint256 cumulative;
        uint64 epoch;
        uint256 maxFee;
        uint256 deadline;
    }

    event SubmitterSlashed(
        uint64 indexed epoch,
        address indexed submitter,
        address indexed challenger,
        uint256 slashed,
        uint256 reward
    );
    event EpochSubmitted(
        uint64 indexed epoch,
        address indexed submitter,
        bytes32 receiptsRoot,
        bytes32 creditsRoot,
        bytes32 payoutsRoot,
        uint256 total,
        bytes32 dataHash,
        bytes commitment,
        bytes32 paramsHash,
        uint256 activeAt
    );
    event EpochsDisabled(uint64 indexed first, uint64 indexed last);
    event EpochRefunded(uint64 indexed epoch, uint256 total);
    event Claimed(
        address indexed account, address indexed to, uint64 indexed epoch, uint256 amount
    );

    error ZeroReceiptsRoot();
    error EpochOutOfOrder(uint64 given, uint64 expected);
    error EpochNotRefunded(uint64 epoch);
    error ParamsNotUsable(bytes32 paramsHash, uint256 until);
    error TooManyDraws(uint256 count, uint256 max);
    error TotalMismatch(uint256 total, uint256 drawn);
    error EpochNotPending(uint64 epoch);
    error EpochNotDisabled(uint64 epoch);
    error DrawsMismatch(bytes32 given, bytes32 expected);
    error EpochNotActive(uint64 epoch);
    error InvalidProof(address account, uint256 cumulative, uint64 epoch);
    error NothingToClaim(address account, uint256 cumulative, uint256 claimed);
    error ExceedsTotal(uint256 amount, uint256 unclaimed);
    error NotVault(address caller);
    error NotTrusted(address caller);
    error SignatureExpired(uint256 deadline);
    error InvalidSignature(address account);
    error FeeTooHigh(uint256 fee, uint256 max);

    /// @notice Settles the next epoch.
    /// @dev Requirements: caller is allowed, has `requiredBond` at stake and is not unbonding;
    /// the number follows the last one, and a disabled epoch of this number has been refunded; the
    /// governed
    /// numbers are in force, or were within `PARAMS_GRACE`; the draws sum to `total` and every
    /// payer has them. Effects: draws; the root becomes claimable after `settlement.window`, never
    /// before an
    /// earlier one.
    function submitEpoch(Submission calldata submission, Draw[] calldata draws) external;

    /// @notice Disables a pending epoch and every later one, by governance, the staking contract
    /// (most of the stake attests against it) or a challenge contract.
    function disable(uint64 epoch) external;

    /// @notice Disables a pending epoch that was proven wrong and every later one, and takes its
    /// submitter's whole bond: half is owed to the challenger, half to the treasury. By the
    /// challenge contracts alone.
    function fault(uint64 epoch, address challenger) external;

    /// @notice Gives the draws of a disabled epoch back to its payers; anyone may call.
    /// @param draws As submitted; `drawsHash` binds them.
    function refund(uint64 epoch, Draw[] calldata draws) external;

    /// @notice Pays an account what an active epoch grants it beyond what it has claimed; anyone
    /// may call.
    /// @param cumulative Wei the epoch grants the account in all.
    /// @param index Position of the account among the epoch's payouts.
    /// @param proof Of `Leaf.payout(account, cumulative)` at `index` of the epoch's `payoutsRoot`.
    function claim(
        address account,
        uint256 cumulative,
        uint64 epoch,
        uint256 index,
        bytes32[] calldata proof
    ) external;

    /// @notice As `claim`, for the caller's own account, paid to another address.
    function claimTo(
        address to,
        uint256 cumulative,
        uint64 epoch,
        uint256 index,
        bytes32[] calldata proof
    ) external;

    /// @notice As `claim`, by the account's signature (EOA or EIP-1271), sent by anyone, who keeps
    /// `fee` wei of it.
    /// @dev Requirements: the nonce is the account's next one, the deadline has not passed, the fee
    /// is at most the signed maximum and the claimed amount.
    function claimBySignature(
        SignedClaim calldata signed,
        uint256 index,
        bytes32[] calldata proof,
        bytes calldata signature,
        uint256 fee
    ) external;

    /// @notice Number of the newest epoch that is not disabled.
    function lastEpoch() external view returns (uint64);

    /// @notice Number of the newest epoch that can be claimed against; zero when there is none.
    function latestActive() external view returns (uint64);

    /// @notice An epoch's record; zeros when its status is `None`.
    function epochs(uint64 epoch) external view returns (Epoch memory);

    function statusOf(uint64 epoch) external view returns (Status);

    /// @notice Unix time at which an epoch was submitted; zero when its status is `None`.
    function submittedAt(uint64 epoch) external view returns (uint256);

    /// @notice The receipts of a pending epoch; reverts when it is not pending.
    function pendingReceipts(uint64 epoch) external view returns (bytes32 root, uint32 count);

    /// @notice Wei that a submitter must have at stake to submit an epoch of this total: the
    /// governed minimum, or `settlement.bondRatio` parts per million of all that is pending then.
    function requiredBond(uint256 total) external view returns (uint256);

    /// @notice The next signed claim of an account has this nonce.
    function nonces(address account) external view returns (uint256);

    function STAKING() external view returns (address);

    function RECEIPT_CHALLENGES() external view returns (address);

    function EPOCH_CHALLENGES() external view returns (address);

    function TREASURY() external view returns (address);

    /// @notice Wei an account has claimed in all.
    function claimed(address account) external view returns (uint256);

    /// @notice Wei that all accounts have claimed in all.
    function claimedTotal() external view returns (uint96);
}
