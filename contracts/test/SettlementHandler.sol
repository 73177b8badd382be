// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttributionSettlement} from "../src/AttributionSettlement.sol";
import {EpochChallenges} from "../src/EpochChallenges.sol";
import {InferenceVault} from "../src/InferenceVault.sol";
import {Parameters} from "../src/Parameters.sol";
import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {IEpochChallenges, Payout} from "../src/interfaces/IEpochChallenges.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {ISubmitters} from "../src/interfaces/ISubmitters.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Test} from "./Test.sol";

/// @notice Random but valid use of vault, settlement and demands: a call that cannot be valid now
/// does nothing, every other one must succeed. Only claims against a dishonest root may be refused.
contract SettlementHandler is Test {
    uint256 public constant PAYERS = 3;
    uint256 public constant EARNERS = 5;

    address private immutable CHIEF;
    address private immutable STAKER;
    bool private immutable HONEST;
    address private immutable TESTER = msg.sender;

    uint256 public deposited;
    uint256 public withdrawn;
    uint64 public highestEpoch;
    mapping(uint64 epoch => uint256[EARNERS]) private _cumulative;
    mapping(uint64 epoch => Draw[]) private _drawn;
    bytes32[] private _demands;

    constructor(
        Parameters parameters_,
        InferenceVault vault_,
        AttributionSettlement settlement_,
        EpochChallenges epochChallenges_,
        address chief,
        address staker,
        bool honest
    ) {
        (parameters, vault, settlement) = (parameters_, vault_, settlement_);
        epochChallenges = epochChallenges_;
        (CHIEF, STAKER, HONEST) = (chief, staker, honest);
        payouts = uint32(EARNERS);
    }

    /// @dev The handler uses a system that exists.
    function setUp() public override {}

    function payer(uint256 i) public pure returns (address) {
        return address(uint160(0xA000 + i));
    }

    function earner(uint256 i) public pure returns (address) {
        return address(uint160(0xB000 + i));
    }

    function demands() external view returns (bytes32[] memory) {
        return _demands;
    }

    function deposit(uint256 who, uint256 amount) external {
        amount = _bound(amount, 1, 100 ether);
        deposited += amount;
        vm.deal(address(this), amount);
        vault.deposit{value: amount}(payer(who % PAYERS));
    }

    function requestWithdrawal(uint256 who, uint256 amount) external {
        address account = payer(who % PAYERS);
        amount = _bound(amount, 0, vault.balanceOf(account));
        vm.prank(account);
        vault.requestWithdrawal(amount);
    }

    function withdraw(uint256 who) external {
        address account = payer(who % PAYERS);
        (uint256 amount, uint256 availableAt) = vault.pendingWithdrawal(account);
        if (amount == 0 || vault.balanceOf(account) == 0) return;
        if (block.timestamp < availableAt) vm.warp(availableAt);
        uint256 before = account.balance;
        vm.prank(account);
        vault.withdraw(account);
        withdrawn += account.balance - before;
    }

    function submit(uint256 seed) public {
        uint64 last = settlement.lastEpoch();
        uint64 number = last + 1;
        if (settlement.statusOf(number) == IAttributionSettlement.Status.Disabled) return;
        _standUp();

        uint256 total = _draw(seed, number);
        _cumulative[number] = _cumulative[last];
        uint256 left = total;
        for (uint256 i = 0; i < EARNERS; ++i) {
            uint256 share = _random(seed, 10 + i) % (left + 1);
            if (i == EARNERS - 1) share = left;
            left -= share;
            _cumulative[number][i] += share;
        }
        if (!HONEST) {
            uint256 wrong = _random(seed, 20) % EARNERS;
            _cumulative[number][wrong] = _random(seed, 21) % (2 * total + 2 ether);
        }
        if (number > highestEpoch) highestEpoch = number;

        IAttributionSettlement.Submission memory submission =
            _submission(total, _root(_leaves(number)));
        vm.prank(STAKER);
        settlement.submitEpoch(submission, _drawn[number]);
    }

    /// @dev The later of two epochs may have the shorter window.
    function submitAroundAChange(uint256 seed, uint256 window) external {
        submit(seed);
        setWindow(window);
        submit(seed >> 1);
    }

    function claim(uint256 who, uint256 when) external {
        uint64 active = settlement.latestActive();
        if (active == 0) return;
        _claim(who % EARNERS, uint64(1 + when % active));
    }

    function disable(uint256 which) external {
        uint64 number = _pending(which);
        if (number == 0) return;
        vm.prank(CHIEF);
        settlement.disable(number);
        _assertDisabled(number);
    }

    /// @dev A receipt, that nobody here can open, or a payout.
    function demand(uint256 which, uint256 index) external {
        uint64 number = _pending(which);
        if (number == 0) return;
        IAttributionSettlement.Epoch memory epoch = settlement.epochs(number);
        if (block.timestamp + 2 * ANSWER_TIME > epoch.activeAt) return;
        IEpochChallenges.Kind kind =
            index % 3 == 0 ? IEpochChallenges.Kind.Receipt : IEpochChallenges.Kind.Payout;
        uint32 place = kind == IEpochChallenges.Kind.Receipt ? 0 : uint32(index % EARNERS);
        bytes32 id = keccak256(abi.encode(number, epoch.dataHash, kind, place, uint32(0)));
        if (epochChallenges.demandOf(id).challenger != address(0)) return;
        vm.deal(stranger, DEMAND_BOND);
        vm.prank(stranger);
        vm.assertEq(epochChallenges.demand{value: DEMAND_BOND}(number, kind, place, 0), id);
        _demands.push(id);
    }

    function answer(uint256 which) external {
        if (_demands.length == 0) return;
        bytes32 id = _demands[which % _demands.length];
        IEpochChallenges.Demand memory asked = epochChallenges.demandOf(id);
        if (asked.kind != IEpochChallenges.Kind.Payout || block.timestamp > asked.deadline) return;
        if (!_isPending(asked)) return;
        Payout memory payout = Payout(earner(asked.index), _cumulative[asked.epoch][asked.index]);
        bytes32[] memory proof = _proof(_leaves(asked.epoch), asked.index);
        vm.prank(operator);
        epochChallenges.answerPayout(id, payout, proof);
    }

    /// @dev What was not answered disables its epoch, and takes the whole bond.
    function resolve(uint256 which) external {
        if (_demands.length == 0) return;
        bytes32 id = _demands[which % _demands.length];
        IEpochChallenges.Demand memory asked = epochChallenges.demandOf(id);
        if (asked.challenger == address(0)) return;
        if (!_isPending(asked)) {
            epochChallenges.reclaim(id);
        } else if (block.timestamp > asked.deadline) {
            uint256 atStake = settlement.submitterOf(STAKER).bond;
            uint256 before = settlement.owed(stranger) + settlement.owed(treasury);
            epochChallenges.resolve(id);
            vm.assertEq(
                settlement.owed(stranger) + settlement.owed(treasury), before + atStake, "owed"
            );
            vm.assertEq(settlement.submitterOf(STAKER).bond, 0, "bond");
            _assertDisabled(asked.epoch);
        }
    }

    function withdrawOwed(uint256 who) external {
        address account = who % 3 == 0 ? operator : who % 3 == 1 ? stranger : treasury;
        if (settlement.owed(account) != 0) {
            vm.prank(account);
            settlement.withdrawOwed(account);
        }
        if (epochChallenges.owed(account) != 0) {
            vm.prank(account);
            epochChallenges.withdrawOwed(account);
        }
    }

    function refund(uint256 which) external {
        uint64 number = uint64(_bound(which, 0, 3)) + settlement.lastEpoch() + 1;
        _refund(number);
    }

    function setWindow(uint256 window) public {
        window = _bound(window, 1, 4 * WINDOW);
        if (parameters.get("settlement.window") == window) return;
        vm.prank(CHIEF);
        parameters.set("settlement.window", window);
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, 2 * WINDOW));
    }

    function bond(uint256 amount) external {
        if (settlement.submitterOf(STAKER).unbondableAt != 0) return;
        amount = _bound(amount, 1, BOND);
        vm.deal(STAKER, amount);
        vm.prank(STAKER);
        settlement.bond{value: amount}(STAKER);
    }

    function unbond(bool cancel) external {
        ISubmitters.Submitter memory staker = settlement.submitterOf(STAKER);
        if (staker.bond == 0) return;
        vm.prank(STAKER);
        if (staker.unbondableAt == 0) {
            settlement.requestUnbond();
        } else if (cancel || block.timestamp < staker.unbondableAt) {
            settlement.cancelUnbond();
        } else {
            settlement.unbond(STAKER);
        }
    }

    /// @notice Lets everything become active, refunds what is disabled, pays everybody; not at
    /// random.
    function finish() external {
        if (msg.sender != TESTER) return;
        vm.warp(block.timestamp + 10 * WINDOW);
        for (uint64 n = settlement.lastEpoch() + 1; n <= highestEpoch; ++n) {
            _refund(n);
        }
        uint64 active = settlement.latestActive();
        for (uint256 i = 0; active != 0 && i < EARNERS; ++i) {
            _claim(i, active);
        }
    }

    /// @dev Makes the submitter able to submit: slashed bonds come back, unbonding ends.
    function _standUp() private {
        ISubmitters.Submitter memory staker = settlement.submitterOf(STAKER);
        if (staker.unbondableAt != 0) {
            vm.prank(STAKER);
            settlement.cancelUnbond();
        }
        if (staker.bond >= BOND) return;
        vm.deal(STAKER, BOND);
        vm.prank(STAKER);
        settlement.bond{value: BOND}(STAKER);
    }

    function _draw(uint256 seed, uint64 number) private returns (uint256 total) {
        delete _drawn[number];
        for (uint256 i = 0; i < PAYERS; ++i) {
            uint256 amount = _random(seed, i) % (vault.balanceOf(payer(i)) + 1);
            if (amount == 0) continue;
            _drawn[number].push(Draw(payer(i), amount));
            total += amount;
        }
    }

    /// @dev With every later one.
    function _assertDisabled(uint64 number) private view {
        vm.assertEq(settlement.lastEpoch(), number - 1);
        vm.assertEq(
            uint256(settlement.statusOf(number)), uint256(IAttributionSettlement.Status.Disabled)
        );
    }

    /// @dev Whether the epoch that a demand is about is pending, with the content it had.
    function _isPending(IEpochChallenges.Demand memory asked) private view returns (bool) {
        return settlement.statusOf(asked.epoch) == IAttributionSettlement.Status.Pending
            && settlement.epochs(asked.epoch).dataHash == asked.dataHash;
    }

    function _refund(uint64 number) private {
        if (settlement.statusOf(number) != IAttributionSettlement.Status.Disabled) return;
        settlement.refund(number, _drawn[number]);
    }

    function _claim(uint256 i, uint64 epoch) private {
        uint256 cumulative = _cumulative[epoch][i];
        if (cumulative <= settlement.claimed(earner(i))) return;
        bytes32[] memory proof = _proof(_leaves(epoch), i);
        if (HONEST) {
            settlement.claim(earner(i), cumulative, epoch, i, proof);
            return;
        }
        try settlement.claim(earner(i), cumulative, epoch, i, proof) {}
        catch (bytes memory reason) {
            vm.assertEq(
                bytes32(bytes4(reason)), bytes32(IAttributionSettlement.ExceedsTotal.selector)
            );
        }
    }

    function _leaves(uint64 epoch) private view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](EARNERS);
        for (uint256 i = 0; i < EARNERS; ++i) {
            leaves[i] = Leaf.payout(earner(i), _cumulative[epoch][i]);
        }
    }

    function _random(uint256 seed, uint256 salt) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, salt)));
    }
}
