// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parameters} from "../src/Parameters.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {Test} from "./Test.sol";

contract ParametersTest is Test {
    bytes32 private constant KEY = "settlement.window";

    function test_startsWithVersionOne() public view {
        (bytes32[] memory keys, uint256[] memory values) = parameters.all();
        vm.assertEq(keys.length, 40);
        vm.assertEq(parameters.get(KEY), WINDOW);
        vm.assertEq(parameters.paramsHash(), keccak256(abi.encode(keys, values)));
        vm.assertEq(parameters.version(), 1);
        vm.assertEq(parameters.ruleOf(KEY).min, 1);
        vm.assertEq(parameters.ruleOf(KEY).max, 1_209_600);
        vm.assertEq(parameters.indexOf(KEY), 0);
    }

    function test_setMovesValueHashAndVersion() public {
        bytes32 before = parameters.paramsHash();
        vm.warp(2_000_000);
        _setParameter(KEY, 7);
        (bytes32[] memory keys, uint256[] memory values) = parameters.all();
        vm.assertEq(parameters.get(KEY), 7);
        vm.assertEq(parameters.paramsHash(), keccak256(abi.encode(keys, values)));
        vm.assertEq(parameters.version(), 2);
        vm.warp(2_000_500);
        vm.assertEq(parameters.inForceUntil(before), 2_000_000);
        vm.assertEq(parameters.inForceUntil(parameters.paramsHash()), 2_000_500);
        vm.assertEq(parameters.valuesOf(before)[0], WINDOW);
    }

    function test_returningToEarlierValuesReturnsToTheirHash() public {
        bytes32 first = parameters.paramsHash();
        _setParameter(KEY, 7);
        vm.warp(3_000_000);
        _setParameter(KEY, WINDOW);
        vm.assertEq(parameters.paramsHash(), first);
        vm.assertEq(parameters.version(), 3);
        vm.assertEq(parameters.inForceUntil(first), 3_000_000);
    }

    function testFuzz_setHonoursBounds(uint256 value) public {
        vm.assume(value != WINDOW);
        bool within = value >= 1 && value <= 1_209_600;
        if (!within) {
            vm.expectRevert(
                abi.encodeWithSelector(IParameters.OutOfBounds.selector, KEY, value, 1, 1_209_600)
            );
        }
        _setParameter(KEY, value);
        vm.assertEq(parameters.get(KEY), within ? value : WINDOW);
    }

    function test_setRefuses() public {
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, address(this)));
        parameters.set(KEY, 7);
        vm.expectRevert(abi.encodeWithSelector(IParameters.Unchanged.selector, KEY, WINDOW));
        _setParameter(KEY, WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IParameters.UnknownParameter.selector, bytes32("x")));
        _setParameter("x", 7);
    }

    function test_splitsStayWithinTheWhole() public {
        _setParameter("split.stakers", 500_000);
        vm.expectRevert(
            abi.encodeWithSelector(IParameters.SplitExceedsWhole.selector, 1_000_001, 1_000_000)
        );
        _setParameter("split.model", 300_001);
        _setParameter("split.model", 300_000);
    }

    function test_unknownKeysAndVersionsRevert() public {
        vm.expectRevert(abi.encodeWithSelector(IParameters.UnknownParameter.selector, bytes32("x")));
        parameters.get("x");
        vm.expectRevert(abi.encodeWithSelector(IParameters.UnknownParameter.selector, bytes32("x")));
        parameters.ruleOf("x");
        vm.expectRevert(abi.encodeWithSelector(IParameters.UnknownVersion.selector, bytes32("x")));
        parameters.inForceUntil("x");
    }

    function test_governanceIsHandedOverInTwoSteps() public {
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, address(this)));
        parameters.proposeGovernance(alice);
        vm.prank(governance);
        parameters.proposeGovernance(alice);
        vm.assertEq(parameters.governance(), governance);
        vm.expectRevert(
            abi.encodeWithSelector(IParameters.NotProposedGovernance.selector, bob, alice)
        );
        vm.prank(bob);
        parameters.acceptGovernance();
        vm.prank(alice);
        parameters.acceptGovernance();
        vm.assertEq(parameters.governance(), alice);
        vm.assertEq(parameters.proposedGovernance(), address(0));
        // The whole system obeys the new one at once.
        vm.prank(alice);
        settlement.setSubmitter(bob, true);
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, governance));
        vm.prank(governance);
        settlement.setSubmitter(bob, false);
    }

    function test_withoutProposalNobodyBecomesGovernance() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IParameters.NotProposedGovernance.selector, address(this), address(0)
            )
        );
        parameters.acceptGovernance();
    }

    function test_changesWaitStepAndCoolDown() public {
        vm.warp(1_000_000);
        Parameters slow = _slow();
        bytes32 first = slow.paramsHash();
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(IParameters.StepTooLarge.selector, KEY, 11, 10));
        slow.set(KEY, 111);
        slow.set(KEY, 110);
        // 1,000,000 + 400, up to the next multiple of 300.
        vm.assertEq(slow.get(KEY), 100);
        vm.assertEq(slow.paramsHash(), first);
        (uint256 value, uint256 since) = slow.waiting(KEY);
        vm.assertEq(value, 110);
        vm.assertEq(since, 1_000_500);
        vm.expectRevert(abi.encodeWithSelector(IParameters.ChangeWaits.selector, KEY, since));
        slow.set(KEY, 105);
        vm.warp(1_000_500);
        vm.assertEq(slow.get(KEY), 110);
        vm.assertEq(slow.version(), 2);
        vm.assertEq(slow.inForceUntil(first), 1_000_500);
        vm.expectRevert(abi.encodeWithSelector(IParameters.CoolingDown.selector, KEY, 1_000_900));
        slow.set(KEY, 105);
        vm.warp(1_000_900);
        slow.set(KEY, 105);
        vm.stopPrank();
    }

    /// @dev A change that waits longer stays behind one that was made after it.
    function test_changesComeIntoForceInTheOrderOfTheirTimes() public {
        vm.warp(1_000_000);
        Parameters slow = _slow();
        vm.startPrank(governance);
        slow.set("late", 7);
        slow.set(KEY, 110);
        vm.stopPrank();
        vm.warp(1_000_500);
        (, uint256[] memory values) = slow.all();
        vm.assertEq(values[0], 110);
        vm.assertEq(values[1], 5);
        vm.warp(1_002_000);
        (, values) = slow.all();
        vm.assertEq(values[0], 110);
        vm.assertEq(values[1], 7);
        vm.assertEq(slow.get("late"), 7);
        vm.assertEq(slow.version(), 3);
    }

    function test_changesOfOneMomentAreOneVersion() public {
        vm.warp(1_000_000);
        Parameters slow = _slow();
        vm.startPrank(governance);
        slow.set(KEY, 110);
        slow.set("other", 4);
        vm.stopPrank();
        vm.warp(1_000_500);
        vm.assertEq(slow.version(), 2);
        vm.assertEq(slow.get(KEY), 110);
        vm.assertEq(slow.get("other"), 4);
        (bytes32[] memory keys, uint256[] memory values) = slow.all();
        vm.assertEq(slow.paramsHash(), keccak256(abi.encode(keys, values)));
    }

    function test_constructionRefuses() public {
        (bytes32[] memory keys, uint256[] memory one, IParameters.Rule[] memory rules) = _ones(2);
        vm.expectRevert(IParameters.ZeroGovernance.selector);
        new Parameters(address(0), 1, keys, one, rules);
        vm.expectRevert(IParameters.ZeroBoundary.selector);
        new Parameters(alice, 0, keys, one, rules);
        vm.expectRevert(IParameters.LengthMismatch.selector);
        new Parameters(alice, 1, keys, new uint256[](1), rules);
        rules[1].min = 2;
        vm.expectRevert(abi.encodeWithSelector(IParameters.BadBounds.selector, keys[1], 2, 1));
        new Parameters(alice, 1, keys, one, rules);
        rules[1].min = 1;
        vm.expectRevert(abi.encodeWithSelector(IParameters.OutOfBounds.selector, keys[0], 0, 1, 1));
        new Parameters(alice, 1, keys, new uint256[](2), rules);
        keys[1] = keys[0];
        vm.expectRevert(abi.encodeWithSelector(IParameters.DuplicateParameter.selector, keys[0]));
        new Parameters(alice, 1, keys, one, rules);
    }

    function _slow() private returns (Parameters) {
        (bytes32[] memory keys, uint256[] memory values, IParameters.Rule[] memory rules) = _ones(3);
        (keys[0], keys[1], keys[2]) = (KEY, "late", "other");
        (values[0], values[1], values[2]) = (100, 5, 3);
        rules[0] = IParameters.Rule(0, 1_000, 10, 900, 400);
        rules[1] = IParameters.Rule(0, 1_000, 10, 900, 1_900);
        rules[2] = IParameters.Rule(0, 1_000, 10, 900, 500);
        return new Parameters(governance, 300, keys, values, rules);
    }

    function _ones(uint256 count)
        private
        pure
        returns (bytes32[] memory keys, uint256[] memory values, IParameters.Rule[] memory rules)
    {
        keys = new bytes32[](count);
        values = new uint256[](count);
        rules = new IParameters.Rule[](count);
        for (uint256 i = 0; i < count; ++i) {
            (keys[i], values[i]) = (bytes32(i + 1), 1);
            rules[i] = IParameters.Rule(1, 1, 1, 0, 0);
        }
    }
}
