// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttributionSettlement} from "../src/AttributionSettlement.sol";
import {InferenceVault} from "../src/InferenceVault.sol";
import {Parameters} from "../src/Parameters.sol";
import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {ISubmitters} from "../src/interfaces/ISubmitters.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Test} from "./Test.sol";

/// @notice Random but valid use of vault and settlement: a call that cannot be valid now does
/// nothing, every other one must succeed. Only claims against a dishonest root may be refused.
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

    constructor(
        Parameters parameters_,
        InferenceVault vault_,
        AttributionSettlement settlement_,
        address chief,
        address staker,
        bool honest
    ) {
        (parameters, vault, settlement) = (parameters_, vault_, settlement_);
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

    function submit(uint256 seed) external {
        ISubmitters.Submitter memory staker = settlement.submitterOf(STAKER);
        if (staker.bond < parameters.get("settlement.bond") || staker.unbondableAt != 0) return;
        uint64 last = settlement.lastEpoch();
        uint64 number = last + 1;
        if (settlement.statusOf(number) == IAttributionSettlement.Status.Disabled) return;

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

    function claim(uint256 who, uint256 when) external {
        uint64 active = settlement.latestActive();
        if (active == 0) return;
        _claim(who % EARNERS, uint64(1 + when % active));
    }

    function disable(uint256 which) external {
        uint64 active = settlement.latestActive();
        uint64 last = settlement.lastEpoch();
        if (active == last) return;
        vm.prank(CHIEF);
        settlement.disable(uint64(_bound(which, active + 1, last)));
    }

    function refund(uint256 which) external {
        uint64 number = uint64(_bound(which, 0, 3)) + settlement.lastEpoch() + 1;
        _refund(number);
    }

    function setWindow(uint256 window) external {
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

    function _draw(uint256 seed, uint64 number) private returns (uint256 total) {
        delete _drawn[number];
        for (uint256 i = 0; i < PAYERS; ++i) {
            uint256 amount = _random(seed, i) % (vault.balanceOf(payer(i)) + 1);
            if (amount == 0) continue;
            _drawn[number].push(Draw(payer(i), amount));
            total += amount;
        }
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
