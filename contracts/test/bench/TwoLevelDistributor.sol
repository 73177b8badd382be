// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A claim as in EigenLayer's RewardsCoordinator, with native wei for its token: the second
/// yardstick of `npm run bench:chain`. An earner's leaf holds the root of a tree over its tokens,
/// whose leaves hold cumulative amounts; proofs are ordered by index.
contract TwoLevelDistributor {
    struct TokenLeaf {
        address token;
        uint256 cumulative;
    }

    struct Claim {
        uint32 rootIndex;
        uint32 earnerIndex;
        bytes32[] earnerProof;
        address earner;
        uint32 tokenIndex;
        bytes32[] tokenProof;
        TokenLeaf leaf;
    }

    struct Root {
        bytes32 root;
        uint32 activatedAt;
        bool disabled;
    }

    Root[] public roots;
    mapping(address earner => mapping(address token => uint256)) public cumulativeClaimed;

    event RewardsClaimed(bytes32 root, address indexed earner, address token, uint256 amount);

    error RootNotActive();
    error InvalidProof();
    error NothingToClaim();
    error TransferFailed();

    constructor() payable {}

    function submitRoot(bytes32 root) external {
        roots.push(Root({root: root, activatedAt: uint32(block.timestamp), disabled: false}));
    }

    function processClaim(Claim calldata claim) external {
        Root memory root = roots[claim.rootIndex];
        if (root.disabled || block.timestamp < root.activatedAt) revert RootNotActive();
        TokenLeaf calldata leaf = claim.leaf;
        bytes32 tokens = _climb(
            keccak256(abi.encodePacked(uint8(1), leaf.token, leaf.cumulative)),
            claim.tokenIndex,
            claim.tokenProof
        );
        bytes32 earners = _climb(
            keccak256(abi.encodePacked(uint8(0), claim.earner, tokens)),
            claim.earnerIndex,
            claim.earnerProof
        );
        if (earners != root.root) revert InvalidProof();
        uint256 before = cumulativeClaimed[claim.earner][leaf.token];
        if (leaf.cumulative <= before) revert NothingToClaim();
        cumulativeClaimed[claim.earner][leaf.token] = leaf.cumulative;
        uint256 amount = leaf.cumulative - before;
        (bool sent,) = claim.earner.call{value: amount}("");
        if (!sent) revert TransferFailed();
        emit RewardsClaimed(root.root, claim.earner, leaf.token, amount);
    }

    function _climb(bytes32 node, uint256 index, bytes32[] calldata proof)
        private
        pure
        returns (bytes32)
    {
        for (uint256 i = 0; i < proof.length; ++i) {
            node = index % 2 == 0
                ? keccak256(abi.encodePacked(node, proof[i]))
                : keccak256(abi.encodePacked(proof[i], node));
            index /= 2;
        }
        return node;
    }
}
