// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OpenBridgeL1} from "../src/OpenBridgeL1.sol";
import {OpenBridgeL2} from "../src/OpenBridgeL2.sol";
import {
    ICrossDomainMessenger,
    ILiquidityController,
    IOpenBridge
} from "../src/interfaces/IOpenBridge.sol";
import {Refuser} from "./Receivers.sol";
import {Test} from "./Test.sol";
import {TestLiquidityController} from "./bridge/TestLiquidityController.sol";
import {TestMessenger} from "./bridge/TestMessenger.sol";
import {TestToken} from "./bridge/TestToken.sol";

/// @notice Both ends on one chain; contracts/test/bridge/bridge.test.ts has two.
contract OpenBridgeTest is Test {
    uint256 private constant CAPACITY = 1_000 ether;
    uint256 private constant PER_SECOND = 1 ether;
    uint256 private constant LIQUIDITY = 1e9 ether;

    TestToken private token;
    TestMessenger private onL1;
    TestMessenger private onL2;
    TestLiquidityController private controller;
    OpenBridgeL1 private l1;
    OpenBridgeL2 private l2;

    function setUp() public override {
        super.setUp();
        token = new TestToken();
        (onL1, onL2) = (new TestMessenger(), new TestMessenger());
        controller = new TestLiquidityController();
        vm.deal(address(controller), LIQUIDITY);
        address second = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        l1 = new OpenBridgeL1(address(token), onL1, second, CAPACITY, PER_SECOND);
        l2 = new OpenBridgeL2(controller, onL2, address(l1), CAPACITY, PER_SECOND);
        controller.authorizeMinter(address(l2));
        token.transfer(alice, 10_000 ether);
        vm.prank(alice);
        token.approve(address(l1), type(uint256).max);
    }

    function test_goesThereAndBack() public {
        vm.prank(alice);
        l1.deposit(bob, 100 ether);
        vm.assertEq(token.balanceOf(address(l1)), 100 ether);
        uint256 before = bob.balance;
        _toL2(0, bob, 100 ether);
        vm.assertEq(bob.balance, before + 100 ether);
        vm.prank(bob);
        l2.withdraw{value: 40 ether}(bob);
        vm.assertEq(address(controller).balance, LIQUIDITY - 60 ether);
        _toL1(0, bob, 40 ether);
        vm.assertEq(token.balanceOf(bob), 40 ether);
        vm.assertEq(token.balanceOf(address(l1)), 60 ether);
    }

    function test_anAccountThatRefusesWeiReceivesAllTheSame() public {
        address refuser = address(new Refuser());
        vm.prank(alice);
        l1.deposit(refuser, 1 ether);
        _toL2(0, refuser, 1 ether);
        vm.assertEq(refuser.balance, 1 ether);
    }

    function test_overTheLimitAMessageWaits() public {
        vm.startPrank(alice);
        l1.deposit(bob, CAPACITY);
        l1.deposit(bob, 10 ether);
        vm.stopPrank();
        uint256 before = bob.balance;
        _toL2(0, bob, CAPACITY);
        vm.assertEq(l2.available(), 0);
        vm.warp(block.timestamp + 9);
        vm.assertEq(l2.available(), 9 ether);
        _toL2(1, bob, 10 ether); // fails
        vm.assertEq(bob.balance, before + CAPACITY);
        vm.warp(block.timestamp + 1);
        vm.prank(stranger);
        _toL2(1, bob, 10 ether); // anyone tries again
        vm.assertEq(bob.balance, before + CAPACITY + 10 ether);
        vm.expectRevert();
        _toL2(1, bob, 10 ether); // once only
        vm.warp(block.timestamp + 100_000);
        vm.assertEq(l2.available(), CAPACITY);
    }

    function testFuzz_theLimitNeverExceedsItsRate(uint64[8] memory amounts, uint32[8] memory waits)
        public
    {
        uint256 start = block.timestamp;
        uint256 received = 0;
        for (uint256 i = 0; i < 8; ++i) {
            vm.warp(block.timestamp + waits[i] % 500);
            uint256 amount = _bound(amounts[i], 1, CAPACITY);
            vm.prank(alice);
            l1.deposit(bob, amount);
            uint256 before = bob.balance;
            bool fits = amount <= l2.available();
            _toL2(i, bob, amount);
            vm.assertEq(bob.balance - before, fits ? amount : 0);
            received += bob.balance - before;
        }
        vm.assertLe(
            received, CAPACITY + PER_SECOND * (block.timestamp - start), "faster than the limit"
        );
    }

    function test_believesTheOtherEndAlone() public {
        vm.expectRevert(abi.encodeWithSelector(IOpenBridge.NotMessenger.selector, address(this)));
        l1.receiveFromOther(bob, 1);
        bytes memory forged = abi.encodeCall(IOpenBridge.receiveFromOther, (bob, 1 ether));
        onL1.relayMessage(7, stranger, address(l1), forged);
        vm.assertEq(
            onL1.failedMessages(keccak256(abi.encode(7, stranger, address(l1), forged))), true
        );
        vm.prank(address(onL2));
        vm.expectRevert(abi.encodeWithSelector(IOpenBridge.NotOtherBridge.selector, address(0)));
        l2.receiveFromOther(bob, 1);
    }

    function test_refuses() public {
        vm.startPrank(alice);
        vm.expectRevert(IOpenBridge.ZeroAddress.selector);
        l1.deposit(address(0), 1);
        vm.expectRevert(IOpenBridge.ZeroAmount.selector);
        l1.deposit(alice, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IOpenBridge.OverCapacity.selector, CAPACITY + 1, CAPACITY)
        );
        l1.deposit(alice, CAPACITY + 1);
        vm.expectRevert(IOpenBridge.ZeroAmount.selector);
        l2.withdraw(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IOpenBridge.OverCapacity.selector, CAPACITY + 1, CAPACITY)
        );
        l2.withdraw{value: CAPACITY + 1}(alice);
        vm.expectRevert(IOpenBridge.ZeroAddress.selector);
        l2.withdraw{value: 1}(address(0));
        vm.stopPrank();
    }

    function test_constructionRefuses() public {
        ICrossDomainMessenger none = ICrossDomainMessenger(address(0));
        vm.expectRevert(IOpenBridge.ZeroAddress.selector);
        new OpenBridgeL1(address(0), onL1, bob, 1, 1);
        vm.expectRevert(IOpenBridge.ZeroAddress.selector);
        new OpenBridgeL1(address(token), none, bob, 1, 1);
        vm.expectRevert(IOpenBridge.ZeroAddress.selector);
        new OpenBridgeL1(address(token), onL1, address(0), 1, 1);
        vm.expectRevert(IOpenBridge.ZeroAmount.selector);
        new OpenBridgeL1(address(token), onL1, bob, 0, 1);
        vm.expectRevert(IOpenBridge.ZeroAmount.selector);
        new OpenBridgeL1(address(token), onL1, bob, 1, 0);
        vm.expectRevert(IOpenBridge.ZeroAddress.selector);
        new OpenBridgeL2(ILiquidityController(address(0)), onL2, bob, 1, 1);
    }

    function _toL2(uint256 nonce, address to, uint256 amount) private {
        onL2.relayMessage(
            nonce,
            address(l1),
            address(l2),
            abi.encodeCall(IOpenBridge.receiveFromOther, (to, amount))
        );
    }

    function _toL1(uint256 nonce, address to, uint256 amount) private {
        onL1.relayMessage(
            nonce,
            address(l2),
            address(l1),
            abi.encodeCall(IOpenBridge.receiveFromOther, (to, amount))
        );
    }
}
