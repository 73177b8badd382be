// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {VotingOpen} from "../src/VotingOpen.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {IVotingOpen} from "../src/interfaces/IVotingOpen.sol";
import {Refuser} from "./Receivers.sol";
import {Test} from "./Test.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

contract VotingOpenTest is Test {
    VotingOpen private voting;
    address private immutable stakes = _actor("staking");

    function setUp() public override {
        super.setUp();
        voting = new VotingOpen(parameters);
        vm.prank(governance);
        voting.setStaking(stakes);
    }

    function test_wrapsAndUnwrapsOneToOne() public {
        vm.prank(alice);
        voting.deposit{value: 3 ether}();
        vm.prank(alice);
        (bool ok,) = address(voting).call{value: 1 ether}("");
        vm.assertTrue(ok, "receive");
        vm.assertEq(voting.balanceOf(alice), 4 ether);
        vm.assertEq(address(voting).balance, 4 ether);
        uint256 before = bob.balance;
        vm.prank(alice);
        voting.withdraw(1 ether, bob);
        vm.assertEq(bob.balance, before + 1 ether);
        vm.assertEq(voting.totalSupply(), 3 ether);
    }

    function test_votesWithoutDelegating() public {
        vm.prank(alice);
        voting.deposit{value: 3 ether}();
        _stake(alice, 5 ether);
        vm.assertEq(voting.getVotes(alice), 8 ether);
        vm.assertEq(voting.delegates(alice), alice);
        vm.assertEq(voting.stakeOf(alice), 5 ether);
        vm.assertEq(voting.balanceOf(alice), 3 ether);
    }

    function test_stakeFollowsTheDelegation() public {
        vm.prank(alice);
        voting.deposit{value: 3 ether}();
        vm.prank(alice);
        voting.delegate(bob);
        _stake(alice, 5 ether);
        vm.assertEq(voting.getVotes(bob), 8 ether);
        vm.assertEq(voting.getVotes(alice), 0);
        _stake(alice, 1 ether);
        vm.assertEq(voting.getVotes(bob), 4 ether);
        vm.prank(alice);
        voting.delegate(address(0)); // nobody is oneself
        vm.assertEq(voting.getVotes(alice), 4 ether);
        vm.assertEq(voting.getVotes(bob), 0);
    }

    function test_stakeVotesButCannotBeTransferred() public {
        _stake(alice, 5 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, alice, 0, 1 ether
            )
        );
        vm.prank(alice);
        voting.transfer(bob, 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, alice, 0, 1 ether
            )
        );
        vm.prank(alice);
        voting.withdraw(1 ether, alice);
    }

    function test_tellingAStakeTwiceCountsOnce() public {
        _stake(alice, 5 ether);
        _stake(alice, 5 ether);
        vm.assertEq(voting.getVotes(alice), 5 ether);
        _stake(alice, 0);
        vm.assertEq(voting.getVotes(alice), 0);
    }

    function test_pastVotesAreByTime() public {
        vm.assertEq(voting.clock(), block.timestamp);
        vm.assertEq(keccak256(bytes(voting.CLOCK_MODE())), keccak256("mode=timestamp"));
        _stake(alice, 5 ether);
        vm.warp(block.timestamp + 10);
        _stake(alice, 2 ether);
        vm.warp(block.timestamp + 10);
        vm.assertEq(voting.getPastVotes(alice, block.timestamp - 20), 5 ether);
        vm.assertEq(voting.getPastVotes(alice, block.timestamp - 10), 2 ether);
        vm.assertEq(voting.getPastTotalSupply(block.timestamp - 11), 5 ether);
    }

    function test_refuses() public {
        vm.expectRevert(IVotingOpen.ZeroAmount.selector);
        voting.deposit();
        vm.expectRevert(IVotingOpen.ZeroAmount.selector);
        voting.withdraw(0, alice);
        vm.expectRevert(IVotingOpen.ZeroAddress.selector);
        voting.withdraw(1, address(0));
        vm.expectRevert(abi.encodeWithSelector(IVotingOpen.NotStaking.selector, alice));
        vm.prank(alice);
        voting.stakeChanged(alice, 1 ether);
        voting.deposit{value: 1 ether}();
        Refuser refuser = new Refuser();
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector);
        voting.withdraw(1 ether, address(refuser));
        vm.assertEq(voting.balanceOf(address(this)), 1 ether);
    }

    function test_stakingIsNamedOnceByGovernance() public {
        vm.expectRevert(abi.encodeWithSelector(IVotingOpen.StakingAlreadySet.selector, stakes));
        vm.prank(governance);
        voting.setStaking(bob);
        VotingOpen fresh = new VotingOpen(parameters);
        vm.expectRevert(abi.encodeWithSelector(IParameters.NotGovernance.selector, bob));
        vm.prank(bob);
        fresh.setStaking(bob);
        vm.expectRevert(IVotingOpen.ZeroAddress.selector);
        vm.prank(governance);
        fresh.setStaking(address(0));
    }

    function _stake(address account, uint256 amount) private {
        vm.prank(stakes);
        voting.stakeChanged(account, amount);
    }
}

/// @notice Random wrapping, staking, transferring and delegating by a few accounts.
contract VotingHandler is Test {
    uint256 public constant VOTERS = 4;

    VotingOpen private immutable VOTING;
    uint256 public staked;
    mapping(address account => uint256) public stakeOf;

    constructor(VotingOpen voting) {
        VOTING = voting;
    }

    function setUp() public override {}

    function voter(uint256 i) public pure returns (address) {
        return address(uint160(0xC000 + i % VOTERS));
    }

    function wrap(uint256 who, uint256 amount) external {
        amount = _bound(amount, 1, 1e6 ether);
        vm.deal(voter(who), amount);
        vm.prank(voter(who));
        VOTING.deposit{value: amount}();
    }

    function unwrap(uint256 who, uint256 amount) external {
        uint256 balance = VOTING.balanceOf(voter(who));
        if (balance == 0) return;
        vm.prank(voter(who));
        VOTING.withdraw(_bound(amount, 1, balance), voter(who));
    }

    function stake(uint256 who, uint256 amount) external {
        amount = _bound(amount, 0, 1e9 ether);
        staked = staked - stakeOf[voter(who)] + amount;
        stakeOf[voter(who)] = amount;
        vm.prank(VOTING.staking());
        VOTING.stakeChanged(voter(who), amount);
    }

    function transfer(uint256 who, uint256 to, uint256 amount) external {
        amount = _bound(amount, 0, VOTING.balanceOf(voter(who)));
        vm.prank(voter(who));
        VOTING.transfer(voter(to), amount);
    }

    function delegate(uint256 who, uint256 to) external {
        vm.prank(voter(who));
        VOTING.delegate(to % 3 == 0 ? address(0) : voter(to));
    }
}

/// @notice Votes equal wrapped plus staked, whatever happens.
contract VotingOpenInvariants is Test {
    VotingOpen private voting;
    VotingHandler private handler;

    function setUp() public override {
        super.setUp();
        voting = new VotingOpen(parameters);
        vm.prank(governance);
        voting.setStaking(address(0x57a4e));
        handler = new VotingHandler(voting);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_everyWrappedWeiIsHeld() public view {
        vm.assertEq(address(voting).balance, voting.totalSupply(), "wrapped");
    }

    function invariant_votesAreWrappedPlusStaked() public {
        uint256 sum = 0;
        for (uint256 i = 0; i < handler.VOTERS(); ++i) {
            address account = handler.voter(i);
            sum += voting.getVotes(account);
            vm.assertEq(voting.stakeOf(account), handler.stakeOf(account), "stake");
        }
        vm.assertEq(sum, voting.totalSupply() + handler.staked(), "votes");
        vm.warp(block.timestamp + 1);
        vm.assertEq(voting.getPastTotalSupply(block.timestamp - 1), sum, "past votes");
    }
}
