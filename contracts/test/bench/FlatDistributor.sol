// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Uniswap's MerkleDistributor with native wei for its token: the yardstick of
/// `npm run bench:chain`. One leaf per index, account and amount; a bitmap of what is claimed;
/// pairs of hashes are sorted.
contract FlatDistributor {
    bytes32 public immutable merkleRoot;
    mapping(uint256 word => uint256 bits) private _claimed;

    event Claimed(uint256 index, address account, uint256 amount);

    error AlreadyClaimed();
    error InvalidProof();
    error TransferFailed();

    constructor(bytes32 root) payable {
        merkleRoot = root;
    }

    function isClaimed(uint256 index) public view returns (bool) {
        uint256 mask = 1 << (index % 256);
        return _claimed[index / 256] & mask == mask;
    }

    function claim(uint256 index, address account, uint256 amount, bytes32[] calldata proof)
        external
    {
        if (isClaimed(index)) revert AlreadyClaimed();
        bytes32 node = keccak256(abi.encodePacked(index, account, amount));
        for (uint256 i = 0; i < proof.length; ++i) {
            bytes32 other = proof[i];
            node = node < other
                ? keccak256(abi.encodePacked(node, other))
                : keccak256(abi.encodePacked(other, node));
        }
        if (node != merkleRoot) revert InvalidProof();
        _claimed[index / 256] |= 1 << (index % 256);
        (bool sent,) = account.call{value: amount}("");
        if (!sent) revert TransferFailed();
        emit Claimed(index, account, amount);
    }
}
