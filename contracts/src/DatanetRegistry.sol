// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Registry} from "./Registry.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {Keys} from "./libraries/Keys.sol";
import {Leaf} from "./libraries/Leaf.sol";
import {Penalty} from "./libraries/Penalty.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IDatanetRegistry.
/// @dev Its EIP-712 domain is the one withdrawals are signed in (protocol/revocations.ts).
contract DatanetRegistry is IDatanetRegistry, Registry, EIP712 {
    using SafeCastLib for uint256;

    bytes32 private constant WITHDRAWAL = keccak256("Withdrawal(bytes32[] records)");

    /// @inheritdoc IDatanetRegistry
    address public curation;
    /// @inheritdoc IDatanetRegistry
    mapping(bytes32 datanet => mapping(address contributor => bool)) public isAdmitted;
    /// @inheritdoc IDatanetRegistry
    mapping(address contributor => uint256 ppm) public penaltyOf;
    /// @inheritdoc IDatanetRegistry
    mapping(address contributor => mapping(bytes32 record => uint256 time)) public revokedAt;
    mapping(bytes32 id => Datanet) private _datanets;
    mapping(bytes32 id => Batch) private _batches;
    mapping(bytes32 root => Version) private _versions;

    modifier onlyCuration() {
        _onlyCuration();
        _;
    }

    constructor(IParameters parameters) Registry(parameters) {}

    /// @inheritdoc IDatanetRegistry
    function setCuration(address current) external onlyGovernance {
        emit CurationSet(curation, current);
        curation = current;
    }

    /// @inheritdoc IDatanetRegistry
    function createDatanet(
        bytes32 datanet,
        address owner,
        bytes32 metadataHash,
        bytes32 licence,
        Access access
    ) external payable {
        _requireNonZero(owner);
        _requireOwnerOrOperator(owner);
        if (_datanets[datanet].owner != address(0)) revert DatanetExists(datanet);
        _takeFee(Keys.DATANET_FEE);
        _datanets[datanet] = Datanet({
            owner: owner,
            versions: 0,
            createdAt: uint40(block.timestamp),
            access: access,
            licence: licence,
            metadataHash: metadataHash
        });
        emit DatanetCreated(datanet, owner, metadataHash, licence, access);
    }

    /// @inheritdoc IDatanetRegistry
    function setTerms(bytes32 datanet, bytes32 licence, Access access) external {
        Datanet storage known = _known(datanet);
        _requireOwnerOrOperator(known.owner);
        known.licence = licence;
        known.access = access;
        emit TermsSet(datanet, licence, access);
    }

    /// @inheritdoc IDatanetRegistry
    function admit(bytes32 datanet, address contributor, bool admitted) external {
        _requireOwnerOrOperator(_known(datanet).owner);
        isAdmitted[datanet][contributor] = admitted;
        emit Admitted(datanet, contributor, admitted);
    }

    /// @inheritdoc IDatanetRegistry
    function anchorBatch(
        bytes32 datanet,
        bytes32 batchId,
        bytes32 root,
        uint32 count,
        address contributor,
        bytes32 pipelineHash
    ) external payable {
        _requireNonZero(contributor);
        _requireNonZero(root);
        if (count == 0) revert ZeroValue();
        _requireOwnerOrOperator(contributor);
        if (_known(datanet).access == Access.Gated && !isAdmitted[datanet][contributor]) {
            revert NotAdmitted(datanet, contributor);
        }
        if (_batches[batchId].root != 0) revert BatchExists(batchId);
        _requireValue(Keys.CONTRIBUTION_BOND);
        _batches[batchId] = Batch({
            root: root,
            datanet: datanet,
            pipelineHash: pipelineHash,
            contributor: contributor,
            anchoredAt: uint40(block.timestamp),
            window: PARAMETERS.get(Keys.SETTLEMENT_WINDOW).toUint24(),
            count: count,
            payer: msg.sender,
            bond: msg.value.toUint88(),
            state: BatchState.Anchored
        });
        emit BatchAnchored(datanet, batchId, contributor, root, count, pipelineHash);
    }

    /// @inheritdoc IDatanetRegistry
    function releaseBond(bytes32 batchId) external {
        Batch storage batch = _batch(batchId);
        if (batch.state != BatchState.Anchored) revert WrongState(batchId, batch.state);
        uint256 until = uint256(batch.anchoredAt) + batch.window;
        if (block.timestamp < until) revert BondLocked(batchId, until);
        (address payer, uint256 amount) = (batch.payer, batch.bond);
        batch.bond = 0;
        batch.state = BatchState.Released;
        _penalise(batch.contributor, 0);
        emit BondReleased(batchId, payer, amount);
        SafeTransferLib.safeTransferETH(payer, amount);
    }

    /// @inheritdoc IDatanetRegistry
    function dispute(bytes32 batchId) external onlyCuration {
        Batch storage batch = _batch(batchId);
        if (batch.state != BatchState.Anchored) revert WrongState(batchId, batch.state);
        uint256 until = uint256(batch.anchoredAt) + batch.window;
        if (block.timestamp >= until) revert WindowOver(batchId, until);
        batch.state = BatchState.Disputed;
        emit BatchDisputed(batchId);
    }

    /// @inheritdoc IDatanetRegistry
    function acquit(bytes32 batchId) external onlyCuration {
        Batch storage batch = _batch(batchId);
        if (batch.state != BatchState.Disputed) revert WrongState(batchId, batch.state);
        batch.state = BatchState.Anchored;
        // A whole window again: a friend's weak challenge must not shield a batch from a strong
        // one.
        uint256 until = block.timestamp + PARAMETERS.get(Keys.SETTLEMENT_WINDOW);
        batch.window = (until - batch.anchoredAt).toUint24();
        emit BatchAcquitted(batchId);
    }

    /// @inheritdoc IDatanetRegistry
    function reject(bytes32 batchId, uint256 severity)
        external
        onlyCuration
        returns (uint256 slashed)
    {
        Batch storage batch = _batch(batchId);
        if (batch.state == BatchState.Rejected) revert WrongState(batchId, batch.state);
        (address payer, uint256 bond) = (batch.payer, batch.bond);
        batch.bond = 0;
        batch.state = BatchState.Rejected;
        slashed = bond * severity / Penalty.PPM;
        _penalise(batch.contributor, severity);
        emit BatchRejected(batchId, batch.contributor, severity, slashed);
        SafeTransferLib.safeTransferETH(msg.sender, slashed);
        // Forced: a payer that refuses wei must not block the verdict.
        SafeTransferLib.forceSafeTransferETH(payer, bond - slashed);
    }

    /// @inheritdoc IDatanetRegistry
    function publishVersion(
        bytes32 datanet,
        uint32 version,
        bytes32 root,
        bytes32 manifestHash,
        uint32 records
    ) external {
        Datanet storage known = _known(datanet);
        _requireOwnerOrOperator(known.owner);
        _requireNonZero(root);
        if (records == 0) revert ZeroValue();
        uint32 expected = known.versions + 1;
        if (version != expected) revert VersionOutOfOrder(version, expected);
        Version storage published = _versions[root];
        if (published.version != 0) {
            revert RootPublished(root, published.datanet, published.version);
        }
        known.versions = version;
        _versions[root] = Version({
            datanet: datanet,
            manifestHash: manifestHash,
            version: version,
            records: records,
            publishedAt: uint40(block.timestamp),
            revoked: false,
            licence: known.licence
        });
        emit VersionPublished(datanet, version, root, manifestHash, records);
    }

    /// @inheritdoc IDatanetRegistry
    function revokeVersion(bytes32 root) external {
        Version storage published = _version(root);
        address owner = _datanets[published.datanet].owner;
        if (msg.sender != owner && msg.sender != PARAMETERS.governance()) {
            revert NotAuthorized(msg.sender, owner);
        }
        if (published.revoked) revert VersionIsRevoked(root);
        published.revoked = true;
        emit VersionRevoked(root, msg.sender);
    }

    /// @inheritdoc IDatanetRegistry
    function withdraw(address contributor, bytes32[] calldata records, bytes calldata signature)
        external
    {
        // One word each and nothing else: abi.encodePacked and EIP-712 agree on such lists.
        bytes32 signed = keccak256(abi.encode(WITHDRAWAL, keccak256(abi.encodePacked(records))));
        if (ECDSA.recoverCalldata(_hashTypedData(signed), signature) != contributor) {
            revert NotSignedBy(contributor);
        }
        _revoke(contributor, 0, records);
    }

    /// @inheritdoc IDatanetRegistry
    function penalize(bytes32 batchId, RejectedRecord[] calldata records) external {
        Batch storage batch = _batch(batchId);
        if (batch.state != BatchState.Rejected) revert WrongState(batchId, batch.state);
        (bytes32 root, address contributor) = (batch.root, batch.contributor);
        bytes32[] memory revoked = new bytes32[](records.length);
        for (uint256 i = 0; i < records.length; ++i) {
            RejectedRecord calldata rejected = records[i];
            revoked[i] = rejected.record;
            // Only in its contributor's name: a batch may hold what it says is somebody else's.
            bytes32 leaf = Leaf.record(rejected.record, rejected.cluster, contributor);
            if (!MerkleProofLib.verifyCalldata(rejected.proof, root, leaf)) {
                revert NotInBatch(batchId, rejected.record);
            }
        }
        _revoke(contributor, batchId, revoked);
    }

    /// @inheritdoc IDatanetRegistry
    function datanetOf(bytes32 datanet) external view returns (Datanet memory) {
        return _known(datanet);
    }

    /// @inheritdoc IDatanetRegistry
    function batchOf(bytes32 batchId) external view returns (Batch memory) {
        return _batch(batchId);
    }

    /// @inheritdoc IDatanetRegistry
    function versionOf(bytes32 root) external view returns (Version memory) {
        return _version(root);
    }

    function _penalise(address contributor, uint256 outcome) private {
        uint256 previous = penaltyOf[contributor];
        if (previous == 0 && outcome == 0) return;
        uint256 penalty = Penalty.next(previous, outcome, PARAMETERS.get(Keys.PENALTY_WEIGHT));
        penaltyOf[contributor] = penalty;
        emit PenaltyChanged(contributor, previous, penalty);
    }

    function _revoke(address contributor, bytes32 batchId, bytes32[] memory records) private {
        if (records.length == 0) revert ZeroValue();
        mapping(bytes32 record => uint256 time) storage times = revokedAt[contributor];
        for (uint256 i = 0; i < records.length; ++i) {
            if (times[records[i]] == 0) times[records[i]] = block.timestamp;
        }
        emit RecordsRevoked(contributor, batchId, records);
    }

    function _known(bytes32 datanet) private view returns (Datanet storage known) {
        known = _datanets[datanet];
        if (known.owner == address(0)) revert UnknownDatanet(datanet);
    }

    function _batch(bytes32 batchId) private view returns (Batch storage batch) {
        batch = _batches[batchId];
        if (batch.root == 0) revert UnknownBatch(batchId);
    }

    function _version(bytes32 root) private view returns (Version storage published) {
        published = _versions[root];
        if (published.version == 0) revert UnknownVersion(root);
    }

    function _onlyCuration() private view {
        if (msg.sender != curation) revert NotCuration(msg.sender);
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
