// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parameters} from "../src/Parameters.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {Test} from "./Test.sol";

contract ParametersTest is Test {
    bytes32 private constant KEY = "settlement.window";

    function test_startsWithVersionOne() public view {
        (bytes32[] memory keys, uint256[] memory values) = parameters.all();
        vm.assertEq(keys.length, 28);
        vm.assertEq(parameters.get(KEY), WINDOW);
        vm.assertEq(parameters.paramsHash(), keccak256(abi.encode(keys, values)));
        vm.assertEq(parameters.version(), 1);
        (uint256 min, uint256 max) = parameters.boundsOf(KEY);
        vm.assertEq(min, 1);
        vm.assertEq(max, 1_209_600);
    }

    function test_setMovesValueHashAndVersion() public {
        bytes32 before = parameters.paramsHash();
        vm.warp(2_000_000);
        _setParameter(KEY, 7);
        (bytes32[] memory keys, uint256[] memory values) = parameters.all();
        vm.assertEq(parameters.get(KEY), 7);
        vm.assertEq(parameters.paramsHash(), keccak256(abi.encode(keys, values)));
        vm.assertEq(parameters.version(), 2);
        vm.assertEq(parameters.versionOf(before).until, 2_000_000);
        vm.assertEq(parameters.versionOf(parameters.paramsHash()).since, 2_000_000);
        vm.assertEq(parameters.versionOf(parameters.paramsHash()).until, 0);
    }

    function test_returningToEarlierValuesReturnsToTheirHash() public {
        bytes32 first = parameters.paramsHash();
        _setParameter(KEY, 7);
        vm.warp(3_000_000);
        _setParameter(KEY, WINDOW);
        vm.assertEq(parameters.paramsHash(), first);
        vm.assertEq(parameters.version(), 3);
        vm.assertEq(parameters.versionOf(first).since, 3_000_000);
        vm.assertEq(parameters.versionOf(first).until, 0);
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
        parameters.boundsOf("x");
        vm.expectRevert(abi.encodeWithSelector(IParameters.UnknownVersion.selector, bytes32("x")));
        parameters.versionOf("x");
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

    function test_constructionRefuses() public {
        (bytes32[] memory keys, uint256[] memory one) = (new bytes32[](2), new uint256[](2));
        (keys[0], keys[1], one[0], one[1]) = ("a", "b", 1, 1);
        vm.expectRevert(IParameters.ZeroGovernance.selector);
        new Parameters(address(0), keys, one, one, one);
        vm.expectRevert(IParameters.LengthMismatch.selector);
        new Parameters(alice, keys, new uint256[](1), one, one);
        vm.expectRevert(abi.encodeWithSelector(IParameters.BadBounds.selector, bytes32("a"), 1, 0));
        new Parameters(alice, keys, one, one, new uint256[](2));
        vm.expectRevert(
            abi.encodeWithSelector(IParameters.OutOfBounds.selector, bytes32("a"), 0, 1, 1)
        );
        new Parameters(alice, keys, new uint256[](2), one, one);
        keys[1] = "a";
        vm.expectRevert(
            abi.encodeWithSelector(IParameters.DuplicateParameter.selector, bytes32("a"))
        );
        new Parameters(alice, keys, one, one, one);
    }
}
