// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Leaf} from "../src/libraries/Leaf.sol";
import {ReceiptHasher} from "./ReceiptHasher.sol";
import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";

interface IERC5267 {
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        );
}

/// @notice What Solidity computes, for contracts/test/vectors.test.ts to compare with TypeScript.
contract Vectors {
    function record(bytes32 recordHash, bytes32 cluster, address contributor)
        external
        pure
        returns (bytes32)
    {
        return Leaf.record(recordHash, cluster, contributor);
    }

    function indexRow(
        bytes32 recordHash,
        bytes32 cluster,
        address contributor,
        bytes32 vectorHash,
        int16 exponent,
        int64 nullMean,
        uint64 nullDeviation,
        uint64 squaredNorm
    ) external pure returns (bytes32) {
        return Leaf.indexRow(
            recordHash,
            cluster,
            contributor,
            vectorHash,
            exponent,
            nullMean,
            nullDeviation,
            squaredNorm
        );
    }

    function receipt(bytes32 requestId, bytes32 hash) external pure returns (bytes32) {
        return Leaf.receipt(requestId, hash);
    }

    function payout(address account, uint256 cumulative) external pure returns (bytes32) {
        return Leaf.payout(account, cumulative);
    }

    function verify(bytes32[] calldata proof, bytes32 root, bytes32 leaf)
        external
        pure
        returns (bool)
    {
        return MerkleProofLib.verifyCalldata(proof, root, leaf);
    }

    /// @notice EIP-712 hash of a receipt in the domain that the settlement contract itself
    /// publishes.
    function receiptHash(IERC5267 settlement, ReceiptHasher.Receipt calldata signed)
        external
        view
        returns (bytes32)
    {
        (, string memory name, string memory version, uint256 chainId, address verifying,,) =
            settlement.eip712Domain();
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256(bytes(name)),
                keccak256(bytes(version)),
                chainId,
                verifying
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, ReceiptHasher.structHash(signed)));
    }
}
