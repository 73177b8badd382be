// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {IDebts} from "../src/interfaces/IDebts.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {ISubmitters} from "../src/interfaces/ISubmitters.sol";
import {Reentrant} from "./Receivers.sol";
import {Test} from "./Test.sol";

/// @notice Submitters: permission and bond.
contract SubmittersTest is Test {
    function test_onlyAllowedAndBondedSubmit() public {
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, bob));
        vm.prank(bob);
        settlement.setSubmitter(bob, true);
        vm.prank(bob);
        settlement.bond{value: BOND}(bob);
        _refuse(bob, abi.encodeWithSelector(ISubmitters.NotSubmitter.selector, bob));
        vm.prank(governance);
        settlement.setSubmitter(bob, true);
        _setParameter("settlement.bond", BOND + 1);
        _refuse(bob, abi.encodeWithSelector(ISubmitters.BondTooLow.selector, bob, BOND, BOND + 1));
        vm.prank(alice);
        settlement.bond{value: 1}(bob);
        IAttributionSettlement.Submission memory submission = _submission(0, 0);
        vm.prank(bob);
        settlement.submitEpoch(submission, new Draw[](0));
        vm.assertEq(settlement.submitterOf(bob).lastActiveAt, block.timestamp + WINDOW);
        vm.prank(governance);
        settlement.setSubmitter(bob, false);
        _refuse(bob, abi.encodeWithSelector(ISubmitters.NotSubmitter.selector, bob));
    }

    function test_bondLeavesAfterTwiceTheWindow() public {
        vm.prank(submitter);
        settlement.requestUnbond();
        uint256 unbondableAt = block.timestamp + 2 * WINDOW;
        _refuse(
            submitter,
            abi.encodeWithSelector(ISubmitters.Unbonding.selector, submitter, unbondableAt)
        );
        vm.warp(unbondableAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ISubmitters.BondLocked.selector, submitter, unbondableAt)
        );
        _unbond(stranger);
        vm.warp(unbondableAt);
        uint256 before = stranger.balance;
        _unbond(stranger);
        vm.assertEq(stranger.balance, before + BOND);
        vm.assertEq(address(settlement).balance, 0);
        vm.expectRevert(abi.encodeWithSelector(ISubmitters.NotUnbonding.selector, submitter));
        _unbond(stranger);
        _refuse(
            submitter, abi.encodeWithSelector(ISubmitters.BondTooLow.selector, submitter, 0, BOND)
        );
    }

    function test_bondStaysUntilTheLastEpochIsActive() public {
        _submit(alice, 0, 0);
        uint256 activeAt = block.timestamp + WINDOW;
        _setParameter("settlement.window", 1);
        vm.prank(submitter);
        settlement.requestUnbond();
        vm.assertEq(settlement.submitterOf(submitter).unbondableAt, activeAt);
        vm.warp(activeAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ISubmitters.BondLocked.selector, submitter, activeAt)
        );
        _unbond(submitter);
        vm.warp(activeAt);
        _unbond(submitter);
    }

    function test_unbondingIsCancelledByTheSubmitterAlone() public {
        vm.prank(submitter);
        settlement.requestUnbond();
        uint256 unbondableAt = block.timestamp + 2 * WINDOW;
        vm.expectRevert(
            abi.encodeWithSelector(ISubmitters.Unbonding.selector, submitter, unbondableAt)
        );
        vm.prank(alice);
        settlement.bond{value: 1}(submitter);
        vm.expectRevert(
            abi.encodeWithSelector(ISubmitters.Unbonding.selector, submitter, unbondableAt)
        );
        vm.prank(submitter);
        settlement.requestUnbond();
        vm.expectRevert(abi.encodeWithSelector(ISubmitters.NotUnbonding.selector, alice));
        vm.prank(alice);
        settlement.cancelUnbond();
        vm.prank(submitter);
        settlement.cancelUnbond();
        vm.assertEq(_submit(alice, 0, 0), 1);
    }

    function test_bondRefusesNothing() public {
        vm.expectRevert(IDebts.ZeroAmount.selector);
        settlement.bond(submitter);
        vm.expectRevert(IDebts.ZeroAddress.selector);
        settlement.bond{value: 1}(address(0));
        vm.expectRevert(IDebts.ZeroAmount.selector);
        settlement.requestUnbond();
        vm.expectRevert(IDebts.ZeroAddress.selector);
        settlement.unbond(address(0));
    }

    function test_reentrantSubmitterGetsItsBondOnce() public {
        Reentrant staker = new Reentrant();
        settlement.bond{value: 2 ether}(address(staker));
        staker.execute(address(settlement), 0, abi.encodeCall(settlement.requestUnbond, ()));
        vm.warp(block.timestamp + 2 * WINDOW);
        bytes memory again = abi.encodeCall(settlement.unbond, (address(staker)));
        staker.prepare(address(settlement), again);
        staker.execute(address(settlement), 0, again);
        vm.assertTrue(staker.entered() && !staker.succeeded(), "re-entered");
        vm.assertEq(address(staker).balance, 2 ether);
        vm.assertEq(address(settlement).balance, BOND);
    }

    function _refuse(address caller, bytes memory reason) private {
        IAttributionSettlement.Submission memory submission = _submission(0, 0);
        vm.expectRevert(reason);
        vm.prank(caller);
        settlement.submitEpoch(submission, new Draw[](0));
    }

    function _unbond(address to) private {
        vm.prank(submitter);
        settlement.unbond(to);
    }
}
