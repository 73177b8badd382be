// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttributionSettlement} from "../src/AttributionSettlement.sol";
import {InferenceVault} from "../src/InferenceVault.sol";
import {Parameters} from "../src/Parameters.sol";
import {ValidatorStaking} from "../src/ValidatorStaking.sol";
import {VotingOpen} from "../src/VotingOpen.sol";
import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {IValidatorStaking} from "../src/interfaces/IValidatorStaking.sol";
import {Test} from "./Test.sol";

/// @notice Random but valid use of stake, votes and verdicts on epochs that come and go: a call
/// that cannot be valid now does nothing or must be refused for the reason it has, every other one
/// must succeed.
contract StakingHandler is Test {
    uint256 public constant VALIDATORS = 4;

    /// @dev What an approval must not let go before its epoch is active.
    struct Lock {
        address validator;
        uint64 epoch;
        bytes32 dataHash;
        uint256 weight;
        uint256 activeAt;
        uint256 slashedBefore;
    }

    /// @notice Wei that validators sent, and that were sent to anybody, in all.
    uint256 public sent;
    uint256 public received;
    mapping(address validator => uint256) public slashed;
    Lock[] private _locks;
    mapping(bytes32 content => mapping(address validator => uint256 count)) private _slashes;
    mapping(uint64 epoch => Draw[]) private _drawn;
    /// @dev Wei that the epoch's payouts root grants the staking contract, and bob, in all.
    mapping(uint64 epoch => uint256[2]) private _cumulative;

    constructor(
        Parameters parameters_,
        InferenceVault vault_,
        AttributionSettlement settlement_,
        ValidatorStaking staking_,
        VotingOpen votes_
    ) {
        (parameters, vault, settlement) = (parameters_, vault_, settlement_);
        (staking, votes) = (staking_, votes_);
        for (uint256 i = 0; i < VALIDATORS; ++i) {
            stake(i, i, 5 ether);
        }
        vm.warp(block.timestamp + WINDOW); // old enough to attest with
    }

    /// @dev The handler uses a system that exists.
    function setUp() public override {}

    function validator(uint256 i) public pure returns (address) {
        return address(uint160(0xE000 + i % VALIDATORS));
    }

    function locks() external view returns (Lock[] memory) {
        return _locks;
    }

    /* ------------------------------------- stake ------------------------------------ */

    function stake(uint256 who, uint256 forWhom, uint256 amount) public {
        amount = _bound(amount, 1, 20 ether);
        sent += amount;
        vm.deal(validator(who), amount);
        vm.prank(validator(who));
        staking.stake{value: amount}(validator(forWhom));
    }

    function requestLeave(uint256 who, uint256 amount) public {
        uint256 current = staking.validatorOf(validator(who)).stake;
        if (current == 0) return;
        vm.prank(validator(who));
        staking.requestLeave(amount == type(uint256).max ? current : _bound(amount, 1, current));
    }

    /// @dev Too early it must be refused, in time it must succeed.
    function withdraw(uint256 who) public {
        address account = validator(who);
        IValidatorStaking.Validator memory known = staking.validatorOf(account);
        if (known.leaving == 0) return;
        uint256 until = known.leavesAt > known.lockedUntil ? known.leavesAt : known.lockedUntil;
        if (block.timestamp < until) {
            vm.expectRevert(
                abi.encodeWithSelector(IValidatorStaking.StakeLocked.selector, account, until)
            );
        } else {
            received += known.leaving;
        }
        vm.prank(account);
        staking.withdraw(account);
    }

    function slash(uint256 who, uint256 amount, uint256 challenger, bool byReceipts) external {
        address account = validator(who);
        IValidatorStaking.Validator memory known = staking.validatorOf(account);
        uint256 all = uint256(known.stake) + known.leaving;
        amount = _bound(amount, 0, 2 * all);
        vm.prank(byReceipts ? settlement.RECEIPT_CHALLENGES() : settlement.EPOCH_CHALLENGES());
        uint256 taken = staking.slash(account, amount, validator(challenger));
        slashed[account] += taken;
        vm.assertEq(taken, amount < all ? amount : all, "slashed");
    }

    function withdrawOwed(uint256 who) external {
        address account = who % 5 == 4 ? treasury : validator(who);
        uint256 amount = staking.owed(account);
        if (amount == 0) return;
        received += amount;
        vm.prank(account);
        staking.withdrawOwed(account);
    }

    /* ------------------------------------- votes ------------------------------------ */

    function wrap(uint256 who, uint256 amount) external {
        amount = _bound(amount, 1, 20 ether);
        vm.deal(validator(who), amount);
        vm.prank(validator(who));
        votes.deposit{value: amount}();
    }

    function unwrap(uint256 who, uint256 amount) external {
        uint256 balance = votes.balanceOf(validator(who));
        if (balance == 0) return;
        vm.prank(validator(who));
        votes.withdraw(_bound(amount, 1, balance), validator(who));
    }

    function delegate(uint256 who, uint256 to) external {
        vm.prank(validator(who));
        votes.delegate(validator(to));
    }

    /* ------------------------------------ epochs ------------------------------------ */

    /// @dev The same number may come back with the same content or another.
    function submit(uint256 amount, uint256 content) external {
        uint64 last = settlement.lastEpoch();
        uint64 number = last + 1;
        if (settlement.statusOf(number) == IAttributionSettlement.Status.Disabled) {
            settlement.refund(number, _drawn[number]);
        }
        if (settlement.submitterOf(submitter).bond < BOND) {
            vm.deal(submitter, BOND);
            vm.prank(submitter);
            settlement.bond{value: BOND}(submitter);
        }
        amount = _bound(amount, 1, 10 ether);
        vm.deal(operator, amount);
        _deposit(operator, amount);
        delete _drawn[number];
        _drawn[number].push(Draw(operator, amount));
        _cumulative[number] =
            [_cumulative[last][0] + amount / 5, _cumulative[last][1] + amount - amount / 5];
        (bytes32 root,) = _payouts(number);
        IAttributionSettlement.Submission memory submission = _submission(amount, root);
        submission.dataHash = keccak256(abi.encode(number, content % 2));
        vm.prank(submitter);
        settlement.submitEpoch(submission, _drawn[number]);
    }

    function fault(uint256 which, uint256 challenger) external {
        uint64 number = _pending(which);
        if (number == 0) return;
        vm.prank(settlement.EPOCH_CHALLENGES());
        settlement.fault(number, validator(challenger));
    }

    function approve(uint256 who, uint256 which) public {
        uint64 number = _pending(which);
        if (number == 0) return;
        address account = validator(who);
        IAttributionSettlement.Epoch memory epoch = settlement.epochs(number);
        bytes32 data = epoch.dataHash;
        uint256 before = staking.verdictOf(number, data).approved;
        vm.prank(account);
        try staking.approve(number) {
            uint256 weight = staking.verdictOf(number, data).approved - before;
            vm.assertGe(weight, MINIMUM_STAKE, "weight");
            vm.assertLe(weight, staking.validatorOf(account).stake, "weight");
            _locks.push(Lock(account, number, data, weight, epoch.activeAt, slashed[account]));
        } catch (bytes memory reason) {
            _assertCannotAttest(reason);
        }
    }

    /// @dev Approves, and takes everything out as soon as it can.
    function approveAndRun(uint256 who, uint256 which, uint256 time) external {
        approve(who, which);
        requestLeave(who, type(uint256).max);
        vm.warp(block.timestamp + _bound(time, 1, WINDOW));
        withdraw(who);
    }

    function reject(uint256 who, uint256 which) external {
        uint64 number = _pending(which);
        if (number == 0) return;
        vm.prank(validator(who));
        try staking.reject(number, "re-executed otherwise") {}
        catch (bytes memory reason) {
            _assertCannotAttest(reason);
        }
    }

    /// @dev Once for every approval of what was proven wrong, and a tenth of it at most.
    function slashApprover(uint256 which) external {
        if (_locks.length == 0) return;
        Lock memory lock = _locks[which % _locks.length];
        IValidatorStaking.Validator memory known = staking.validatorOf(lock.validator);
        vm.prank(validator(which));
        try staking.slashApprover(lock.epoch, lock.dataHash, lock.validator) {
            IValidatorStaking.Validator memory left = staking.validatorOf(lock.validator);
            uint256 taken =
                uint256(known.stake) + known.leaving - uint256(left.stake) - left.leaving;
            slashed[lock.validator] += taken;
            vm.assertLe(taken, lock.weight / 10, "a tenth");
            bytes32 content = keccak256(abi.encode(lock.epoch, lock.dataHash));
            vm.assertEq(++_slashes[content][lock.validator], 1, "once");
        } catch (bytes memory reason) {
            bytes4 selector = bytes4(reason);
            vm.assertTrue(
                selector == IValidatorStaking.NotFaulted.selector
                    || selector == IValidatorStaking.NotApprover.selector,
                "slashApprover"
            );
        }
    }

    /// @dev Once the newest root has been claimed against, there is enough for every approver.
    function collect(uint256 who, uint256 which) external {
        uint64 active = settlement.latestActive();
        if (active == 0) return;
        address account = validator(who);
        uint64[] memory epochs = new uint64[](1);
        epochs[0] = uint64(1 + which % active);
        uint256 reward = staking.rewardOf(epochs[0], account);
        if (reward == 0) return;
        _claim(active);
        received += reward;
        vm.prank(account);
        vm.assertEq(staking.collect(epochs, account), reward, "collected");
        vm.assertEq(staking.rewardOf(epochs[0], account), 0, "collected twice");
    }

    /* ------------------------------------- time ------------------------------------- */

    function setUnbondDelay(uint256 delay) external {
        delay = _bound(delay, 1, WINDOW);
        if (parameters.get("staking.unbondDelay") == delay) return;
        _setParameter("staking.unbondDelay", delay);
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, WINDOW));
    }

    function _claim(uint64 epoch) private {
        uint256 cumulative = _cumulative[epoch][0];
        uint256 amount = cumulative - settlement.claimed(address(staking));
        if (amount == 0) return;
        (, bytes32[] memory proof) = _payouts(epoch);
        sent += amount;
        settlement.claim(address(staking), cumulative, epoch, 0, proof);
    }

    function _payouts(uint64 epoch) private view returns (bytes32 root, bytes32[] memory proof) {
        uint256[2] memory due = _cumulative[epoch];
        (root, proof,) = _pair(address(staking), due[0], bob, due[1]);
    }

    function _assertCannotAttest(bytes memory reason) private pure {
        bytes4 selector = bytes4(reason);
        vm.assertTrue(
            selector == IValidatorStaking.AlreadyAttested.selector
                || selector == IValidatorStaking.InsufficientStake.selector,
            "cannot attest"
        );
    }
}
