// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRegistry} from "./IRegistry.sol";

/// @title Datanets, their contribution batches and their versions
/// @notice Content stays off chain under its hashes; here stands who gave what when, and what a
/// version consists of.
interface IDatanetRegistry is IRegistry {
    /// @notice Who may contribute: everybody, or whom the owner admits.
    enum Access {
        Open,
        Gated
    }

    /// @notice Anchored: as it came. Disputed: a panel judges it, its bond waits. Released: its
    /// bond went back. Rejected: found at fault; no version should contain it.
    enum BatchState {
        Anchored,
        Disputed,
        Released,
        Rejected
    }

    /// @param owner May publish versions, set the terms and admit contributors.
    /// @param versions Number of the newest version; they count 1, 2, 3.
    /// @param createdAt Unix time.
    /// @param access Who may contribute.
    /// @param licence keccak256 of the SPDX expression under which its versions are published.
    /// @param metadataHash Hash of name, description, licence and schema.
    struct Datanet {
        address owner;
        uint32 versions;
        uint40 createdAt;
        Access access;
        bytes32 licence;
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
    /// @param state What became of it.
    struct Batch {
        bytes32 root;
        bytes32 datanet;
        bytes32 pipelineHash;
        address contributor;
        uint40 anchoredAt;
        uint24 window;
        uint32 count;
        address payer;
        uint88 bond;
        BatchState state;
    }

    /// @param datanet Datanet the version belongs to.
    /// @param manifestHash Hash of the manifest: shards, batches, presence table.
    /// @param version 1, 2, 3.
    /// @param records Records in the version.
    /// @param publishedAt Unix time.
    /// @param revoked Whether no further model may be trained on it.
    /// @param licence Licence of the Datanet when the version was published: what whoever trained
    /// on it could rely on.
    struct Version {
        bytes32 datanet;
        bytes32 manifestHash;
        uint32 version;
        uint32 records;
        uint40 publishedAt;
        bool revoked;
        bytes32 licence;
    }

    /// @notice A record of a rejected batch, with its proof in the set tree `Batch.root`.
    struct RejectedRecord {
        bytes32 record;
        bytes32 cluster;
        bytes32[] proof;
    }

    event CurationSet(address indexed previous, address indexed current);
    event DatanetCreated(
        bytes32 indexed datanet,
        address indexed owner,
        bytes32 metadataHash,
        bytes32 licence,
        Access access
    );
    event TermsSet(bytes32 indexed datanet, bytes32 licence, Access access);
    event Admitted(bytes32 indexed datanet, address indexed contributor, bool admitted);
    event BatchAnchored(
        bytes32 indexed datanet,
        bytes32 indexed batchId,
        address indexed contributor,
        bytes32 root,
        uint32 count,
        bytes32 pipelineHash
    );
    event BondReleased(bytes32 indexed batchId, address indexed payer, uint256 amount);
    event BatchDisputed(bytes32 indexed batchId);
    event BatchAcquitted(bytes32 indexed batchId);
    event BatchRejected(
        bytes32 indexed batchId, address indexed contributor, uint256 severity, uint256 slashed
    );
    event PenaltyChanged(address indexed contributor, uint256 previous, uint256 penalty);
    event VersionPublished(
        bytes32 indexed datanet,
        uint32 indexed version,
        bytes32 indexed root,
        bytes32 manifestHash,
        uint32 records
    );
    event VersionRevoked(bytes32 indexed root, address indexed by);
    /// @param batchId The rejected batch that they came in; zero when their contributor withdrew
    /// them.
    event RecordsRevoked(address indexed contributor, bytes32 indexed batchId, bytes32[] records);

    error DatanetExists(bytes32 datanet);
    error UnknownDatanet(bytes32 datanet);
    error BatchExists(bytes32 batchId);
    error UnknownBatch(bytes32 batchId);
    error BondLocked(bytes32 batchId, uint256 until);
    error WrongState(bytes32 batchId, BatchState state);
    error WindowOver(bytes32 batchId, uint256 until);
    error NotCuration(address caller);
    error NotAdmitted(bytes32 datanet, address contributor);
    error VersionIsRevoked(bytes32 root);
    error VersionOutOfOrder(uint32 given, uint32 expected);
    error RootPublished(bytes32 root, bytes32 datanet, uint32 version);
    error UnknownVersion(bytes32 root);
    error NotSignedBy(address contributor);
    error NotInBatch(bytes32 batchId, bytes32 record);

    /// @notice Registers a Datanet.
    /// @dev Requirements: caller is `owner` or the operator; value is `fee.datanet`; the id is new.
    /// @param datanet keccak256 of the Datanet's id (`dn_...`).
    function createDatanet(
        bytes32 datanet,
        address owner,
        bytes32 metadataHash,
        bytes32 licence,
        Access access
    ) external payable;

    /// @notice Changes licence and access for what comes; versions keep the licence they were
    /// published under. By owner or operator.
    function setTerms(bytes32 datanet, bytes32 licence, Access access) external;

    /// @notice Admits a contributor to a gated Datanet, or no longer. By owner or operator.
    function admit(bytes32 datanet, address contributor, bool admitted) external;

    /// @notice Anchors the accepted records of a contribution and locks its bond.
    /// @dev Requirements: caller is `contributor` or the operator; value is `bond.contribution`;
    /// the Datanet exists and is open or has admitted the contributor; the batch id is new; root
    /// and count are not zero.
    function anchorBatch(
        bytes32 datanet,
        bytes32 batchId,
        bytes32 root,
        uint32 count,
        address contributor,
        bytes32 pipelineHash
    ) external payable;

    /// @notice Returns a batch's bond to who paid it, after the batch's window, unless it is
    /// disputed; anyone may call. A batch that comes through lowers its contributor's penalty.
    function releaseBond(bytes32 batchId) external;

    /// @notice Names the contract that disputes batches, by governance.
    function setCuration(address curation) external;

    /// @notice Holds the bond of a batch while a panel judges it; by the curation contract, within
    /// the batch's window.
    function dispute(bytes32 batchId) external;

    /// @notice Lets a disputed batch be again as it came, with a whole window from now on; by the
    /// curation contract.
    function acquit(bytes32 batchId) external;

    /// @notice Rejects a batch: the curation contract, its only caller, receives `severity` parts
    /// per million of the bond, who paid it the rest, and the contributor's penalty rises. A batch
    /// whose bond is released is rejected all the same.
    /// @return slashed Wei sent to the caller.
    function reject(bytes32 batchId, uint256 severity) external returns (uint256 slashed);

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

    /// @notice Forbids training on a version from now on; by the Datanet's owner or governance.
    /// Models that were trained on it stay as they are.
    function revokeVersion(bytes32 root) external;

    /// @notice Takes records back for good, in whatever Datanet they are: from now on nobody has to
    /// pay them (`IReceiptChallenges.challengeOmission`). Anyone may call; records that are revoked
    /// already stay as they are, so that the same withdrawal may be sent again.
    /// @param signature Of the EIP-712 type `Withdrawal(bytes32[] records)` by the contributor.
    function withdraw(address contributor, bytes32[] calldata records, bytes calldata signature)
        external;

    /// @notice Revokes records of a batch that was rejected, as its contributor's; anyone may call.
    function penalize(bytes32 batchId, RejectedRecord[] calldata records) external;

    /// @notice Unix time at which a contributor's record was revoked; zero when it was not.
    function revokedAt(address contributor, bytes32 record) external view returns (uint256);

    /// @notice A Datanet; reverts when unknown.
    function datanetOf(bytes32 datanet) external view returns (Datanet memory);

    /// @notice A batch; reverts when unknown.
    function batchOf(bytes32 batchId) external view returns (Batch memory);

    /// @notice The version with this root; reverts when none was published.
    function versionOf(bytes32 root) external view returns (Version memory);

    function curation() external view returns (address);

    function isAdmitted(bytes32 datanet, address contributor) external view returns (bool);

    /// @notice Penalty score of a contributor, in parts per million (`Penalty.next`): what the
    /// past of their batches was like, for people to look at. Nothing is computed from it.
    function penaltyOf(address contributor) external view returns (uint256);
}
