// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.37;

/// @notice The ordered tree of protocol/merkle.ts: a complete binary tree of `count` leaves in an
/// array, leaf i at 2 * count - 2 - i, siblings hashed left before right. A proof shows what
/// stands at a position, and there is nothing but positions.
library OrderedTree {
    /// @notice Whether `leaf` stands at `index` of the tree.
    function verify(
        bytes32[] calldata proof,
        bytes32 root,
        bytes32 leaf,
        uint256 index,
        uint256 count
    ) internal pure returns (bool isAt) {
        if (index >= count) return false;
        // Equal to, but a third of the gas of:
        //   at = 2 * count - 2 - index;
        //   for each sibling: fail if at == 0;
        //     leaf = at is odd ? hash(leaf, sibling) : hash(sibling, leaf);
        //     at = (at - 1) / 2;
        //   isAt = at == 0 && leaf == root
        assembly ("memory-safe") {
            let at := sub(shl(1, count), add(index, 2))
            let offset := proof.offset
            let end := add(offset, shl(5, proof.length))
            for {} lt(offset, end) { offset := add(offset, 0x20) } {
                if iszero(at) { break }
                // A node with an odd place in the array is a left one.
                let isRight := iszero(and(at, 1))
                mstore(shl(5, isRight), leaf)
                mstore(shl(5, iszero(isRight)), calldataload(offset))
                leaf := keccak256(0x00, 0x40)
                at := shr(1, sub(at, 1))
            }
            isAt := and(and(iszero(at), eq(offset, end)), eq(leaf, root))
        }
    }
}
