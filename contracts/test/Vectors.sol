// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Leaf} from "../src/libraries/Leaf.sol";
import {OrderedTree} from "../src/libraries/OrderedTree.sol";
import {Penalty} from "../src/libraries/Penalty.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {Score} from "../src/libraries/Score.sol";
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

/// @notice What Solidity computes, for contracts/test/vectors.test.ts to compare with TypeScript,
/// and for tests of challenges to make receipts with.
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
        uint64 squaredNorm,
        bytes32 tokensRoot,
        uint32 tokens
    ) external pure returns (bytes32) {
        return Leaf.indexRow(
            recordHash,
            cluster,
            contributor,
            vectorHash,
            exponent,
            nullMean,
            nullDeviation,
            squaredNorm,
            tokensRoot,
            tokens
        );
    }

    function receipt(bytes32 requestId, bytes32 hash, uint256 spent)
        external
        pure
        returns (bytes32)
    {
        return Leaf.receipt(requestId, hash, spent);
    }

    function credit(
        address account,
        uint32 receiptIndex,
        uint32 part,
        uint256 amount,
        uint256 cumulative
    ) external pure returns (bytes32) {
        return Leaf.credit(account, receiptIndex, part, amount, cumulative);
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

    function verifyOrdered(
        bytes32[] calldata proof,
        bytes32 root,
        bytes32 leaf,
        uint256 index,
        uint256 count
    ) external pure returns (bool) {
        return OrderedTree.verify(proof, root, leaf, index, count);
    }

    function products(bytes calldata a, bytes calldata b) external pure returns (int256, int256) {
        return Score.products(a, b);
    }

    function relative(int256 product, uint256 selfRow, uint256 selfQuery)
        external
        pure
        returns (int256)
    {
        return Score.relative(product, selfRow, selfQuery);
    }

    function significance(int256 score, int256 nullMean, uint256 nullDeviation)
        external
        pure
        returns (int256)
    {
        return Score.significance(score, nullMean, nullDeviation);
    }

    function splitFee(uint256 fee, Score.Rules memory rules, bool hasCitations)
        external
        pure
        returns (Score.FeeSplit memory)
    {
        return Score.splitFee(fee, rules, hasCitations);
    }

    function citationAmount(uint256 retrieval, uint256 count, uint256 i)
        external
        pure
        returns (uint256)
    {
        return Score.citationAmount(retrieval, count, i);
    }

    function isAllocation(
        uint256 pool,
        Receipts.Row[] calldata rows,
        uint256 covered,
        uint256 total,
        uint256 unattributed,
        Score.Rules memory rules
    ) external pure returns (bool) {
        return Score.isAllocation(pool, rows, covered, total, unattributed, rules);
    }

    function rowsHash(Receipts.Row[] calldata rows) external pure returns (bytes32) {
        return Receipts.rowsHash(rows);
    }

    function rowHash(Receipts.Row calldata row) external pure returns (bytes32) {
        return Receipts.rowHash(row);
    }

    function spansHash(Receipts.Span[] calldata spans) external pure returns (bytes32) {
        return Receipts.spansHash(spans);
    }

    function citationsHash(Receipts.Citation[] calldata citations) external pure returns (bytes32) {
        return Receipts.citationsHash(citations);
    }

    function listHash(bytes32[] calldata list) external pure returns (bytes32) {
        return Receipts.listHash(list);
    }

    function nextPenalty(uint256 penalty, uint256 outcome, uint256 weight)
        external
        pure
        returns (uint256)
    {
        return Penalty.next(penalty, outcome, weight);
    }

    /// @notice EIP-712 hash of a receipt in the domain that the settlement contract itself
    /// publishes.
    function receiptHash(IERC5267 settlement, Receipts.Head calldata head)
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
        return Receipts.digest(head, domain);
    }
}
