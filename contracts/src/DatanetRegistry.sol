// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Registry} from "./Registry.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {Keys} from "./libraries/Keys.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IDatanetRegistry.
contract DatanetRegistry is IDatanetRegistry, Registry {
    using SafeCastLib for uint256;

    mapping(bytes32 id => Datanet) private _datanets;
    mapping(bytes32 id => Batch) private _batches;
    mapping(bytes32 root => Version) private _versions;

    constructor(IParameters parameters) Registry(parameters) {}

    /// @inheritdoc IDatanetRegistry
    function createDatanet(bytes32 datanet, address owner, bytes32 metadataHash) external payable {
        _requireNonZero(owner);
        _requireOwnerOrOperator(owner);
        if (_datanets[datanet].owner != address(0)) revert DatanetExists(datanet);
        _takeFee(Keys.DATANET_FEE);
        _datanets[datanet] = Datanet({
            owner: owner,
            versions: 0,
            createdAt: uint40(block.timestamp),
            metadataHash: metadataHash
        });
        emit DatanetCreated(datanet, owner, metadataHash);
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
        _known(datanet);
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
            bond: msg.value.toUint96()
        });
        emit BatchAnchored(datanet, batchId, contributor, root, count, pipelineHash);
    }

    /// @inheritdoc IDatanetRegistry
    function releaseBond(bytes32 batchId) external {
        Batch storage batch = _batches[batchId];
        if (batch.root == 0) revert UnknownBatch(batchId);
        uint256 until = uint256(batch.anchoredAt) + batch.window;
        if (block.timestamp < until) revert BondLocked(batchId, until);
        (address payer, uint256 amount) = (batch.payer, batch.bond);
        if (amount == 0) revert NoBond(batchId);
        batch.bond = 0;
        emit BondReleased(batchId, payer, amount);
        SafeTransferLib.safeTransferETH(payer, amount);
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
            publishedAt: uint40(block.timestamp)
        });
        emit VersionPublished(datanet, version, root, manifestHash, records);
    }

    /// @inheritdoc IDatanetRegistry
    function datanetOf(bytes32 datanet) external view returns (Datanet memory) {
        return _known(datanet);
    }

    /// @inheritdoc IDatanetRegistry
    function batchOf(bytes32 batchId) external view returns (Batch memory batch) {
        batch = _batches[batchId];
        if (batch.root == 0) revert UnknownBatch(batchId);
    }

    /// @inheritdoc IDatanetRegistry
    function versionOf(bytes32 root) external view returns (Version memory published) {
        published = _versions[root];
        if (published.version == 0) revert UnknownVersion(root);
    }

    function _known(bytes32 datanet) private view returns (Datanet storage known) {
        known = _datanets[datanet];
        if (known.owner == address(0)) revert UnknownDatanet(datanet);
    }
}
