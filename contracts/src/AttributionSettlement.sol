// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./Governed.sol";
import {Submitters} from "./Submitters.sol";
import {IAttributionSettlement} from "./interfaces/IAttributionSettlement.sol";
import {Draw, IInferenceVault} from "./interfaces/IInferenceVault.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IValidatorStaking} from "./interfaces/IValidatorStaking.sol";
import {Keys} from "./libraries/Keys.sol";
import {Leaf} from "./libraries/Leaf.sol";
import {OrderedTree} from "./libraries/OrderedTree.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {SignatureCheckerLib} from "solady/utils/SignatureCheckerLib.sol";

/// @notice Implements IAttributionSettlement.
/// @dev Its EIP-712 domain is the one receipts are signed in (protocol/receipt.ts).
contract AttributionSettlement is IAttributionSettlement, Submitters, EIP712 {
    using SafeCastLib for uint256;

    /// @notice Draws of one epoch: as many as can surely also be refunded in one transaction.
    uint256 public constant MAX_DRAWS = 1_000;
    /// @notice Seconds for which replaced parameters still settle. Receipts made just before a
    /// change must be paid; after the data-availability layer has dropped an epoch nobody could
    /// check it.
    uint256 public constant PARAMS_GRACE = 14 days;

    /// @dev keccak256 of the EIP-712 type of a claim that is paid for by somebody else.
    bytes32 private constant CLAIM = keccak256(
        "Claim(address account,address to,uint256 cumulative,uint64 epoch,uint256 maxFee,uint256 nonce,uint256 deadline)"
    );
    /// @dev Parts per million of a whole.
    uint256 private constant WHOLE = 1_000_000;

    IInferenceVault public immutable VAULT;
    /// @inheritdoc IAttributionSettlement
    address public immutable STAKING;
    /// @inheritdoc IAttributionSettlement
    address public immutable RECEIPT_CHALLENGES;
    /// @inheritdoc IAttributionSettlement
    address public immutable EPOCH_CHALLENGES;
    /// @inheritdoc IAttributionSettlement
    address public immutable TREASURY;

    // One slot: all that every claim reads or writes besides its epoch and its account.
    /// @inheritdoc IAttributionSettlement
    uint64 public lastEpoch;
    /// @dev Wei of all epochs up to the newest that was claimed against. Bounds what a wrong root
    /// can take: a root's sum is not known on chain, its epoch's total is.
    uint96 private _claimable;
    /// @inheritdoc IAttributionSettlement
    uint96 public claimedTotal;
    /// @inheritdoc IAttributionSettlement
    mapping(address account => uint256 wei_) public claimed;
    /// @inheritdoc IAttributionSettlement
    mapping(address account => uint256) public nonces;
    mapping(uint64 number => Epoch) private _epochs;
    /// @dev An epoch that is active, found by the last submission: where the next one looks on.
    uint64 private _knownActive;

    constructor(IParameters parameters, IInferenceVault vault, Links memory links)
        Governed(parameters)
    {
        VAULT = vault;
        STAKING = links.staking;
        RECEIPT_CHALLENGES = links.receiptChallenges;
        EPOCH_CHALLENGES = links.epochChallenges;
        TREASURY = links.treasury;
    }

    /// @notice Takes draws from the vault, and wei from nobody else.
    receive() external payable {
        if (msg.sender != address(VAULT)) revert NotVault(msg.sender);
    }

    /* ------------------------------------ epochs ------------------------------------ */

    /// @inheritdoc IAttributionSettlement
    function submitEpoch(Submission calldata submission, Draw[] calldata draws) external {
        uint64 number = submission.epoch;
        uint64 last = lastEpoch;
        if (number != last + 1) revert EpochOutOfOrder(number, last + 1);
        if (_epochs[number].activeAt != 0) revert EpochNotRefunded(number);
        if (submission.receiptsRoot == 0) revert ZeroReceiptsRoot();
        if (draws.length > MAX_DRAWS) revert TooManyDraws(draws.length, MAX_DRAWS);
        _requireUsable(submission.paramsHash);

        _knownActive = _newestActive();
        _requireBonded(msg.sender, requiredBond(submission.total));
        _announce(submission, _record(submission, draws));

        uint256 drawn = VAULT.draw(number, draws);
        if (drawn != submission.total) revert TotalMismatch(submission.total, drawn);
    }

    /// @inheritdoc IAttributionSettlement
    function disable(uint64 epoch) external {
        if (msg.sender != STAKING && !_isChallenges(msg.sender)) {
            address governance = PARAMETERS.governance();
            if (msg.sender != governance) revert NotTrusted(msg.sender);
        }
        _disable(epoch);
    }

    /// @inheritdoc IAttributionSettlement
    function fault(uint64 epoch, address challenger) external {
        if (!_isChallenges(msg.sender)) revert NotTrusted(msg.sender);
        address submitter = _epochs[epoch].submitter;
        _disable(epoch);
        IValidatorStaking(STAKING).epochFaulted(epoch, _epochs[epoch].dataHash);
        uint256 slashed = _takeBond(submitter);
        uint256 reward = slashed / 2;
        owed[challenger] += reward;
        owed[TREASURY] += slashed - reward;
        emit SubmitterSlashed(epoch, submitter, challenger, slashed, reward);
    }

    /// @inheritdoc IAttributionSettlement
    function refund(uint64 epoch, Draw[] calldata draws) external {
        if (statusOf(epoch) != Status.Disabled) revert EpochNotDisabled(epoch);
        bytes32 expected = _epochs[epoch].drawsHash;
        bytes32 given = keccak256(abi.encode(draws));
        if (given != expected) revert DrawsMismatch(given, expected);
        uint256 total = _epochs[epoch].total;
        delete _epochs[epoch];
        emit EpochRefunded(epoch, total);
        VAULT.restore{value: total}(epoch, draws);
    }

    /* ------------------------------------ claims ------------------------------------ */

    /// @inheritdoc IAttributionSettlement
    function claim(
        address account,
        uint256 cumulative,
        uint64 epoch,
        uint256 index,
        bytes32[] calldata proof
    ) external {
        SafeTransferLib.safeTransferETH(
            account, _claim(account, account, cumulative, epoch, index, proof)
        );
    }

    /// @inheritdoc IAttributionSettlement
    function claimTo(
        address to,
        uint256 cumulative,
        uint64 epoch,
        uint256 index,
        bytes32[] calldata proof
    ) external {
        if (to == address(0)) revert ZeroAddress();
        SafeTransferLib.safeTransferETH(to, _claim(msg.sender, to, cumulative, epoch, index, proof));
    }

    /// @inheritdoc IAttributionSettlement
    function claimBySignature(
        SignedClaim calldata signed,
        uint256 index,
        bytes32[] calldata proof,
        bytes calldata signature,
        uint256 fee
    ) external {
        if (signed.to == address(0)) revert ZeroAddress();
        if (block.timestamp > signed.deadline) revert SignatureExpired(signed.deadline);
        if (fee > signed.maxFee) revert FeeTooHigh(fee, signed.maxFee);
        _requireSignature(signed, signature);
        uint256 amount =
            _claim(signed.account, signed.to, signed.cumulative, signed.epoch, index, proof);
        if (fee > amount) revert FeeTooHigh(fee, amount);
        SafeTransferLib.safeTransferETH(signed.to, amount - fee);
        if (fee > 0) SafeTransferLib.safeTransferETH(msg.sender, fee);
    }

    /* ------------------------------------- views ------------------------------------ */

    /// @inheritdoc IAttributionSettlement
    function latestActive() external view returns (uint64) {
        // Binary search: `activeAt` never falls from one epoch to the next.
        uint64 low = 0;
        uint64 high = lastEpoch;
        while (low < high) {
            uint64 middle = high - (high - low) / 2;
            if (_epochs[middle].activeAt <= block.timestamp) low = middle;
            else high = middle - 1;
        }
        return low;
    }

    /// @inheritdoc IAttributionSettlement
    function epochs(uint64 epoch) external view returns (Epoch memory) {
        return _epochs[epoch];
    }

    /// @inheritdoc IAttributionSettlement
    function submittedAt(uint64 epoch) external view returns (uint256) {
        Epoch storage record = _epochs[epoch];
        return record.activeAt - record.window;
    }

    /// @inheritdoc IAttributionSettlement
    function pendingReceipts(uint64 epoch) external view returns (bytes32 root, uint32 count) {
        if (statusOf(epoch) != Status.Pending) revert EpochNotPending(epoch);
        Epoch storage record = _epochs[epoch];
        return (record.receiptsRoot, record.receipts);
    }

    /// @inheritdoc IAttributionSettlement
    function requiredBond(uint256 total) public view returns (uint256 required) {
        required = PARAMETERS.get(Keys.SETTLEMENT_BOND);
        uint256 pending =
            _epochs[lastEpoch].cumulativeTotal + total - _epochs[_newestActive()].cumulativeTotal;
        uint256 scaled = pending * PARAMETERS.get(Keys.SETTLEMENT_BOND_RATIO) / WHOLE;
        if (scaled > required) required = scaled;
    }

    /// @inheritdoc IAttributionSettlement
    function statusOf(uint64 epoch) public view returns (Status) {
        uint256 activeAt = _epochs[epoch].activeAt;
        if (activeAt == 0) return Status.None;
        if (epoch > lastEpoch) return Status.Disabled;
        return block.timestamp < activeAt ? Status.Pending : Status.Active;
    }

    /* ----------------------------------- internals ---------------------------------- */

    /// @dev Epochs become active in order, so every later one is pending too. They stay in place,
    /// past `lastEpoch`, until they are refunded.
    function _disable(uint64 epoch) private {
        if (statusOf(epoch) != Status.Pending) revert EpochNotPending(epoch);
        emit EpochsDisabled(epoch, lastEpoch);
        lastEpoch = epoch - 1;
    }

    /// @dev Looks on from where the last submission found an active epoch: what is active stays
    /// so, and each epoch is passed once.
    function _newestActive() private view returns (uint64 epoch) {
        epoch = _knownActive;
        uint64 last = lastEpoch;
        while (epoch < last && _epochs[epoch + 1].activeAt <= block.timestamp) ++epoch;
    }

    function _isChallenges(address caller) private view returns (bool) {
        return caller == RECEIPT_CHALLENGES || caller == EPOCH_CHALLENGES;
    }

    function _record(Submission calldata submission, Draw[] calldata draws)
        private
        returns (uint40 activeAt)
    {
        // Never before an earlier epoch, even when the window has shrunk: what is active stays
        // active.
        Epoch storage previous = _epochs[submission.epoch - 1];
        activeAt = (block.timestamp + PARAMETERS.get(Keys.SETTLEMENT_WINDOW)).toUint40();
        if (activeAt < previous.activeAt) activeAt = previous.activeAt;

        lastEpoch = submission.epoch;
        _epochs[submission.epoch] = Epoch({
            receiptsRoot: submission.receiptsRoot,
            creditsRoot: submission.creditsRoot,
            payoutsRoot: submission.payoutsRoot,
            dataHash: submission.dataHash,
            paramsHash: submission.paramsHash,
            drawsHash: keccak256(abi.encode(draws)),
            submitter: msg.sender,
            total: submission.total.toUint96(),
            cumulativeTotal: (previous.cumulativeTotal + submission.total).toUint96(),
            activeAt: activeAt,
            window: (activeAt - block.timestamp).toUint24(),
            receipts: submission.receipts,
            credits: submission.credits,
            payouts: submission.payouts
        });
        _holdBond(msg.sender, activeAt);
    }

    function _announce(Submission calldata submission, uint40 activeAt) private {
        emit EpochSubmitted(
            submission.epoch,
            msg.sender,
            submission.receiptsRoot,
            submission.creditsRoot,
            submission.payoutsRoot,
            submission.total,
            submission.dataHash,
            submission.commitment,
            submission.paramsHash,
            activeAt
        );
    }

    function _claim(
        address account,
        address to,
        uint256 cumulative,
        uint64 epoch,
        uint256 index,
        bytes32[] calldata proof
    ) private returns (uint256 amount) {
        if (statusOf(epoch) != Status.Active) revert EpochNotActive(epoch);
        Epoch storage record = _epochs[epoch];
        bytes32 leaf = Leaf.payout(account, cumulative);
        if (!OrderedTree.verify(proof, record.payoutsRoot, leaf, index, record.payouts)) {
            revert InvalidProof(account, cumulative, epoch);
        }
        uint256 before = claimed[account];
        if (cumulative <= before) revert NothingToClaim(account, cumulative, before);
        amount = cumulative - before;

        uint96 claimable = _claimable;
        uint96 paid = claimedTotal;
        if (record.cumulativeTotal > claimable) claimable = record.cumulativeTotal;
        if (amount > claimable - paid) revert ExceedsTotal(amount, claimable - paid);

        claimed[account] = cumulative;
        _claimable = claimable;
        claimedTotal = paid + amount.toUint96();
        emit Claimed(account, to, epoch, amount);
    }

    function _requireSignature(SignedClaim calldata signed, bytes calldata signature) private {
        bytes32 digest = _hashTypedData(
            keccak256(
                abi.encode(
                    CLAIM,
                    signed.account,
                    signed.to,
                    signed.cumulative,
                    signed.epoch,
                    signed.maxFee,
                    nonces[signed.account]++,
                    signed.deadline
                )
            )
        );
        if (!SignatureCheckerLib.isValidSignatureNowCalldata(signed.account, digest, signature)) {
            revert InvalidSignature(signed.account);
        }
    }

    function _requireUsable(bytes32 paramsHash) private view {
        uint256 until = PARAMETERS.inForceUntil(paramsHash);
        if (block.timestamp > until + PARAMS_GRACE) revert ParamsNotUsable(paramsHash, until);
    }

    function _domainNameAndVersion()
        internal
        pure
        override
        returns (string memory name, string memory version)
    {
        return ("OpenLedger", "1");
    }
}
