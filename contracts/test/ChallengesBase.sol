// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {
    Credit,
    CreditGap,
    PartOpening,
    Payout,
    PayoutGap,
    ReceiptContent
} from "../src/interfaces/IEpochChallenges.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {IndexRow, ReceiptOpening, RowOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {ISubmitters} from "../src/interfaces/ISubmitters.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {Test} from "./Test.sol";
import {IERC5267, Vectors} from "./Vectors.sol";

/// @notice An index of three records, fair receipts of answers that they shaped, and epochs of such
/// receipts: what wrong ones are made from.
abstract contract ChallengesBase is Test {
    /// @dev An epoch before it is submitted; whatever a test changes, roots and proofs follow.
    struct Epoch {
        ReceiptOpening[] receipts;
        Credit[] credits;
        Payout[] payouts;
        Draw[] draws;
    }

    uint256 internal constant WORKER_KEY = 0xA11CE;
    uint256 internal constant CONTRIBUTOR_KEY = 0xC0DE;
    uint256 internal constant FEE = 1 ether;
    bytes32 internal constant VERSION = keccak256("version");
    bytes32 internal constant BASE = keccak256("base");
    bytes32 internal constant ADAPTER = keccak256("adapter");
    /// @dev Tokens of the answer, of each record, and where the first record's text is in both.
    uint32 internal constant ANSWER = 50;
    uint32 internal constant RECORD = 60;
    uint32 internal constant SPAN = 20;
    uint32 internal constant IN_ANSWER = 10;
    uint32 internal constant IN_RECORD = 30;
    uint32 internal constant BASE_POOL = type(uint32).max;

    address internal immutable worker = vm.addr(WORKER_KEY);

    Vectors internal vectors;
    bytes internal query;
    IndexRow[] private _index;

    function setUp() public virtual override {
        super.setUp();
        vectors = new Vectors();
        query = _vector(0);
        int64[3] memory influences = [int64(500_000), 300_000, 200_000];
        for (uint256 i = 0; i < influences.length; ++i) {
            bytes memory vector = _vector(i + 1);
            (int256 product, int256 selfQuery) = vectors.products(query, vector);
            (, int256 self) = vectors.products(vector, query);
            int256 score = vectors.relative(product, uint256(self), uint256(selfQuery));
            IndexRow storage row = _index.push();
            row.record = keccak256(abi.encode("record", i));
            row.cluster = keccak256(abi.encode("cluster", i));
            row.contributor = _contributor(i);
            row.vectorHash = keccak256(vector);
            row.exponent = -3;
            row.nullMean = int64(score) - influences[i];
            row.nullDeviation = 50_000;
            row.self = uint64(uint256(self));
            row.tokensRoot = _root(_tokenLeaves(_recordTokens()));
            row.tokens = RECORD;
        }
        _deposit(operator, 100 ether);
        _deposit(stranger, 100 ether);
    }

    /* ----------------------------------- the index ---------------------------------- */

    function _contributor(uint256 i) internal pure returns (address) {
        return vm.addr(CONTRIBUTOR_KEY + i);
    }

    /// @dev 40 numbers of 8 bits, so that the second word of 32 is not full.
    function _vector(uint256 i) internal pure returns (bytes memory vector) {
        vector = bytes.concat(
            keccak256(abi.encode("vector", i)), bytes8(keccak256(abi.encode("more", i)))
        );
    }

    function _indexRow(uint256 i) internal view returns (IndexRow memory row) {
        row = _index[i];
        row.proof = _setProof(_indexLeaves(), i);
    }

    function _indexLeaves() internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](_index.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            IndexRow memory row = _index[i];
            leaves[i] = vectors.indexRow(
                row.record,
                row.cluster,
                row.contributor,
                row.vectorHash,
                row.exponent,
                row.nullMean,
                row.nullDeviation,
                row.self,
                row.tokensRoot,
                row.tokens
            );
        }
    }

    function _answerTokens() internal pure returns (bytes memory tokens) {
        for (uint32 i = 0; i < ANSWER; ++i) {
            tokens = bytes.concat(tokens, bytes4(i));
        }
    }

    function _recordTokens() internal pure returns (bytes memory tokens) {
        for (uint32 i = 0; i < RECORD; ++i) {
            bool isShared = i >= IN_RECORD && i < IN_RECORD + SPAN;
            tokens = bytes.concat(tokens, bytes4(isShared ? i - IN_RECORD + IN_ANSWER : 1_000 + i));
        }
    }

    /// @dev Leaves of protocol/tokens.ts: 32 tokens of 4 bytes each.
    function _tokenLeaves(bytes memory tokens) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[]((tokens.length + 127) / 128);
        for (uint256 i = 0; i < leaves.length; ++i) {
            leaves[i] = Leaf.twice(_tokenLeaf(tokens, i));
        }
    }

    function _tokenLeaf(bytes memory tokens, uint256 leaf)
        internal
        pure
        returns (bytes memory part)
    {
        uint256 first = 128 * leaf;
        part = new bytes(tokens.length - first < 128 ? tokens.length - first : 128);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = tokens[first + i];
        }
    }

    /* ----------------------------------- receipts ----------------------------------- */

    /// @dev An answer of the adapter: weights 75, 15 and 10 % (half by influence, half by text), of
    /// which four fifths are paid, and one citation.
    function _fair(bytes32 requestId)
        internal
        view
        returns (Receipts.Head memory head, ReceiptContent memory content)
    {
        head = _bare(requestId);
        head.adapter = ADAPTER;
        head.indexRoot = _setRoot(_indexLeaves());
        head.queryHash = keccak256(query);
        head.model = 0.2 ether;
        head.retrieval = 0.1 ether;
        (head.covered, head.total) = (90_000, 150_000);
        head.unattributed = 0.08 ether;
        content.datanets = new bytes32[](1);
        content.datanets[0] = VERSION;
        content.query = query;
        content.rows = new Receipts.Row[](3);
        content.spans = new Receipts.Span[][](3);
        uint256[3] memory amounts = [uint256(0.24 ether), 0.048 ether, 0.032 ether];
        for (uint256 i = 0; i < 3; ++i) {
            IndexRow storage row = _index[i];
            int64 influence = [int64(500_000), 300_000, 200_000][i];
            content.rows[i] = Receipts.Row({
                cluster: row.cluster,
                record: row.record,
                contributor: row.contributor,
                influence: influence,
                significance: influence / 50,
                text: i == 0 ? 90_000 : 0,
                spansHash: 0,
                amount: amounts[i]
            });
            content.spans[i] = new Receipts.Span[](i == 0 ? 1 : 0);
        }
        content.spans[0][0] = Receipts.Span(IN_ANSWER, IN_RECORD, SPAN);
        content.citations = new Receipts.Citation[](1);
        content.citations[0] = Receipts.Citation({
            cluster: keccak256("cited"),
            record: keccak256("cited record"),
            contributor: _contributor(7),
            datanet: VERSION,
            amount: 0.1 ether
        });
        _seal(head, content);
    }

    /// @dev An answer of the base model alone, which its owner is paid for.
    function _bare(bytes32 requestId) internal view returns (Receipts.Head memory head) {
        ReceiptContent memory nothing;
        head.requestId = requestId;
        head.payer = operator;
        head.base = BASE;
        head.paramsHash = parameters.paramsHash();
        head.methodVersion = 1;
        head.outputRoot = _root(_tokenLeaves(_answerTokens()));
        head.outputTokens = ANSWER;
        head.fee = FEE;
        head.platform = 0.1 ether;
        head.model = 0.7 ether;
        head.stakers = 0.2 ether;
        head.modelOwner = bob;
        head.stored = true;
        head.worker = worker;
        head.time = uint64(block.timestamp);
        _seal(head, nothing);
    }

    /// @dev Makes the head commit to the content as it is now.
    function _seal(Receipts.Head memory head, ReceiptContent memory content) internal view {
        bytes memory clusters;
        for (uint256 i = 0; i < content.rows.length; ++i) {
            content.rows[i].spansHash = vectors.spansHash(content.spans[i]);
            clusters = bytes.concat(clusters, bytes20(content.rows[i].cluster));
        }
        head.clustersHash = keccak256(clusters);
        head.rowsHash = vectors.rowsHash(content.rows);
        head.citationsHash = vectors.citationsHash(content.citations);
        head.datanetsHash = vectors.listHash(content.datanets);
    }

    /// @dev Row `position` of up to eight; beyond them it shows that there is none.
    function _rowOpening(Receipts.Row[] memory rows, uint256 position)
        internal
        view
        returns (RowOpening memory opening)
    {
        opening.position = position;
        if (position < rows.length) opening.row = rows[position];
        opening.hashes = new bytes32[](rows.length);
        for (uint256 i = 0; i < rows.length; ++i) {
            opening.hashes[i] = vectors.rowHash(rows[i]);
        }
        if (rows.length == 0) return opening;
        opening.groups = new bytes32[](1);
        opening.groups[0] = vectors.listHash(opening.hashes);
    }

    /* ------------------------------------ epochs ------------------------------------ */

    /// @dev Receipts of a few payers, in order, with what follows from them after `previous`.
    function _epoch(
        Receipts.Head[] memory heads,
        ReceiptContent[] memory contents,
        Payout[] memory previous
    ) internal view returns (Epoch memory epoch) {
        epoch.receipts = new ReceiptOpening[](heads.length);
        epoch.draws = new Draw[](heads.length);
        uint256 payers = 0;
        Credit[] memory credits = new Credit[](0);
        for (uint32 i = 0; i < heads.length; ++i) {
            ReceiptOpening memory receipt = epoch.receipts[i];
            receipt.head = heads[i];
            receipt.spent = heads[i].fee;
            if (i == 0 || heads[i - 1].payer != heads[i].payer) {
                epoch.draws[payers++] = Draw(heads[i].payer, 0);
            } else {
                receipt.spent += epoch.receipts[i - 1].spent;
            }
            epoch.draws[payers - 1].amount = receipt.spent;
            credits = _concat(credits, _creditsOf(i, heads[i], contents[i]));
        }
        Draw[] memory draws = epoch.draws;
        assembly ("memory-safe") {
            mstore(draws, payers)
        }
        _follow(epoch, credits, previous);
    }

    /// @dev One receipt and the base pool's part of it, in epoch 1.
    function _epochOf(Receipts.Head memory head, ReceiptContent memory content)
        internal
        view
        returns (Epoch memory)
    {
        Receipts.Head[] memory heads = new Receipts.Head[](1);
        ReceiptContent[] memory contents = new ReceiptContent[](1);
        (heads[0], contents[0]) = (head, content);
        return _epoch(heads, contents, new Payout[](0));
    }

    function _submitEpoch(Epoch memory epoch) internal {
        _submitEpoch(epoch, keccak256(abi.encode("data", settlement.lastEpoch() + 1)));
    }

    function _submitEpoch(Epoch memory epoch, bytes32 dataHash) internal {
        uint64 number = settlement.lastEpoch() + 1;
        bytes32[] memory leaves = new bytes32[](epoch.receipts.length);
        for (uint32 i = 0; i < leaves.length; ++i) {
            ReceiptOpening memory receipt = epoch.receipts[i];
            leaves[i] = Leaf.receipt(receipt.head.requestId, _digest(receipt.head), receipt.spent);
            (receipt.epoch, receipt.index) = (number, i);
        }
        for (uint32 i = 0; i < leaves.length; ++i) {
            epoch.receipts[i].proof = _proof(leaves, i);
        }
        uint256 total = 0;
        for (uint256 i = 0; i < epoch.draws.length; ++i) {
            total += epoch.draws[i].amount;
        }
        bool pays = epoch.payouts.length > 0;
        IAttributionSettlement.Submission memory submission =
            _submission(total, pays ? _root(_payoutLeaves(epoch)) : bytes32(0));
        submission.dataHash = dataHash;
        submission.receiptsRoot = _root(leaves);
        if (epoch.credits.length > 0) submission.creditsRoot = _root(_creditLeaves(epoch));
        submission.receipts = uint32(leaves.length);
        submission.credits = uint32(epoch.credits.length);
        submission.payouts = uint32(epoch.payouts.length);
        vm.prank(submitter);
        settlement.submitEpoch(submission, epoch.draws);
    }

    function _digest(Receipts.Head memory head) internal view returns (bytes32) {
        return vectors.receiptHash(IERC5267(address(settlement)), head);
    }

    function _creditProof(Epoch memory epoch, uint256 i) internal pure returns (bytes32[] memory) {
        return _proof(_creditLeaves(epoch), i);
    }

    function _payoutProof(Epoch memory epoch, uint256 i) internal pure returns (bytes32[] memory) {
        return _proof(_payoutLeaves(epoch), i);
    }

    function _creditGap(Epoch memory epoch, uint32 index)
        internal
        pure
        returns (CreditGap memory gap)
    {
        gap.index = index;
        if (index > 0) {
            (gap.left, gap.leftProof) = (epoch.credits[index - 1], _creditProof(epoch, index - 1));
        }
        if (index < epoch.credits.length) {
            (gap.right, gap.rightProof) = (epoch.credits[index], _creditProof(epoch, index));
        }
    }

    function _payoutGap(Epoch memory epoch, uint32 index)
        internal
        pure
        returns (PayoutGap memory gap)
    {
        gap.index = index;
        if (index > 0) {
            (gap.left, gap.leftProof) = (epoch.payouts[index - 1], _payoutProof(epoch, index - 1));
        }
        if (index < epoch.payouts.length) {
            (gap.right, gap.rightProof) = (epoch.payouts[index], _payoutProof(epoch, index));
        }
    }

    /// @dev Place of the first credit, and payout, after all of an account.
    function _afterCredits(Epoch memory epoch, address account) internal pure returns (uint32 i) {
        while (i < epoch.credits.length && epoch.credits[i].account <= account) ++i;
    }

    function _afterPayout(Epoch memory epoch, address account) internal pure returns (uint32 i) {
        while (i < epoch.payouts.length && epoch.payouts[i].account <= account) ++i;
    }

    /// @dev What is true after a challenge has succeeded.
    function _assertFaulted(uint64 epoch, address challenger) internal view {
        vm.assertEq(
            uint256(settlement.statusOf(epoch)), uint256(IAttributionSettlement.Status.Disabled)
        );
        ISubmitters.Submitter memory staker = settlement.submitterOf(submitter);
        vm.assertEq(staker.bond, 0);
        vm.assertEq(settlement.owed(challenger), BOND / 2);
        vm.assertEq(settlement.owed(treasury), BOND / 2);
    }

    function _creditsOf(uint32 i, Receipts.Head memory head, ReceiptContent memory content)
        private
        view
        returns (Credit[] memory credits)
    {
        uint256 count = content.rows.length;
        bool pools = head.unattributed > 0;
        credits = new Credit[](3 + count + content.citations.length + (pools ? 1 : 0));
        credits[0] = Credit(treasury, i, 0, head.platform, 0);
        credits[1] = Credit(head.modelOwner, i, 1, head.model, 0);
        credits[2] = Credit(address(staking), i, 2, head.stakers, 0);
        for (uint32 j = 0; j < count; ++j) {
            Receipts.Row memory row = content.rows[j];
            credits[3 + j] = Credit(row.contributor, i, 3 + j, row.amount, 0);
        }
        for (uint32 j = 0; j < content.citations.length; ++j) {
            Receipts.Citation memory citation = content.citations[j];
            credits[3 + count + j] = Credit(citation.contributor, i, 1_000 + j, citation.amount, 0);
        }
        if (pools) {
            credits[credits.length - 1] =
                Credit(_contributor(9), BASE_POOL, i, head.unattributed, 0);
        }
    }

    /// @dev Orders the credits, and sums them and the payouts up.
    function _follow(Epoch memory epoch, Credit[] memory credits, Payout[] memory previous)
        private
        pure
    {
        for (uint256 i = 1; i < credits.length; ++i) {
            for (uint256 j = i; j > 0 && _isAfter(credits[j - 1], credits[j]); --j) {
                (credits[j - 1], credits[j]) = (credits[j], credits[j - 1]);
            }
        }
        Payout[] memory payouts = new Payout[](credits.length + previous.length);
        (uint256 count, uint256 taken) = (0, 0);
        for (uint256 i = 0; i < credits.length; ++i) {
            address account = credits[i].account;
            while (taken < previous.length && previous[taken].account < account) {
                payouts[count++] = _copy(previous[taken++]);
            }
            uint256 before = 0;
            if (count > 0 && payouts[count - 1].account == account) {
                before = payouts[--count].cumulative;
            } else if (taken < previous.length && previous[taken].account == account) {
                before = previous[taken++].cumulative;
            }
            credits[i].cumulative = before + credits[i].amount;
            payouts[count++] = Payout(account, credits[i].cumulative);
        }
        while (taken < previous.length) {
            payouts[count++] = _copy(previous[taken++]);
        }
        assembly ("memory-safe") {
            mstore(payouts, count)
        }
        (epoch.credits, epoch.payouts) = (credits, payouts);
    }

    /// @dev What a test changes in one epoch stays as it was in the other.
    function _copy(Payout memory payout) private pure returns (Payout memory) {
        return Payout(payout.account, payout.cumulative);
    }

    function _isAfter(Credit memory a, Credit memory b) private pure returns (bool) {
        if (a.account != b.account) return a.account > b.account;
        return a.receipt != b.receipt ? a.receipt > b.receipt : a.part > b.part;
    }

    function _concat(Credit[] memory a, Credit[] memory b)
        private
        pure
        returns (Credit[] memory all)
    {
        all = new Credit[](a.length + b.length);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = i < a.length ? a[i] : b[i - a.length];
        }
    }

    function _creditLeaves(Epoch memory epoch) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](epoch.credits.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            Credit memory credit = epoch.credits[i];
            leaves[i] = Leaf.credit(
                credit.account, credit.receipt, credit.part, credit.amount, credit.cumulative
            );
        }
    }

    function _payoutLeaves(Epoch memory epoch) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](epoch.payouts.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            leaves[i] = Leaf.payout(epoch.payouts[i].account, epoch.payouts[i].cumulative);
        }
    }
}
