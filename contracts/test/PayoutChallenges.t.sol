// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    CreditGap,
    IEpochChallenges,
    Payout,
    PayoutGap,
    ReceiptContent
} from "../src/interfaces/IEpochChallenges.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {ReceiptOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";

/// @notice What accounts may claim, and what payers pay, of an epoch.
contract PayoutChallengesTest is ChallengesBase {
    function test_payoutsFollowFromCredits() public {
        Epoch memory first = _submitted();
        Epoch memory second = _bareAfter(first);
        _submitEpoch(second);
        address[5] memory accounts = [treasury, bob, _contributor(0), address(staking), address(1)];
        for (uint256 i = 0; i < accounts.length; ++i) {
            _challengeTotal(first, second, accounts[i], NO_FAULT);
        }
        for (uint32 i = 1; i < second.payouts.length; ++i) {
            _challengePayouts(second, i, NO_FAULT);
        }
        _challengePayouts(second, 0, _wrong("gap"));
        _challengePayouts(second, uint32(second.payouts.length), _wrong("gap"));
        uint32 count = uint32(second.payouts.length);
        PayoutGap memory gap;
        gap.index = count + 1;
        vm.expectRevert(_outOfRange(count + 1, count));
        epochChallenges.challengePayouts(2, gap);
    }

    function test_aPayoutThatDoesNotFollowLoses() public {
        Epoch memory first = _submitted();
        address[3] memory accounts = [bob, address(staking), _contributor(0)];
        for (uint256 i = 0; i < accounts.length; ++i) {
            uint256 before = vm.snapshotState();
            // The third one has no credits in the second epoch.
            Epoch memory second = _bareAfter(first);
            second.payouts[_afterPayout(second, accounts[i]) - 1].cumulative -= 1;
            _submitEpoch(second);
            _challengeTotal(first, second, accounts[i], "");
            vm.revertToState(before);
        }
    }

    function test_totalRefusesOtherPlaces() public {
        Epoch memory first = _submitted();
        Epoch memory second = _after(first);
        _submitEpoch(second);
        address last = second.credits[second.credits.length - 1].account;
        CreditGap memory credits = _creditGap(second, 0);
        PayoutGap memory payouts = _payoutGap(second, 0);
        vm.expectRevert(_wrong("credits")); // there are credits of it further on
        epochChallenges.challengeTotal(2, last, credits, payouts, payouts);
        credits = _creditGap(second, uint32(second.credits.length));
        vm.expectRevert(_wrong("credits")); // all credits are of later accounts
        epochChallenges.challengeTotal(2, address(1), credits, payouts, payouts);
        vm.expectRevert(_wrong("payouts"));
        epochChallenges.challengeTotal(2, last, credits, payouts, payouts);
        payouts.right.cumulative += 1;
        vm.expectRevert(_wrong("payout"));
        epochChallenges.challengeTotal(2, last, credits, payouts, payouts);
    }

    function test_payoutsOutOfOrderLose() public {
        Epoch memory epoch = _threeReceipts();
        (epoch.payouts[1], epoch.payouts[2]) = (epoch.payouts[2], epoch.payouts[1]);
        _submitEpoch(epoch);
        _challengePayouts(epoch, 2, "");
    }

    function test_drawsFollowFromReceipts() public {
        Epoch memory epoch = _submitted();
        for (uint32 i = 0; i <= 3; ++i) {
            _challengeDraws(epoch, i, NO_FAULT);
        }
        ReceiptOpening[] memory all = epoch.receipts;
        vm.expectRevert(_wrong("left"));
        epochChallenges.challengeDraws(2, all[0], all[2], epoch.draws);
        vm.expectRevert(_wrong("right"));
        epochChallenges.challengeDraws(2, all[1], all[1], epoch.draws);
    }

    function test_receiptsOutOfOrderLose() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 before = vm.snapshotState();
            Receipts.Head[] memory heads = _heads();
            // Payers, requests, or the same request twice; the first two are one payer's.
            if (i == 0) (heads[0].payer, heads[2].payer) = (heads[2].payer, heads[0].payer);
            if (i == 1) (heads[0], heads[1]) = (heads[1], heads[0]);
            if (i == 2) heads[1] = heads[0];
            Epoch memory epoch = _epoch(heads, _contents(), new Payout[](0));
            _submitEpoch(epoch);
            _challengeDraws(epoch, 1, "");
            vm.revertToState(before);
        }
    }

    function test_wrongSumsAndDrawsLose() public {
        for (uint32 i = 0; i < 5; ++i) {
            uint256 before = vm.snapshotState();
            Epoch memory epoch = _threeReceipts();
            if (i == 0) epoch.receipts[0].spent += 1;
            if (i == 1) epoch.receipts[1].spent -= 1;
            if (i == 2) epoch.draws[0].amount += 1; // at the border of the two payers
            if (i == 3) epoch.draws[1].amount -= 1; // at the end
            if (i == 4) epoch.draws = _with(epoch.draws, Draw(alice, 1)); // without a receipt
            if (i == 4) _deposit(alice, 1);
            _submitEpoch(epoch);
            uint32 place = [uint32(0), 1, 2, 3, _placeOf(epoch, alice)][i];
            _challengeDraws(epoch, place, "");
            vm.revertToState(before);
        }
    }

    function test_aRequestSettledTwiceLoses() public {
        Epoch memory first = _submitted();
        Epoch memory second = _after(first);
        _submitEpoch(second);
        ReceiptOpening memory again = second.receipts[0];
        vm.expectRevert(NO_FAULT);
        epochChallenges.challengeReplay(again, first.receipts[0]);
        vm.expectRevert(_wrong("earlier")); // itself
        epochChallenges.challengeReplay(again, again);
        ReceiptOpening memory earlier = first.receipts[1];
        earlier.spent += 1;
        vm.expectRevert(_wrong("earlier"));
        epochChallenges.challengeReplay(again, earlier);
        earlier.epoch = 0;
        vm.expectRevert(_wrong("earlier")); // there is no such epoch
        epochChallenges.challengeReplay(again, earlier);

        Epoch memory third = _epoch(_heads(), _contents(), second.payouts);
        _submitEpoch(third);
        vm.prank(stranger);
        epochChallenges.challengeReplay(third.receipts[0], first.receipts[0]);
        _assertFaulted(3, stranger);
    }

    function test_onlyPendingEpochsAreJudged() public {
        Epoch memory epoch = _submitted();
        vm.warp(block.timestamp + WINDOW);
        bytes memory refusal = abi.encodeWithSelector(IEpochChallenges.EpochNotPending.selector, 1);
        _challengePayouts(epoch, 1, refusal);
        _challengeDraws(epoch, 1, refusal);
    }

    /// @dev The next epoch, with one receipt that pays no contributor.
    function _bareAfter(Epoch memory previous) private view returns (Epoch memory) {
        Receipts.Head[] memory heads = new Receipts.Head[](1);
        heads[0] = _bare("f");
        return _epoch(heads, new ReceiptContent[](1), previous.payouts);
    }

    /// @dev Place of the first credit, and payout, after all of an account.
    function _afterCredits(Epoch memory epoch, address account) private pure returns (uint32 i) {
        while (i < epoch.credits.length && epoch.credits[i].account <= account) ++i;
    }

    function _with(Draw[] memory draws, Draw memory more) private pure returns (Draw[] memory all) {
        all = new Draw[](draws.length + 1);
        for (uint256 i = 0; i < draws.length; ++i) {
            all[i] = draws[i];
        }
        all[draws.length] = more;
    }

    /// @dev Position of the first receipt of a payer after an account.
    function _placeOf(Epoch memory epoch, address account) private pure returns (uint32 i) {
        while (i < epoch.receipts.length && epoch.receipts[i].head.payer < account) ++i;
    }

    function _challengeTotal(
        Epoch memory previous,
        Epoch memory epoch,
        address account,
        bytes memory refusal
    ) private {
        CreditGap memory credits = _creditGap(epoch, _afterCredits(epoch, account));
        PayoutGap memory payouts = _payoutGap(epoch, _afterPayout(epoch, account));
        PayoutGap memory before = _payoutGap(previous, _afterPayout(previous, account));
        uint64 number = epoch.receipts[0].epoch;
        _expect(refusal);
        epochChallenges.challengeTotal(number, account, credits, payouts, before);
        _settle(settlement.lastEpoch() + 1, refusal);
    }

    function _challengePayouts(Epoch memory epoch, uint32 place, bytes memory refusal) private {
        PayoutGap memory gap = _payoutGap(epoch, place);
        uint64 number = epoch.receipts[0].epoch;
        _expect(refusal);
        epochChallenges.challengePayouts(number, gap);
        _settle(settlement.lastEpoch() + 1, refusal);
    }

    function _challengeDraws(Epoch memory epoch, uint32 place, bytes memory refusal) private {
        ReceiptOpening memory left;
        ReceiptOpening memory right;
        if (place > 0) left = epoch.receipts[place - 1];
        if (place < epoch.receipts.length) right = epoch.receipts[place];
        _expect(refusal);
        epochChallenges.challengeDraws(place, left, right, epoch.draws);
        _settle(settlement.lastEpoch() + 1, refusal);
    }
}
