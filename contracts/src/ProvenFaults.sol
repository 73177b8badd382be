// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Debts} from "./Debts.sol";
import {Governed} from "./Governed.sol";
import {ICuration} from "./interfaces/ICuration.sol";
import {IDatanetRegistry} from "./interfaces/IDatanetRegistry.sol";
import {Keys} from "./libraries/Keys.sol";
import {Leaf} from "./libraries/Leaf.sol";
import {Penalty} from "./libraries/Penalty.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";

/// @notice The part of ICuration that needs no opinion.
abstract contract ProvenFaults is ICuration, Debts, Governed {
    IDatanetRegistry public immutable REGISTRY;

    constructor(IDatanetRegistry registry) {
        REGISTRY = registry;
    }

    /// @inheritdoc ICuration
    function proveDuplicate(Opening calldata earlier, Opening calldata later) external {
        (IDatanetRegistry.Batch memory first, bytes32 leaf) = _open(earlier);
        (IDatanetRegistry.Batch memory second, bytes32 again) = _open(later);
        bool same = earlier.recordHash == later.recordHash && first.datanet == second.datanet;
        if (earlier.batchId == later.batchId) {
            same = same && (leaf != again || _isElsewhere(earlier.proof, later.proof, leaf));
        } else {
            same = same && first.anchoredAt < second.anchoredAt
                && first.state != IDatanetRegistry.BatchState.Rejected;
        }
        if (!same) revert NotADuplicate(earlier.batchId, later.batchId);
        _convict(later.batchId, Fault.Duplicate);
    }

    /// @inheritdoc ICuration
    function proveForeign(Opening calldata record) external {
        (IDatanetRegistry.Batch memory batch,) = _open(record);
        if (record.contributor == batch.contributor) revert NotForeign(record.contributor);
        _convict(record.batchId, Fault.Foreign);
    }

    /// @inheritdoc ICuration
    function proveMiscounted(Opening calldata record) external {
        (IDatanetRegistry.Batch memory batch,) = _open(record);
        uint256 depth = record.proof.length;
        uint256 least = FixedPointMathLib.log2(batch.count);
        uint256 most = FixedPointMathLib.log2Up(batch.count);
        if (depth >= least && depth <= most) revert CountPossible(batch.count, depth);
        _convict(record.batchId, Fault.Miscounted);
    }

    function _open(Opening calldata record)
        private
        view
        returns (IDatanetRegistry.Batch memory batch, bytes32 leaf)
    {
        batch = REGISTRY.batchOf(record.batchId);
        leaf = Leaf.record(record.recordHash, record.cluster, record.contributor);
        if (!MerkleProofLib.verifyCalldata(record.proof, batch.root, leaf)) {
            revert InvalidOpening(record.batchId);
        }
    }

    /// @dev Whether two valid proofs of one leaf show it at two places. Siblings are hashed in
    /// sorted order, so equal siblings share one proof, which then begins with the leaf itself.
    function _isElsewhere(bytes32[] calldata a, bytes32[] calldata b, bytes32 leaf)
        private
        pure
        returns (bool)
    {
        return
            keccak256(abi.encode(a)) != keccak256(abi.encode(b)) || (a.length != 0 && a[0] == leaf);
    }

    function _convict(bytes32 batchId, Fault fault) private {
        uint256 slashed = REGISTRY.reject(batchId, _number(Keys.SLASH_PROVEN));
        uint256 reward = slashed * _number(Keys.CHALLENGER_PART) / Penalty.PPM;
        owed[msg.sender] += reward;
        owed[PARAMETERS.governance()] += slashed - reward;
        emit Proven(batchId, fault, msg.sender, slashed);
    }
}
