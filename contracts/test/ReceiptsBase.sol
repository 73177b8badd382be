// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReceiptContent} from "../src/interfaces/IEpochChallenges.sol";
import {IndexRow, RowOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {Test} from "./Test.sol";
import {IERC5267, Vectors} from "./Vectors.sol";

/// @notice An index of three records, and fair receipts of answers that they shaped: what wrong
/// ones are made from.
abstract contract ReceiptsBase is Test {
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

    /* ---------------------------------- the index ----------------------------------- */

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
        for (uint256 i = 0; i < content.rows.length; ++i) {
            content.rows[i].spansHash = vectors.spansHash(content.spans[i]);
        }
        head.clustersHash = keccak256(_clusters(content));
        head.rowsHash = vectors.rowsHash(content.rows);
        head.citationsHash = vectors.citationsHash(content.citations);
        head.datanetsHash = vectors.listHash(content.datanets);
    }

    /// @dev The first 20 bytes of every listed cluster.
    function _clusters(ReceiptContent memory content) internal pure returns (bytes memory all) {
        for (uint256 i = 0; i < content.rows.length; ++i) {
            all = bytes.concat(all, bytes20(content.rows[i].cluster));
        }
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

    function _digest(Receipts.Head memory head) internal view returns (bytes32) {
        return vectors.receiptHash(IERC5267(address(settlement)), head);
    }
}
