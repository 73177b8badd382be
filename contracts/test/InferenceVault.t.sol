// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {InferenceVault} from "../src/InferenceVault.sol";
import {Draw, IInferenceVault} from "../src/interfaces/IInferenceVault.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {Reentrant, Refuser} from "./Receivers.sol";
import {Test} from "./Test.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

contract InferenceVaultTest is Test {
    function test_anyoneDepositsForAnyone() public {
        vm.prank(bob);
        vault.deposit{value: 3 ether}(alice);
        _deposit(alice, 1 ether);
        vm.assertEq(vault.balanceOf(alice), 4 ether);
        vm.assertEq(vault.balanceOf(bob), 0);
        vm.expectRevert(IInferenceVault.ZeroAmount.selector);
        _deposit(alice, 0);
        vm.expectRevert(IInferenceVault.ZeroAddress.selector);
        vault.deposit{value: 1}(address(0));
    }

    function test_withdrawalWaitsOutItsDelay() public {
        _deposit(alice, 4 ether);
        _request(alice, 3 ether);
        uint256 availableAt = block.timestamp + WITHDRAW_DELAY;
        // A longer delay for later requests does not hold this one.
        _setParameter("vault.withdrawDelay", 10 * WITHDRAW_DELAY);
        (uint256 amount, uint256 available) = vault.pendingWithdrawal(alice);
        vm.assertEq(amount, 3 ether);
        vm.assertEq(available, availableAt);
        vm.warp(availableAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceVault.WithdrawalNotAvailable.selector, alice, availableAt
            )
        );
        _withdraw(alice, alice);
        vm.warp(availableAt);
        uint256 before = stranger.balance;
        _withdraw(alice, stranger);
        vm.assertEq(stranger.balance, before + 3 ether);
        vm.assertEq(vault.balanceOf(alice), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IInferenceVault.NothingToWithdraw.selector, alice));
        _withdraw(alice, alice);
    }

    function test_aNewRequestReplacesTheOldAndZeroCancels() public {
        _deposit(alice, 4 ether);
        _request(alice, 1 ether);
        vm.warp(block.timestamp + WITHDRAW_DELAY);
        _request(alice, 2 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceVault.WithdrawalNotAvailable.selector,
                alice,
                block.timestamp + WITHDRAW_DELAY
            )
        );
        _withdraw(alice, alice);
        _request(alice, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceVault.NothingToWithdraw.selector, alice));
        _withdraw(alice, alice);
    }

    function test_requestBeyondBalanceIsRefused() public {
        _deposit(alice, 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceVault.InsufficientBalance.selector, alice, 1 ether, 1 ether + 1
            )
        );
        _request(alice, 1 ether + 1);
    }

    function testFuzz_pendingWeiStayDrawable(uint256 deposited, uint256 requested, uint256 drawn)
        public
    {
        deposited = _bound(deposited, 1, 1000 ether);
        requested = _bound(requested, 1, deposited);
        drawn = _bound(drawn, 0, deposited);
        _deposit(alice, deposited);
        _request(alice, requested);
        _submit(alice, drawn, 0);
        vm.warp(block.timestamp + WITHDRAW_DELAY);

        uint256 left = deposited - drawn;
        uint256 expected = requested < left ? requested : left;
        uint256 before = alice.balance;
        if (expected == 0) {
            vm.expectRevert(
                abi.encodeWithSelector(IInferenceVault.NothingToWithdraw.selector, alice)
            );
        }
        _withdraw(alice, alice);
        vm.assertEq(alice.balance, before + expected);
        vm.assertEq(vault.balanceOf(alice), left - expected);
        vm.assertEq(address(vault).balance, left - expected);
    }

    function test_onlySettlementDrawsAndRestores() public {
        _deposit(alice, 1 ether);
        Draw[] memory draws = _draws(alice, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IInferenceVault.NotSettlement.selector, governance));
        vm.prank(governance);
        vault.draw(1, draws);
        vm.expectRevert(abi.encodeWithSelector(IInferenceVault.NotSettlement.selector, governance));
        vm.prank(governance);
        vault.restore{value: 1 ether}(1, draws);
    }

    function test_drawsBeyondABalanceTakeNothing() public {
        _deposit(alice, 2 ether);
        Draw[] memory draws = new Draw[](2);
        (draws[0], draws[1]) = (Draw(alice, 1 ether), Draw(alice, 1 ether + 1));
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceVault.InsufficientBalance.selector, alice, 1 ether, 1 ether + 1
            )
        );
        vm.prank(address(settlement));
        vault.draw(1, draws);
        vm.assertEq(vault.balanceOf(alice), 2 ether);
    }

    function test_restoreMustCarryItsSum() public {
        vm.deal(address(settlement), 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceVault.SumMismatch.selector, 1 ether, 1 ether - 1)
        );
        vm.prank(address(settlement));
        vault.restore{value: 1 ether - 1}(1, _draws(alice, 1 ether));
    }

    function test_settlementIsNamedOnceByGovernance() public {
        InferenceVault fresh = new InferenceVault(parameters);
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, alice));
        vm.prank(alice);
        fresh.setSettlement(alice);
        vm.expectRevert(IInferenceVault.ZeroAddress.selector);
        vm.prank(governance);
        fresh.setSettlement(address(0));
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceVault.SettlementAlreadySet.selector, address(settlement)
            )
        );
        vm.prank(governance);
        vault.setSettlement(alice);
    }

    function test_reentrantAccountWithdrawsOnce() public {
        Reentrant account = new Reentrant();
        vault.deposit{value: 5 ether}(address(account));
        _deposit(alice, 5 ether);
        account.execute(address(vault), 0, abi.encodeCall(vault.requestWithdrawal, (5 ether)));
        vm.warp(block.timestamp + WITHDRAW_DELAY);
        bytes memory again = abi.encodeCall(vault.withdraw, (address(account)));
        account.prepare(address(vault), again);
        account.execute(address(vault), 0, again);
        vm.assertTrue(account.entered() && !account.succeeded(), "re-entered");
        vm.assertEq(address(account).balance, 5 ether);
        vm.assertEq(address(vault).balance, 5 ether);
    }

    function test_refusedWithdrawalChangesNothing() public {
        _deposit(alice, 1 ether);
        _request(alice, 1 ether);
        vm.warp(block.timestamp + WITHDRAW_DELAY);
        address refuser = address(new Refuser());
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector);
        _withdraw(alice, refuser);
        vm.expectRevert(IInferenceVault.ZeroAddress.selector);
        _withdraw(alice, address(0));
        _withdraw(alice, alice);
        vm.assertEq(vault.balanceOf(alice), 0);
    }

    function _request(address account, uint256 amount) private {
        vm.prank(account);
        vault.requestWithdrawal(amount);
    }

    function _withdraw(address account, address to) private {
        vm.prank(account);
        vault.withdraw(to);
    }
}
