// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OpenTimelock} from "../src/OpenTimelock.sol";
import {IOpenGovernor} from "../src/interfaces/IOpenGovernor.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {Test} from "./Test.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

/// @notice What the tests call on the governor. It is deployed by its artifact: a test that
/// imported it would be compiled for size, as it is.
interface Governor is IOpenGovernor, IGovernor {
    function queue(uint256 proposalId) external;
    function execute(uint256 proposalId) external payable;
    function cancel(uint256 proposalId) external;
    function relay(address target, uint256 value, bytes calldata data) external payable;
    function setVotingDelay(uint48 delay) external;
    function proposalVotes(uint256 proposalId) external view returns (uint256, uint256, uint256);
}

contract GovernanceTest is Test {
    uint48 private constant VOTING_DELAY = 10;
    uint32 private constant VOTING_PERIOD = 100;
    uint48 private constant LATE = 40;
    uint256 private constant TIMELOCK_DELAY = 50;
    uint256 private constant THRESHOLD = 100 ether;
    uint256 private constant MINIMUM = 10_000 ether;
    uint256 private constant BOUNDARY = 3_600;
    uint8 private constant AGAINST = 0;
    uint8 private constant FOR = 1;

    OpenTimelock private timelock;
    Governor private governor;
    address[] private targets;
    uint256[] private values;
    bytes[] private calldatas;

    function setUp() public override {
        boundary = BOUNDARY;
        super.setUp();
        address expected = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        timelock = new OpenTimelock(TIMELOCK_DELAY, expected, parameters);
        address[] memory allowed = new address[](2);
        (allowed[0], allowed[1]) = (address(parameters), address(settlement));
        governor = Governor(
            vm.deployCode(
                "OpenGovernor.sol:OpenGovernor",
                abi.encode(
                    votes,
                    timelock,
                    IOpenGovernor.Settings({
                        votingDelay: VOTING_DELAY,
                        votingPeriod: VOTING_PERIOD,
                        lateQuorumExtension: LATE,
                        proposalThreshold: THRESHOLD,
                        quorumPercent: 10,
                        minimumSupply: MINIMUM
                    }),
                    allowed
                )
            )
        );
        vm.assertEq(address(governor), expected);
        vm.prank(governance);
        parameters.proposeGovernance(address(timelock));
        timelock.acceptGovernance();
        targets = [address(parameters)];
        values = [0];
        calldatas = [abi.encodeCall(IParameters.set, ("settlement.window", 77))];
    }

    function test_nobodyButTheTimelockGoverns() public {
        vm.assertEq(parameters.governance(), address(timelock));
        for (uint256 i = 0; i < 2; ++i) {
            address former = i == 0 ? governance : address(governor);
            vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, former));
            vm.prank(former);
            parameters.set("settlement.window", 77);
        }
        bytes32 admin = timelock.DEFAULT_ADMIN_ROLE();
        vm.assertTrue(timelock.hasRole(admin, address(timelock)), "its own administrator");
        vm.assertEq(timelock.hasRole(admin, address(this)), false);
        bytes32 proposer = timelock.PROPOSER_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), proposer
            )
        );
        timelock.schedule(targets[0], 0, calldatas[0], 0, 0, TIMELOCK_DELAY);
        // Once accepted, there is nothing to accept.
        vm.expectRevert(
            abi.encodeWithSelector(
                IParameters.NotProposedGovernance.selector, address(timelock), address(0)
            )
        );
        timelock.acceptGovernance();
    }

    /// @dev From stake alone to a changed parameter: proposed, voted, queued, executed, and in
    /// force from the next boundary on.
    function test_stakedOpenChangesAParameterAtABoundary() public {
        vm.prank(alice);
        staking.stake{value: MINIMUM}(alice);
        vm.warp(block.timestamp + 1);
        vm.assertEq(votes.balanceOf(alice), 0);
        uint256 id = _propose(alice);
        _vote(id, alice);
        (uint256 against, uint256 inFavour, uint256 abstained) = governor.proposalVotes(id);
        vm.assertEq(inFavour, MINIMUM);
        vm.assertEq(against + abstained, 0);
        // Stake that came after the proposal has no say in it.
        vm.prank(bob);
        staking.stake{value: 3 * MINIMUM}(bob);
        vm.prank(bob);
        governor.castVote(id, AGAINST);
        _past(id);
        governor.queue(id);
        vm.expectRevert();
        governor.execute(id); // still in the timelock
        vm.warp(block.timestamp + TIMELOCK_DELAY);
        bytes32 former = parameters.paramsHash();
        governor.execute(id);
        vm.assertEq(uint256(governor.state(id)), uint256(IGovernor.ProposalState.Executed));

        uint256 next = (block.timestamp + BOUNDARY - 1) / BOUNDARY * BOUNDARY;
        vm.warp(next - 1);
        vm.assertEq(parameters.get("settlement.window"), WINDOW);
        vm.assertEq(parameters.paramsHash(), former);
        (uint256 value, uint256 since) = parameters.waiting("settlement.window");
        vm.assertEq(value, 77);
        vm.assertEq(since, next);
        vm.warp(next);
        vm.assertEq(parameters.get("settlement.window"), 77);
        vm.assertEq(parameters.inForceUntil(former), next);
        // An epoch that is settled under it waits as long.
        _deposit(operator, 1 ether);
        _submit(operator, 1 ether, "root");
        vm.assertEq(settlement.epochs(1).activeAt, next + 77);
        vm.assertEq(settlement.epochs(1).paramsHash, parameters.paramsHash());
    }

    function test_proposalsNeedEnoughSupply() public {
        _wrap(alice, MINIMUM - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IOpenGovernor.SupplyBelowMinimum.selector, MINIMUM - 1, MINIMUM)
        );
        _propose(alice);
        // Wrapped in the same second it does not count yet.
        vm.prank(alice);
        votes.deposit{value: 1}();
        vm.expectRevert(
            abi.encodeWithSelector(IOpenGovernor.SupplyBelowMinimum.selector, MINIMUM - 1, MINIMUM)
        );
        _propose(alice);
        vm.warp(block.timestamp + 1);
        _propose(alice);
    }

    function test_unwrappingAfterTheProposalLeavesTheQuorum() public {
        _wrap(alice, MINIMUM);
        uint256 id = _propose(alice);
        vm.prank(alice);
        votes.withdraw(MINIMUM - THRESHOLD, alice);
        _vote(id, alice); // all votes there are
        _past(id);
        vm.assertEq(governor.quorum(governor.proposalSnapshot(id)), MINIMUM / 10);
        vm.assertEq(uint256(governor.state(id)), uint256(IGovernor.ProposalState.Defeated));
    }

    function test_proposersNeedVotes() public {
        vm.assertEq(governor.proposalThreshold(), THRESHOLD);
        _wrap(alice, MINIMUM);
        _wrap(bob, THRESHOLD - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorInsufficientProposerVotes.selector, bob, THRESHOLD - 1, THRESHOLD
            )
        );
        _propose(bob);
    }

    function test_aLateQuorumKeepsTheVoteOpen() public {
        _wrap(alice, MINIMUM);
        uint256 id = _propose(alice);
        uint256 deadline = governor.proposalDeadline(id);
        vm.warp(deadline - 1);
        vm.prank(alice);
        governor.castVote(id, FOR);
        vm.assertEq(governor.proposalDeadline(id), deadline - 1 + LATE);
    }

    function test_onlyListedTargets() public {
        _wrap(alice, MINIMUM);
        targets = [address(timelock)];
        vm.expectRevert(
            abi.encodeWithSelector(IOpenGovernor.TargetNotAllowed.selector, address(timelock))
        );
        _propose(alice);
    }

    function test_aTargetTakenOffTheListStopsWhatIsUnderWay() public {
        _wrap(alice, MINIMUM);
        uint256 set = _propose(alice);
        bytes memory delist = abi.encodeCall(IOpenGovernor.setTarget, (targets[0], false));
        (targets, calldatas) = (_one(address(governor)), _one(delist));
        uint256 off = _propose(alice);
        _vote(set, alice);
        vm.prank(alice);
        governor.castVote(off, FOR);
        _past(off);
        governor.queue(set);
        governor.queue(off);
        vm.warp(block.timestamp + TIMELOCK_DELAY);
        governor.execute(off);
        vm.assertEq(governor.isTarget(address(parameters)), false);
        vm.expectRevert(
            abi.encodeWithSelector(IOpenGovernor.TargetNotAllowed.selector, address(parameters))
        );
        governor.execute(set);
    }

    function test_governsItself() public {
        _wrap(alice, MINIMUM);
        targets = [address(governor), address(governor)];
        values = [0, 0];
        calldatas = [
            abi.encodeCall(IOpenGovernor.setMinimumSupply, (1 ether)),
            abi.encodeCall(Governor.setVotingDelay, (3))
        ];
        uint256 id = _propose(alice);
        _vote(id, alice);
        _past(id);
        governor.queue(id);
        vm.warp(block.timestamp + TIMELOCK_DELAY);
        governor.execute(id);
        vm.assertEq(governor.minimumSupply(), 1 ether);
        vm.assertEq(governor.votingDelay(), 3);
        bytes memory refusal =
            abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, address(this));
        vm.expectRevert(refusal);
        governor.setMinimumSupply(1);
        vm.expectRevert(refusal);
        governor.setTarget(address(this), true);
    }

    function test_neverRelays() public {
        vm.expectRevert(IOpenGovernor.RelayDisabled.selector);
        governor.relay(address(timelock), 0, "");
    }

    function test_proposersCancelBeforeTheVote() public {
        _wrap(alice, MINIMUM);
        uint256 id = _propose(alice);
        vm.prank(alice);
        governor.cancel(id);
        vm.assertEq(uint256(governor.state(id)), uint256(IGovernor.ProposalState.Canceled));
        vm.assertTrue(governor.proposalNeedsQueuing(id), "all are queued");
    }

    function _wrap(address account, uint256 amount) private {
        vm.prank(account);
        votes.deposit{value: amount}();
        vm.warp(block.timestamp + 1);
    }

    function _propose(address proposer) private returns (uint256) {
        vm.prank(proposer);
        return governor.propose(targets, values, calldatas, "a change");
    }

    function _vote(uint256 id, address voter) private {
        vm.warp(governor.proposalSnapshot(id) + 1);
        vm.prank(voter);
        governor.castVote(id, FOR);
    }

    function _past(uint256 id) private {
        vm.warp(governor.proposalDeadline(id) + 1);
    }

    function _one(address target) private pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = target;
    }

    function _one(bytes memory data) private pure returns (bytes[] memory list) {
        list = new bytes[](1);
        list[0] = data;
    }
}
