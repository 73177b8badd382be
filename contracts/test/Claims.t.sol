// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {IDebts} from "../src/interfaces/IDebts.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Reentrant, Refuser} from "./Receivers.sol";
import {Test} from "./Test.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Claims: proofs, accumulation, bounds, receivers.
contract ClaimsTest is Test {
    bytes32[] private forAlice;
    bytes32[] private forBob;

    function setUp() public override {
        super.setUp();
        _deposit(operator, 100 ether);
    }

    function test_claimsAccumulate() public {
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        uint256 before = alice.balance;
        settlement.claim(alice, 2 ether, 1, 0, forAlice);
        vm.assertEq(alice.balance, before + 2 ether);
        _epoch(3 ether, 2.5 ether, 3.5 ether);
        _activate();
        settlement.claim(alice, 2.5 ether, 2, 0, forAlice);
        vm.assertEq(alice.balance, before + 2.5 ether);
        vm.assertEq(settlement.claimed(alice), 2.5 ether);
        before = bob.balance;
        settlement.claim(bob, 3.5 ether, 2, 1, forBob);
        vm.assertEq(bob.balance, before + 3.5 ether);
        vm.assertEq(settlement.claimedTotal(), 6 ether);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function test_anOlderRootStaysClaimable() public {
        _epoch(3 ether, 2 ether, 1 ether);
        bytes32[] memory proof = forAlice;
        _activate();
        _epoch(3 ether, 4 ether, 2 ether);
        settlement.claim(alice, 2 ether, 1, 0, proof); // while the next one is pending
        _activate();
        settlement.claim(bob, 2 ether, 2, 1, forBob);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.NothingToClaim.selector, alice, 2 ether, 2 ether
            )
        );
        settlement.claim(alice, 2 ether, 1, 0, proof);
        settlement.claim(alice, 4 ether, 2, 0, forAlice);
    }

    function test_anOlderRootPaysAfterANewerOneHas() public {
        _epoch(3 ether, 2 ether, 1 ether);
        bytes32[] memory proof = forAlice;
        _epoch(3 ether, 4 ether, 2 ether);
        _activate();
        settlement.claim(bob, 2 ether, 2, 1, forBob);
        settlement.claim(alice, 2 ether, 1, 0, proof);
        settlement.claim(alice, 4 ether, 2, 0, forAlice);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function test_claimsWaitForActivation() public {
        _epoch(3 ether, 2 ether, 1 ether);
        vm.warp(block.timestamp + WINDOW - 1);
        for (uint64 epoch = 0; epoch <= 2; ++epoch) {
            vm.expectRevert(
                abi.encodeWithSelector(IAttributionSettlement.EpochNotActive.selector, epoch)
            );
            settlement.claim(alice, 2 ether, epoch, 0, forAlice);
        }
    }

    function testFuzz_onlyProvenAmountsAreClaimed(address account, uint256 cumulative) public {
        vm.assume(account != alice || cumulative != 2 ether);
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.InvalidProof.selector, account, cumulative, 1
            )
        );
        settlement.claim(account, cumulative, 1, 0, forAlice);
    }

    function test_wrongProofsAreRefused() public {
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        bytes memory reason =
            abi.encodeWithSelector(IAttributionSettlement.InvalidProof.selector, alice, 2 ether, 1);
        vm.expectRevert(reason);
        settlement.claim(alice, 2 ether, 1, 1, forBob);
        vm.expectRevert(reason);
        settlement.claim(alice, 2 ether, 1, 0, new bytes32[](0));
        vm.expectRevert(reason);
        settlement.claim(alice, 2 ether, 1, 0, new bytes32[](1));
        bytes32[] memory tooLong = new bytes32[](2);
        tooLong[0] = forAlice[0];
        vm.expectRevert(reason);
        settlement.claim(alice, 2 ether, 1, 0, tooLong);
        uint256[3] memory nowhere = [uint256(2), 2 ** 255, type(uint256).max];
        for (uint256 i = 0; i < nowhere.length; ++i) {
            vm.expectRevert(reason);
            settlement.claim(alice, 2 ether, 1, nowhere[i], forAlice);
        }
    }

    function test_aRootWithoutPayoutsPaysNobody() public {
        _submit(operator, 1 ether, 0);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.InvalidProof.selector, alice, 1 ether, 1)
        );
        settlement.claim(alice, 1 ether, 1, 0, new bytes32[](0));
    }

    function test_anInflatedRootCannotPayMoreThanItsTotal() public {
        _epoch(3 ether, 2 ether, 2 ether);
        _activate();
        _submit(operator, 5 ether, "pending"); // its wei are not theirs
        settlement.claim(alice, 2 ether, 1, 0, forAlice);
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.ExceedsTotal.selector, 2 ether, 1 ether)
        );
        settlement.claim(bob, 2 ether, 1, 1, forBob);
    }

    function testFuzz_hugeAmountsCannotOverflow(uint256 cumulative) public {
        cumulative = _bound(cumulative, 3 ether + 1, type(uint256).max);
        _epoch(3 ether, cumulative, 0);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.ExceedsTotal.selector, cumulative, 3 ether
            )
        );
        settlement.claim(alice, cumulative, 1, 0, forAlice);
    }

    function test_aFallenAmountPaysNothing() public {
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        settlement.claim(alice, 2 ether, 1, 0, forAlice);
        _epoch(3 ether, 1 ether, 5 ether);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.NothingToClaim.selector, alice, 1 ether, 2 ether
            )
        );
        settlement.claim(alice, 1 ether, 2, 0, forAlice);
    }

    function test_onlyTheAccountSendsItsClaimElsewhere() public {
        _epoch(3 ether, 2 ether, 1 ether);
        _activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.InvalidProof.selector, stranger, 2 ether, 1
            )
        );
        vm.prank(stranger);
        settlement.claimTo(stranger, 2 ether, 1, 0, forAlice);
        vm.expectRevert(IDebts.ZeroAddress.selector);
        vm.prank(alice);
        settlement.claimTo(address(0), 2 ether, 1, 0, forAlice);
        uint256 before = stranger.balance;
        vm.prank(alice);
        settlement.claimTo(stranger, 2 ether, 1, 0, forAlice);
        vm.assertEq(stranger.balance, before + 2 ether);
        vm.assertEq(settlement.claimed(alice), 2 ether);
    }

    function test_aRefusingReceiverBlocksOnlyItself() public {
        address refuser = address(new Refuser());
        (bytes32 root, bytes32[] memory forRefuser, bytes32[] memory proof) =
            _pair(refuser, 2 ether, bob, 1 ether);
        _submit(operator, 3 ether, root);
        _activate();
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector);
        settlement.claim(refuser, 2 ether, 1, 0, forRefuser);
        vm.assertEq(settlement.claimed(refuser), 0);
        settlement.claim(bob, 1 ether, 1, 1, proof);
        vm.prank(refuser);
        settlement.claimTo(stranger, 2 ether, 1, 0, forRefuser);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function test_aReentrantReceiverIsPaidOnce() public {
        Reentrant receiver = new Reentrant();
        (bytes32 root, bytes32[] memory proof,) = _pair(address(receiver), 2 ether, bob, 1 ether);
        _submit(operator, 3 ether, root);
        _activate();
        receiver.prepare(
            address(settlement),
            abi.encodeCall(settlement.claim, (address(receiver), 2 ether, 1, 0, proof))
        );
        settlement.claim(address(receiver), 2 ether, 1, 0, proof);
        vm.assertTrue(receiver.entered() && !receiver.succeeded(), "re-entered");
        vm.assertEq(
            bytes32(receiver.refusal()), bytes32(IAttributionSettlement.NothingToClaim.selector)
        );
        vm.assertEq(address(receiver).balance, 2 ether);
        vm.assertEq(address(settlement).balance, BOND + 1 ether);
    }

    function testFuzz_everyAccountOfATreeIsPaid(uint256 seed) public {
        uint256 count = _bound(seed, 1, 40);
        bytes32[] memory leaves = new bytes32[](count);
        uint256 total = 0;
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = Leaf.payout(_account(i), _amount(seed, i));
            total += _amount(seed, i);
        }
        payouts = uint32(count);
        _submit(operator, total, _root(leaves));
        _activate();
        for (uint256 i = 0; i < count; ++i) {
            settlement.claim(_account(i), _amount(seed, i), 1, i, _proof(leaves, i));
            vm.assertEq(_account(i).balance, _amount(seed, i));
        }
        vm.assertEq(address(settlement).balance, BOND);
    }

    function _account(uint256 i) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("account", i)))));
    }

    function _amount(uint256 seed, uint256 i) private pure returns (uint256) {
        return 1 + uint256(keccak256(abi.encode(seed, i))) % 1 ether;
    }

    function _epoch(uint256 total, uint256 toAlice, uint256 toBob) private {
        bytes32 root;
        (root, forAlice, forBob) = _pair(alice, toAlice, bob, toBob);
        _submit(operator, total, root);
    }

    function _activate() private {
        vm.warp(block.timestamp + WINDOW);
    }
}
