// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Refuses every wei.
contract Refuser {
    receive() external payable {
        revert("no");
    }
}

/// @notice On receiving wei, makes one prepared call and keeps its outcome; accepts the wei either
/// way.
contract Reentrant {
    address public target;
    bytes public data;
    bool public entered;
    bool public succeeded;
    bytes4 public refusal;

    function prepare(address target_, bytes calldata data_) external {
        (target, data, entered) = (target_, data_, false);
    }

    function execute(address to, uint256 value, bytes calldata data_) external payable {
        (bool ok, bytes memory result) = to.call{value: value}(data_);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }

    receive() external payable {
        if (entered || target == address(0)) return;
        entered = true;
        bytes memory result;
        (succeeded, result) = target.call(data);
        refusal = bytes4(result);
    }
}

/// @notice Signs, by EIP-1271, whatever hash was approved.
contract SigningWallet {
    mapping(bytes32 hash => bool) public isApproved;

    function approve(bytes32 hash) external {
        isApproved[hash] = true;
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view returns (bytes4) {
        return isApproved[hash] ? this.isValidSignature.selector : bytes4(0);
    }
}
