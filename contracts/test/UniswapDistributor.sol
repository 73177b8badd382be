// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";

/// @notice For comparison only, written from the ABI and semantics of Uniswap's MerkleDistributor:
/// claim(index, account, amount, proof), a bitmap of what is claimed, payment in an ERC-20.
contract UniswapDistributor {
    ERC20 public immutable token;
    bytes32 public immutable merkleRoot;
    mapping(uint256 word => uint256 bits) private claimedBitMap;

    event Claimed(uint256 index, address account, uint256 amount);

    error AlreadyClaimed();
    error InvalidProof();

    constructor(ERC20 token_, bytes32 merkleRoot_) {
        (token, merkleRoot) = (token_, merkleRoot_);
    }

    function isClaimed(uint256 index) public view returns (bool) {
        return claimedBitMap[index / 256] >> (index % 256) & 1 == 1;
    }

    function claim(uint256 index, address account, uint256 amount, bytes32[] calldata merkleProof)
        external
    {
        if (isClaimed(index)) revert AlreadyClaimed();
        bytes32 node = keccak256(abi.encodePacked(index, account, amount));
        if (!MerkleProofLib.verifyCalldata(merkleProof, merkleRoot, node)) revert InvalidProof();
        claimedBitMap[index / 256] |= 1 << (index % 256);
        require(token.transfer(account, amount));
        emit Claimed(index, account, amount);
    }
}

contract BenchToken is ERC20("Bench", "BENCH") {
    constructor(address holder, uint256 amount) {
        _mint(holder, amount);
    }
}
