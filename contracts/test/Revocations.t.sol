// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Test} from "./Test.sol";

/// @notice Records that contributors take back by their signature, and those of rejected batches.
contract RevocationsTest is Test {
    uint256 private constant KEY = 0xA11CE;
    bytes32 private constant DATANET = keccak256("dn_1");
    bytes32 private constant BATCH = keccak256("batch");
    bytes32 private constant HASH = keccak256("hash");
    /// @dev protocol/revocations.ts signs so many at once, at most.
    uint256 private constant MOST = 200;

    address private contributor;

    function setUp() public override {
        super.setUp();
        contributor = vm.addr(KEY);
        vm.prank(governance);
        datanets.setCuration(stranger);
        vm.prank(alice);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, alice, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
    }

    function test_anyoneSendsWhatAContributorSigned() public {
        bytes32[] memory records = _records(3);
        bytes memory signature = _signWithdrawal(KEY, records);
        vm.expectEmit();
        emit IDatanetRegistry.RecordsRevoked(contributor, 0, records);
        vm.prank(bob);
        datanets.withdraw(contributor, records, signature);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(datanets.revokedAt(contributor, records[i]), block.timestamp);
            vm.assertEq(datanets.revokedAt(alice, records[i]), 0);
        }
    }

    function test_theFirstTimeStays() public {
        bytes32[] memory records = _records(1);
        uint256 first = block.timestamp;
        datanets.withdraw(contributor, records, _signWithdrawal(KEY, records));
        vm.warp(first + 10);
        records = _records(2);
        datanets.withdraw(contributor, records, _signWithdrawal(KEY, records));
        vm.assertEq(datanets.revokedAt(contributor, records[0]), first);
        vm.assertEq(datanets.revokedAt(contributor, records[1]), first + 10);
    }

    function test_nobodyWithdrawsForAnother() public {
        bytes32[] memory records = _records(2);
        bytes memory signature = _signWithdrawal(KEY, records);
        bytes memory refusal =
            abi.encodeWithSelector(IDatanetRegistry.NotSignedBy.selector, contributor);
        bytes32[] memory others = _records(3);
        vm.expectRevert(refusal);
        vm.prank(operator);
        datanets.withdraw(contributor, others, signature);
        vm.expectRevert(refusal);
        datanets.withdraw(contributor, records, _signWithdrawal(KEY + 1, records));
        vm.expectRevert(abi.encodeWithSelector(IDatanetRegistry.NotSignedBy.selector, alice));
        datanets.withdraw(alice, records, signature);
        vm.chainId(1);
        vm.expectRevert(refusal);
        datanets.withdraw(contributor, records, signature);
        vm.chainId(31_337);
        records = new bytes32[](0);
        signature = _signWithdrawal(KEY, records);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ZeroValue.selector));
        datanets.withdraw(contributor, records, signature);
    }

    function test_recordsOfARejectedBatchAreShownByProof() public {
        bytes32[] memory leaves = _anchor(4);
        IDatanetRegistry.RejectedRecord[] memory rejected = _rejected(leaves, 4);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDatanetRegistry.WrongState.selector, BATCH, IDatanetRegistry.BatchState.Anchored
            )
        );
        datanets.penalize(BATCH, rejected);
        vm.prank(stranger);
        datanets.reject(BATCH, 500_000);
        vm.prank(bob);
        datanets.penalize(BATCH, rejected);
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(datanets.revokedAt(contributor, _record(i)), i < 3 ? block.timestamp : 0);
        }
    }

    function test_aRejectedBatchSaysNothingOfOthersRecords() public {
        bytes32[] memory leaves = _anchor(4);
        vm.prank(stranger);
        datanets.reject(BATCH, 500_000);
        IDatanetRegistry.RejectedRecord[] memory rejected = _rejected(leaves, 4);
        // The last leaf names alice: in the batch it is, but it is not its contributor's to lose.
        rejected[0] = IDatanetRegistry.RejectedRecord({
            record: _record(3), cluster: HASH, proof: _setProof(leaves, 3)
        });
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetRegistry.NotInBatch.selector, BATCH, _record(3))
        );
        datanets.penalize(BATCH, rejected);
        rejected = _rejected(leaves, 3);
        rejected[1].record = _record(2);
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetRegistry.NotInBatch.selector, BATCH, _record(2))
        );
        datanets.penalize(BATCH, rejected);
        vm.expectRevert(abi.encodeWithSelector(IDatanetRegistry.UnknownBatch.selector, HASH));
        datanets.penalize(HASH, rejected);
    }

    function test_gasOfAWholeWithdrawal() public {
        bytes32[] memory records = _records(MOST);
        bytes memory signature = _signWithdrawal(KEY, records);
        datanets.withdraw(contributor, records, signature);
        vm.snapshotGasLastCall("gas", "withdraw, 200 records");
    }

    function test_anEpochKnowsWhenItCame() public {
        _deposit(operator, 10 ether);
        uint256 first = block.timestamp;
        _submit(operator, 1 ether, HASH);
        vm.warp(first + 7);
        _setParameter("settlement.window", WINDOW / 2); // activeAt stays that of the first
        _submit(operator, 1 ether, HASH);
        vm.assertEq(settlement.submittedAt(1), first);
        vm.assertEq(settlement.submittedAt(2), first + 7);
        vm.assertEq(settlement.submittedAt(3), 0);
    }

    function _record(uint256 i) private pure returns (bytes32) {
        return keccak256(abi.encode("record", i));
    }

    function _records(uint256 count) private pure returns (bytes32[] memory records) {
        records = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            records[i] = _record(i);
        }
    }

    /// @dev A batch whose last leaf names alice, who did not give it.
    function _anchor(uint256 count) private returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = Leaf.record(_record(i), HASH, i < count - 1 ? contributor : alice);
        }
        vm.prank(operator);
        datanets.anchorBatch{value: CONTRIBUTION_BOND}(
            DATANET, BATCH, _setRoot(leaves), uint32(count), contributor, HASH
        );
    }

    /// @dev The contributor's own records of `_anchor`.
    function _rejected(bytes32[] memory leaves, uint256 count)
        private
        pure
        returns (IDatanetRegistry.RejectedRecord[] memory rejected)
    {
        rejected = new IDatanetRegistry.RejectedRecord[](count - 1);
        for (uint256 i = 0; i < rejected.length; ++i) {
            rejected[i] = IDatanetRegistry.RejectedRecord({
                record: _record(i), cluster: HASH, proof: _setProof(leaves, i)
            });
        }
    }
}
