// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRegistry} from "./IRegistry.sol";

/// @title Datanets, their contribution batches and their versions
/// @notice Content stays off chain under its hashes; here stands who gave what when, and what a
/// version consists of.
interface IDatanetRegistry is IRegistry {
    /// @param owner May publish versions.
    /// @param versions Number of the newest version; they count 1, 2, 3.
    /// @param createdAt Unix time.
    /// @param metadataHash Hash of name, description, licence and schema.
    struct Datanet {
        address owner;
        uint32 versions;
        uint40 createdAt;
        bytes32 metadataHash;
    }

    /// @param root Merkle root over the accepted records (`Leaf.record`).
    /// @param datanet Datanet the records were given to.
    /// @param pipelineHash Hash of the code and settings that judged the records.
    /// @param contributor Who gave the records and is paid for them.
    /// @param anchoredAt Unix time: the evidence of who was first.
    /// @param window Seconds after `anchoredAt` for which the bond stays locked.
    /// @param count Records in the batch.
    /// @param payer Who locked the bond and gets it back.
    /// @param bond Wei still locked.
    struct Batch {
        bytes32 root;
        bytes32 datanet;
        bytes32 pipelineHash;
        address contributor;
        uint40 anchoredAt;
        uint24 window;
        uint32 count;
        address payer;
        uint96 bond;
    }

    /// @param datanet Datanet the version belongs to.
    /// @param manifestHash Hash of the manifest: shards, batches, presence table.
    /// @param version 1, 2, 3.
    /// @param records Records in the version.
    /// @param publishedAt Unix time.
    struct Version {
        bytes32 datanet;
        bytes32 manifestHash;
        uint32 version;
        uint32 records;
        uint40 publishedAt;
    }

    event DatanetCreated(bytes32 indexed datanet, address indexed owner, bytes32 metadataHash);
    event BatchAnchored(
        bytes32 indexed datanet,
        bytes32 indexed batchId,
        address indexed contributor,
        bytes32 root,
        uint32 count,
        bytes32 pipelineHash
    );
    event BondReleased(bytes32 indexed batchId, address indexed payer, uint256 amount);
    event VersionPublished(
        bytes32 indexed datanet,
        uint32 indexed version,
        bytes32 indexed root,
        bytes32 manifestHash,
        uint32 records
    );

    error DatanetExists(bytes32 datanet);
    error UnknownDatanet(bytes32 datanet);
    error BatchExists(bytes32 batchId);
    error UnknownBatch(bytes32 batchId);
    error BondLocked(bytes32 batchId, uint256 until);
    error NoBond(bytes32 batchId);
    error VersionOutOfOrder(uint32 given, uint32 expected);
    error RootPublished(bytes32 root, bytes32 datanet, uint32 version);
    error UnknownVersion(bytes32 root);

    /// @notice Registers a Datanet.
    /// @dev Requirements: caller is `owner` or the operator; value is `fee.datanet`; the id is new.
    /// @param datanet keccak256 of the Datanet's id (`dn_...`).
    function createDatanet(bytes32 datanet, address owner, bytes32 metadataHash) external payable;

    /// @notice Anchors the accepted records of a contribution and locks its bond.
    /// @dev Requirements: caller is `contributor` or the operator; value is `bond.contribution`;
    /// the Datanet exists; the batch id is new; root and count are not zero.
    function anchorBatch(
        bytes32 datanet,
        bytes32 batchId,
        bytes32 root,
        uint32 count,
        address contributor,
        bytes32 pipelineHash
    ) external payable;

    /// @notice Returns a batch's bond to who paid it, after the batch's window; anyone may call.
    function releaseBond(bytes32 batchId) external;

    /// @notice Publishes the next version of a Datanet.
    /// @dev Requirements: caller is the Datanet's owner or the operator; `version` is the newest
    /// plus one; no other version has this root.
    function publishVersion(
        bytes32 datanet,
        uint32 version,
        bytes32 root,
        bytes32 manifestHash,
        uint32 records
    ) external;

    /// @notice A Datanet; reverts when unknown.
    function datanetOf(bytes32 datanet) external view returns (Datanet memory);

    /// @notice A batch; reverts when unknown.
    function batchOf(bytes32 batchId) external view returns (Batch memory);

    /// @notice The version with this root; reverts when none was published.
    function versionOf(bytes32 root) external view returns (Version memory);
}
