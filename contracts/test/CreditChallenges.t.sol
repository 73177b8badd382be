// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Credit,
    CreditGap,
    PartOpening,
    PayoutGap,
    ReceiptContent
} from "../src/interfaces/IEpochChallenges.sol";
import {ReceiptOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";

/// @notice What receipts pay, part by part, and the sums of it.
contract CreditChallengesTest is ChallengesBase {
    uint32 private constant PLATFORM = 0;
    uint32 private constant MODEL = 1;
    uint32 private constant STAKERS = 2;
    uint32 private constant ROWS = 3;
    uint32 private constant CITATIONS = 1_000;
    /// @dev Which of the receipts has rows and citations.
    uint32 private constant FAIR = 1;

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

    /// @dev What a part of the fair receipt is read from.
    function _part(uint32 part) private view returns (PartOpening memory opening) {
        (, ReceiptContent memory content) = _fair("b");
        opening.citations = content.citations;
        if (part >= ROWS && part < CITATIONS) {
            opening.listed = _rowOpening(content.rows, part - ROWS);
        }
    }

    function _challengeCredit(Epoch memory epoch, uint32 place, bytes memory refusal) private {
        Credit memory credit = epoch.credits[place];
        bytes32[] memory proof = _creditProof(epoch, place);
        PartOpening memory opening = _part(credit.part);
        _expect(refusal);
        epochChallenges.challengeCredit(epoch.receipts[FAIR], opening, place, credit, proof);
        _settle(settlement.lastEpoch() + 1, refusal);
    }

    function _challengeStray(Epoch memory epoch, uint32 place, bytes memory refusal) private {
        Credit memory credit = epoch.credits[place];
        bytes32[] memory proof = _creditProof(epoch, place);
        uint64 number = epoch.receipts[0].epoch;
        _expect(refusal);
        epochChallenges.challengeStrayCredit(number, place, credit, proof);
        _settle(settlement.lastEpoch() + 1, refusal);
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
        _settle(settlement.lastEpoch() + 1, refusal);
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
        _settle(settlement.lastEpoch() + 1, refusal);
    }
}
