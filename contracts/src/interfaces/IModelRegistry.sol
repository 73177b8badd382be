// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRegistry} from "./IRegistry.sol";

/// @title Base models and adapters, by the hash of their content
/// @notice What is served must be what stands here: a digest is registered once, for ever; only its
/// price and its withdrawal change.
interface IModelRegistry is IRegistry {
    /// @param manifestHash Hash of the list of files.
    /// @param owner Is paid the model's part of each fee.
    /// @param registeredAt Block number.
    /// @param revoked Whether it must no longer be served.
    /// @param pricePerToken Wei per token, prompt and completion alike.
    struct Base {
        bytes32 manifestHash;
        address owner;
        uint64 registeredAt;
        bool revoked;
        uint128 pricePerToken;
    }

    /// @param base Digest of the base model it belongs to.
    /// @param indexRoot Merkle root of its influence index (`Leaf.indexRow`).
    /// @param manifestHash Hash of the list of files.
    /// @param owner Is paid the model's part of each fee.
    /// @param registeredAt Block number.
    /// @param revoked Whether it must no longer be served.
    /// @param pricePerToken Wei per token, prompt and completion alike.
    /// @param datanetRoots Roots of the Datanet versions it was trained on.
    struct Adapter {
        bytes32 base;
        bytes32 indexRoot;
        bytes32 manifestHash;
        address owner;
        uint64 registeredAt;
        bool revoked;
        uint128 pricePerToken;
        bytes32[] datanetRoots;
    }

    /// @param digest Identity of the adapter: hash over the hashes of its files.
    struct AdapterRegistration {
        bytes32 digest;
        bytes32 base;
        bytes32 indexRoot;
        bytes32 manifestHash;
        address owner;
        uint128 pricePerToken;
        bytes32[] datanetRoots;
    }

    /// @param amount Wei that the owner has at stake for a model.
    /// @param unstakeAt Unix time from which it can be taken back; zero without such a request.
    struct Stake {
        uint96 amount;
        uint40 unstakeAt;
    }

    event BaseRegistered(
        bytes32 indexed digest, address indexed owner, uint128 pricePerToken, bytes32 manifestHash
    );
    event AdapterRegistered(
        bytes32 indexed digest,
        bytes32 indexed base,
        address indexed owner,
        bytes32 indexRoot,
        bytes32 manifestHash,
        uint128 pricePerToken,
        bytes32[] datanetRoots
    );
    event PriceSet(bytes32 indexed digest, uint128 previous, uint128 pricePerToken);
    event Revoked(bytes32 indexed digest, address indexed by);
    event Staked(bytes32 indexed digest, address indexed from, uint256 amount, uint256 total);
    event UnstakeRequested(bytes32 indexed digest, uint256 unstakeAt);
    event Unstaked(bytes32 indexed digest, address indexed to, uint256 amount);
    event StakeSlashed(bytes32 indexed digest, uint256 amount, bytes32 reason);

    error ModelExists(bytes32 digest);
    error UnknownModel(bytes32 digest);
    error ModelRevoked(bytes32 digest);
    error DuplicateRoot(bytes32 root);
    error RootCount(uint256 count, uint256 max);
    error Unchanged(bytes32 digest, uint128 pricePerToken);
    error ZeroStake(bytes32 digest);
    error Unstaking(bytes32 digest, uint256 unstakeAt);
    error StakeLocked(bytes32 digest, uint256 until);
    error StakeTooLow(bytes32 digest, uint256 stake, uint256 amount);

    /// @notice Registers a base model.
    /// @dev Requirements: caller is `owner` or the operator; value is `fee.model`; the digest is
    /// new.
    function registerBase(
        bytes32 digest,
        address owner,
        uint128 pricePerToken,
        bytes32 manifestHash
    ) external payable;

    /// @notice Registers an adapter.
    /// @dev Requirements: caller is the owner or the operator; value is `fee.model`; the digest is
    /// new; the base is registered and not revoked; there are 1 to `MAX_ROOTS` Datanet roots, each
    /// a published version, none twice.
    function registerAdapter(AdapterRegistration calldata registration) external payable;

    /// @notice Forbids further serving of a base model or adapter, for ever; by owner or
    /// governance.
    function revoke(bytes32 digest) external;

    /// @notice Changes the price of a base model or adapter, by its owner.
    function setPrice(bytes32 digest, uint128 pricePerToken) external;

    /// @notice Adds the sent wei to what its owner has at stake for a model; anyone may pay. A
    /// model that is revoked, or whose stake is being taken back, takes none.
    function stake(bytes32 digest) external payable;

    /// @notice Asks to take the whole stake back, by the model's owner. It stays slashable for two
    /// settlement windows: longer than any epoch that the model served can be challenged.
    function requestUnstake(bytes32 digest) external;

    /// @notice Sends the stake to `to` when its time has come, by the model's owner.
    function unstake(bytes32 digest, address to) external;

    /// @notice Takes a part of the stake, by governance; it joins the collected fees.
    /// @param reason Hash of the reasons, which are published off chain.
    function slashStake(bytes32 digest, uint256 amount, bytes32 reason) external;

    function stakeOf(bytes32 digest) external view returns (Stake memory);

    /// @notice A base model; reverts when unknown.
    function baseOf(bytes32 digest) external view returns (Base memory);

    /// @notice An adapter; reverts when unknown.
    function adapterOf(bytes32 digest) external view returns (Adapter memory);
}
