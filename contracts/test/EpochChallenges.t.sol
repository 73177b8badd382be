// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Credit,
    CreditGap,
    IEpochChallenges,
    PartOpening,
    Payout,
    PayoutGap,
    ReceiptContent
} from "../src/interfaces/IEpochChallenges.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {IReceiptChallenges, ReceiptOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";

/// @notice Three receipts of two payers: each sum that follows from them, right and wrong.
contract EpochChallengesTest is ChallengesBase {
    bytes private constant NO_FAULT = abi.encodeWithSelector(IEpochChallenges.NoFault.selector);
    uint32 private constant PLATFORM = 0;
    uint32 private constant MODEL = 1;
    uint32 private constant STAKERS = 2;
    uint32 private constant ROWS = 3;
    uint32 private constant CITATIONS = 1_000;
    /// @dev Which of the receipts has rows and citations.
    uint32 private constant FAIR = 1;

    /* ------------------------------------ credits ----------------------------------- */

    function test_everyPartHasItsCredit() public {
        Epoch memory epoch = _submitted();
        uint32[6] memory parts = [PLATFORM, MODEL, STAKERS, ROWS, ROWS + 2, CITATIONS];
        for (uint256 i = 0; i < parts.length; ++i) {
            uint32 place = _creditOf(epoch, FAIR, parts[i]);
            _challengeCredit(epoch, place, NO_FAULT);
            // Where it stands there is no gap for it.
            _challengeMissing(epoch, parts[i], place, _wrong("gap"));
            _challengeMissing(epoch, parts[i], place + 1, _wrong("gap"));
        }
        // What there is not needs no credit.
        _challengeMissing(epoch, ROWS + 3, 0, NO_FAULT);
        _challengeMissing(epoch, CITATIONS + 1, 0, NO_FAULT);
    }

    function test_aCreditOfAnotherAmountLoses() public {
        uint32[6] memory parts = [PLATFORM, MODEL, STAKERS, ROWS, ROWS + 2, CITATIONS];
        for (uint256 i = 0; i < parts.length; ++i) {
            uint256 before = vm.snapshotState();
            Epoch memory epoch = _threeReceipts();
            uint32 place = _creditOf(epoch, FAIR, parts[i]);
            epoch.credits[place].amount += 1;
            _submitEpoch(epoch);
            _challengeCredit(epoch, place, "");
            vm.revertToState(before);
        }
    }

    function test_aCreditOfAnotherAccountOrOfNoPartLoses() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 before = vm.snapshotState();
            Epoch memory epoch = _threeReceipts();
            uint32 place = _creditOf(epoch, FAIR, ROWS);
            if (i == 0) epoch.credits[place].account = stranger;
            if (i == 1) epoch.credits[place].part = ROWS + 3;
            if (i == 2) epoch.credits[place].part = CITATIONS + 1;
            _submitEpoch(epoch);
            _challengeCredit(epoch, place, "");
            vm.revertToState(before);
        }
    }

    function test_creditRefusesWhatIsNotCommittedTo() public {
        Epoch memory epoch = _submitted();
        uint32 place = _creditOf(epoch, FAIR, ROWS);
        Credit memory credit = epoch.credits[place];
        bytes32[] memory proof = _creditProof(epoch, place);
        PartOpening memory opening = _part(ROWS);
        ReceiptOpening memory other = epoch.receipts[0];
        vm.expectRevert(_wrong("credit")); // of another receipt
        epochChallenges.challengeCredit(other, opening, place, credit, proof);
        vm.expectRevert(_wrong("credit")); // at another place
        epochChallenges.challengeCredit(epoch.receipts[FAIR], opening, place + 1, credit, proof);
        opening.listed.position = 1;
        vm.expectRevert(_wrong("row"));
        epochChallenges.challengeCredit(epoch.receipts[FAIR], opening, place, credit, proof);
        place = _creditOf(epoch, FAIR, CITATIONS);
        (credit, proof) = (epoch.credits[place], _creditProof(epoch, place));
        opening.citations = new Receipts.Citation[](0);
        vm.expectRevert(_wrong("citations"));
        epochChallenges.challengeCredit(epoch.receipts[FAIR], opening, place, credit, proof);
    }

    function test_aStrayCreditLoses() public {
        Epoch memory epoch = _submitted();
        _challengeStray(epoch, 0, NO_FAULT);
        _challengeStray(epoch, _basePool(epoch), NO_FAULT);
        epoch = _threeReceipts();
        epoch.credits[0].receipt = 3; // there are 0, 1, 2
        _submitEpoch(epoch);
        _challengeStray(epoch, 0, "");
    }

    function test_aMissingCreditLoses() public {
        Epoch memory epoch = _threeReceipts();
        uint32 place = _creditOf(epoch, FAIR, ROWS + 1);
        _remove(epoch, place);
        _submitEpoch(epoch);
        _challengeMissing(epoch, ROWS + 1, 99, _outOfRange(99, uint32(epoch.credits.length)));
        _challengeMissing(epoch, ROWS + 1, place, "");
    }

    function test_creditsFollowFromEachOther() public {
        Epoch memory first = _submitted();
        Epoch memory second = _after(first);
        _submitEpoch(second);
        for (uint32 i = 0; i < second.credits.length; ++i) {
            _challengeCredits(first, second, i, NO_FAULT);
        }
        uint32 end = uint32(second.credits.length);
        _challengeCredits(first, second, end, _wrong("gap"));
    }

    function test_creditsOutOfOrderLose() public {
        Epoch memory epoch = _threeReceipts();
        (epoch.credits[2], epoch.credits[3]) = (epoch.credits[3], epoch.credits[2]);
        _submitEpoch(epoch);
        Epoch memory none;
        _challengeCredits(none, epoch, 3, "");
    }

    function test_creditsThatDoNotAddUpLose() public {
        Epoch memory first = _submitted();
        for (uint32 i = 0; i < 2; ++i) {
            uint256 before = vm.snapshotState();
            Epoch memory second = _after(first);
            // The first of an account, after its payout of the epoch before, and a later one.
            uint32 place = _creditOf(second, i, STAKERS);
            second.credits[place].cumulative += 1;
            _submitEpoch(second);
            _challengeCredits(first, second, place, "");
            vm.revertToState(before);
        }
    }

    /* ------------------------------------ payouts ----------------------------------- */

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

    /* ------------------------------------- draws ------------------------------------ */

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
        _challengeStray(epoch, 0, refusal);
        _challengePayouts(epoch, 1, refusal);
        _challengeDraws(epoch, 1, refusal);
    }

    /* ------------------------------------ helpers ----------------------------------- */

    /// @dev Two receipts of the lower payer, bare and fair, then one of the other.
    function _heads() private view returns (Receipts.Head[] memory heads) {
        heads = new Receipts.Head[](3);
        heads[0] = _bare("a");
        (heads[1],) = _fair("b");
        heads[2] = _bare("a"); // of another payer, who may name it as it likes
        (address low, address high) =
            operator < stranger ? (operator, stranger) : (stranger, operator);
        (heads[0].payer, heads[1].payer, heads[2].payer) = (low, low, high);
    }

    function _contents() private view returns (ReceiptContent[] memory contents) {
        contents = new ReceiptContent[](3);
        (, contents[1]) = _fair("b");
    }

    function _threeReceipts() private view returns (Epoch memory) {
        return _epoch(_heads(), _contents(), new Payout[](0));
    }

    function _submitted() private returns (Epoch memory epoch) {
        epoch = _threeReceipts();
        _submitEpoch(epoch);
    }

    /// @dev The next epoch, with the same receipts of other requests.
    function _after(Epoch memory previous) private view returns (Epoch memory) {
        Receipts.Head[] memory heads = _heads();
        (heads[0].requestId, heads[1].requestId, heads[2].requestId) = ("c", "d", "e");
        return _epoch(heads, _contents(), previous.payouts);
    }

    /// @dev The next epoch, with one receipt that pays no contributor.
    function _bareAfter(Epoch memory previous) private view returns (Epoch memory) {
        Receipts.Head[] memory heads = new Receipts.Head[](1);
        heads[0] = _bare("f");
        return _epoch(heads, new ReceiptContent[](1), previous.payouts);
    }

    function _creditOf(Epoch memory epoch, uint32 receipt, uint32 part)
        private
        pure
        returns (uint32 i)
    {
        while (epoch.credits[i].receipt != receipt || epoch.credits[i].part != part) ++i;
    }

    function _basePool(Epoch memory epoch) private pure returns (uint32 i) {
        while (epoch.credits[i].receipt != BASE_POOL) ++i;
    }

    function _remove(Epoch memory epoch, uint32 place) private pure {
        Credit[] memory left = new Credit[](epoch.credits.length - 1);
        for (uint256 i = 0; i < left.length; ++i) {
            left[i] = epoch.credits[i < place ? i : i + 1];
        }
        epoch.credits = left;
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

    /// @dev What a part of the fair receipt is read from.
    function _part(uint32 part) private view returns (PartOpening memory opening) {
        (, ReceiptContent memory content) = _fair("b");
        opening.citations = content.citations;
        if (part >= ROWS && part < CITATIONS) {
            opening.listed = _rowOpening(content.rows, part - ROWS);
        }
    }

    /// @dev Without a refusal it succeeds.
    function _expect(bytes memory refusal) private {
        if (refusal.length > 0) vm.expectRevert(refusal);
        vm.prank(stranger);
    }

    function _settle(bytes memory refusal) private view {
        if (refusal.length == 0) _assertFaulted(settlement.lastEpoch() + 1, stranger);
    }

    function _challengeCredit(Epoch memory epoch, uint32 place, bytes memory refusal) private {
        Credit memory credit = epoch.credits[place];
        bytes32[] memory proof = _creditProof(epoch, place);
        PartOpening memory opening = _part(credit.part);
        _expect(refusal);
        epochChallenges.challengeCredit(epoch.receipts[FAIR], opening, place, credit, proof);
        _settle(refusal);
    }

    function _challengeStray(Epoch memory epoch, uint32 place, bytes memory refusal) private {
        Credit memory credit = epoch.credits[place];
        bytes32[] memory proof = _creditProof(epoch, place);
        uint64 number = epoch.receipts[0].epoch;
        _expect(refusal);
        epochChallenges.challengeStrayCredit(number, place, credit, proof);
        _settle(refusal);
    }

    function _challengeMissing(Epoch memory epoch, uint32 part, uint32 place, bytes memory refusal)
        private
    {
        CreditGap memory gap;
        gap.index = place;
        if (place <= epoch.credits.length) gap = _creditGap(epoch, place);
        PartOpening memory opening = _part(part);
        _expect(refusal);
        epochChallenges.challengeMissingCredit(epoch.receipts[FAIR], opening, part, gap);
        _settle(refusal);
    }

    function _challengeCredits(
        Epoch memory previous,
        Epoch memory epoch,
        uint32 place,
        bytes memory refusal
    ) private {
        CreditGap memory gap = _creditGap(epoch, place);
        PayoutGap memory before = _payoutGap(previous, _afterPayout(previous, gap.right.account));
        uint64 number = epoch.receipts[0].epoch;
        _expect(refusal);
        epochChallenges.challengeCredits(number, gap, before);
        _settle(refusal);
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
        _settle(refusal);
    }

    function _challengePayouts(Epoch memory epoch, uint32 place, bytes memory refusal) private {
        PayoutGap memory gap = _payoutGap(epoch, place);
        uint64 number = epoch.receipts[0].epoch;
        _expect(refusal);
        epochChallenges.challengePayouts(number, gap);
        _settle(refusal);
    }

    function _challengeDraws(Epoch memory epoch, uint32 place, bytes memory refusal) private {
        ReceiptOpening memory left;
        ReceiptOpening memory right;
        if (place > 0) left = epoch.receipts[place - 1];
        if (place < epoch.receipts.length) right = epoch.receipts[place];
        _expect(refusal);
        epochChallenges.challengeDraws(place, left, right, epoch.draws);
        _settle(refusal);
    }

    function _wrong(string memory what) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IReceiptChallenges.WrongOpening.selector, what);
    }

    function _outOfRange(uint32 index, uint32 count) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IEpochChallenges.OutOfRange.selector, index, count);
    }
}
