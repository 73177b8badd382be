// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Registry} from "./Registry.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {Keys} from "./libraries/Keys.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IModelRegistry.
contract ModelRegistry is IModelRegistry, Registry {
    using SafeCastLib for uint256;

    /// @dev Bounds the pairwise comparison of roots and the work of whoever pays the base pool.
    uint256 public constant MAX_ROOTS = 16;

    IDatanetRegistry public immutable DATANETS;

    /// @dev What a base model and an adapter have in common.
    struct Terms {
        bytes32 manifestHash;
        address owner;
        uint64 registeredAt;
        bool revoked;
        uint128 pricePerToken;
    }

    /// @dev What only an adapter has; `base` is zero for base models.
    struct Lineage {
        bytes32 base;
        bytes32 indexRoot;
        bytes32[] datanetRoots;
    }

    mapping(bytes32 digest => Terms) private _terms;
    mapping(bytes32 digest => Lineage) private _lineages;
    mapping(bytes32 digest => Stake) private _stakes;

    constructor(IParameters parameters, IDatanetRegistry datanets) Registry(parameters) {
        DATANETS = datanets;
    }

    /// @inheritdoc IModelRegistry
    function registerBase(
        bytes32 digest,
        address owner,
        uint128 pricePerToken,
        bytes32 manifestHash
    ) external payable {
        _register(digest, owner, pricePerToken, manifestHash);
        emit BaseRegistered(digest, owner, pricePerToken, manifestHash);
    }

    /// @inheritdoc IModelRegistry
    function registerAdapter(AdapterRegistration calldata registration) external payable {
        bytes32 digest = registration.digest;
        _requireNonZero(registration.indexRoot);
        _requireServable(registration.base);
        if (_lineages[registration.base].base != 0) revert UnknownModel(registration.base);
        _requirePublished(registration.datanetRoots);
        _register(digest, registration.owner, registration.pricePerToken, registration.manifestHash);
        _lineages[digest] = Lineage({
            base: registration.base,
            indexRoot: registration.indexRoot,
            datanetRoots: registration.datanetRoots
        });
        emit AdapterRegistered(
            digest,
            registration.base,
            registration.owner,
            registration.indexRoot,
            registration.manifestHash,
            registration.pricePerToken,
            registration.datanetRoots
        );
    }

    /// @inheritdoc IModelRegistry
    function revoke(bytes32 digest) external {
        Terms storage terms = _requireServable(digest);
        if (msg.sender != terms.owner && msg.sender != PARAMETERS.governance()) {
            revert NotAuthorized(msg.sender, terms.owner);
        }
        terms.revoked = true;
        emit Revoked(digest, msg.sender);
    }

    /// @inheritdoc IModelRegistry
    function setPrice(bytes32 digest, uint128 pricePerToken) external {
        Terms storage terms = _requireServable(digest);
        if (msg.sender != terms.owner) revert NotAuthorized(msg.sender, terms.owner);
        uint128 previous = terms.pricePerToken;
        if (previous == pricePerToken) revert Unchanged(digest, pricePerToken);
        terms.pricePerToken = pricePerToken;
        emit PriceSet(digest, previous, pricePerToken);
    }

    /// @inheritdoc IModelRegistry
    function stake(bytes32 digest) external payable {
        _requireServable(digest);
        if (msg.value == 0) revert ZeroStake(digest);
        Stake storage staked = _stakes[digest];
        if (staked.unstakeAt != 0) revert Unstaking(digest, staked.unstakeAt);
        staked.amount = (staked.amount + msg.value).toUint96();
        emit Staked(digest, msg.sender, msg.value, staked.amount);
    }

    /// @inheritdoc IModelRegistry
    function requestUnstake(bytes32 digest) external {
        Stake storage staked = _ownStake(digest);
        if (staked.unstakeAt != 0) revert Unstaking(digest, staked.unstakeAt);
        uint256 unstakeAt = block.timestamp + 2 * PARAMETERS.get(Keys.SETTLEMENT_WINDOW);
        staked.unstakeAt = unstakeAt.toUint40();
        emit UnstakeRequested(digest, unstakeAt);
    }

    /// @inheritdoc IModelRegistry
    function unstake(bytes32 digest, address to) external {
        _requireNonZero(to);
        Stake storage staked = _ownStake(digest);
        (uint256 amount, uint256 unstakeAt) = (staked.amount, staked.unstakeAt);
        if (unstakeAt == 0 || block.timestamp < unstakeAt) revert StakeLocked(digest, unstakeAt);
        delete _stakes[digest];
        emit Unstaked(digest, to, amount);
        SafeTransferLib.safeTransferETH(to, amount);
    }

    /// @inheritdoc IModelRegistry
    function slashStake(bytes32 digest, uint256 amount, bytes32 reason) external onlyGovernance {
        Stake storage staked = _stakes[digest];
        if (amount > staked.amount) revert StakeTooLow(digest, staked.amount, amount);
        staked.amount = (staked.amount - amount).toUint96();
        fees += amount;
        emit StakeSlashed(digest, amount, reason);
    }

    /// @inheritdoc IModelRegistry
    function stakeOf(bytes32 digest) external view returns (Stake memory) {
        return _stakes[digest];
    }

    /// @inheritdoc IModelRegistry
    function baseOf(bytes32 digest) external view returns (Base memory) {
        Terms memory terms = _terms[digest];
        if (terms.owner == address(0) || _lineages[digest].base != 0) revert UnknownModel(digest);
        return Base({
            manifestHash: terms.manifestHash,
            owner: terms.owner,
            registeredAt: terms.registeredAt,
            revoked: terms.revoked,
            pricePerToken: terms.pricePerToken
        });
    }

    /// @inheritdoc IModelRegistry
    function adapterOf(bytes32 digest) external view returns (Adapter memory) {
        Terms memory terms = _terms[digest];
        Lineage memory lineage = _lineages[digest];
        if (lineage.base == 0) revert UnknownModel(digest);
        return Adapter({
            base: lineage.base,
            indexRoot: lineage.indexRoot,
            manifestHash: terms.manifestHash,
            owner: terms.owner,
            registeredAt: terms.registeredAt,
            revoked: terms.revoked,
            pricePerToken: terms.pricePerToken,
            datanetRoots: lineage.datanetRoots
        });
    }

    function _register(bytes32 digest, address owner, uint128 pricePerToken, bytes32 manifestHash)
        private
    {
        _requireNonZero(digest);
        _requireNonZero(owner);
        _requireOwnerOrOperator(owner);
        if (_terms[digest].owner != address(0)) revert ModelExists(digest);
        _takeFee(Keys.MODEL_FEE);
        _terms[digest] = Terms({
            manifestHash: manifestHash,
            owner: owner,
            registeredAt: uint64(block.number),
            revoked: false,
            pricePerToken: pricePerToken
        });
    }

    function _ownStake(bytes32 digest) private view returns (Stake storage staked) {
        address owner = _terms[digest].owner;
        if (msg.sender != owner) revert NotAuthorized(msg.sender, owner);
        staked = _stakes[digest];
        if (staked.amount == 0) revert ZeroStake(digest);
    }

    function _requireServable(bytes32 digest) private view returns (Terms storage terms) {
        terms = _terms[digest];
        if (terms.owner == address(0)) revert UnknownModel(digest);
        if (terms.revoked) revert ModelRevoked(digest);
    }

    function _requirePublished(bytes32[] calldata roots) private view {
        uint256 count = roots.length;
        if (count == 0 || count > MAX_ROOTS) revert RootCount(count, MAX_ROOTS);
        for (uint256 i = 0; i < count; ++i) {
            // Reverts when unknown.
            if (DATANETS.versionOf(roots[i]).revoked) {
                revert IDatanetRegistry.VersionIsRevoked(roots[i]);
            }
            for (uint256 j = 0; j < i; ++j) {
                if (roots[i] == roots[j]) revert DuplicateRoot(roots[i]);
            }
        }
    }
}
