// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Receipts} from "../src/libraries/Receipts.sol";
import {Score} from "../src/libraries/Score.sol";
import {Test} from "./Test.sol";
import {Vectors} from "./Vectors.sol";

/// @notice The edges of scores and shares; contracts/test/score.test.ts compares them with
/// TypeScript.
contract ScoreTest is Test {
    Vectors private vectors;

    function setUp() public override {
        vectors = new Vectors();
    }

    function testFuzz_productsAreThoseOfSignedBytes(bytes32 a, bytes32 b, bytes7 c, bytes7 d)
        public
        view
    {
        (bytes memory left, bytes memory right) = (bytes.concat(a, c), bytes.concat(b, d));
        (int256 dot, int256 self) = (0, 0);
        for (uint256 i = 0; i < left.length; ++i) {
            (int256 x, int256 y) = (int8(uint8(left[i])), int8(uint8(right[i])));
            (dot, self) = (dot + x * y, self + x * x);
        }
        (int256 product, int256 square) = vectors.products(left, right);
        vm.assertEq(bytes32(uint256(product)), bytes32(uint256(dot)));
        vm.assertEq(bytes32(uint256(square)), bytes32(uint256(self)));
    }

    function test_nothingIsRelativeToNothing() public view {
        vm.assertEq(uint256(vectors.relative(7, 0, 9)), 0);
        vm.assertEq(uint256(vectors.relative(9, 9, 9)), 1 << 20);
        vm.assertEq(uint256(vectors.significance(900, 100, 0)), 0);
        vm.assertEq(uint256(vectors.significance(900, 100, 200)), 4_000);
    }

    function test_feesAreSplitToTheLastWei() public view {
        Score.FeeSplit memory split = vectors.splitFee(101, _rules(), true);
        vm.assertEq(split.platform, 10);
        vm.assertEq(split.model, 20);
        vm.assertEq(split.stakers, 20);
        vm.assertEq(split.retrieval, 10);
        vm.assertEq(split.contributors, 41);
        split = vectors.splitFee(101, _rules(), false);
        vm.assertEq(split.retrieval, 0);
        vm.assertEq(split.contributors, 51);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(vectors.citationAmount(11, 3, i), i < 2 ? 4 : 3);
        }
    }

    function test_theOddWeiGoToTheLargestRemainders() public view {
        // 3.5, 2.1 and 1.4 of 7.
        uint64[3] memory influences = [uint64(5), 3, 2];
        _assertAllocation(true, 7, influences, [uint256(4), 2, 1]);
        _assertAllocation(false, 7, influences, [uint256(3), 2, 2]);
        _assertAllocation(false, 7, influences, [uint256(3), 3, 1]);
        _assertAllocation(false, 7, influences, [uint256(4), 2, 2]); // a wei too many
        _assertAllocation(false, 7, influences, [uint256(3), 2, 1]); // and too few
        _assertAllocation(false, 7, influences, [uint256(5), 2, 0]); // none near its share
        _assertAllocation(true, 10, influences, [uint256(5), 3, 2]); // none is odd
        // A third each: ties to the earlier.
        influences = [uint64(1), 1, 1];
        _assertAllocation(true, 100, influences, [uint256(34), 33, 33]);
        _assertAllocation(false, 100, influences, [uint256(33), 34, 33]);
        _assertAllocation(true, 101, influences, [uint256(34), 34, 33]);
    }

    function test_rowsStandByWeightThenCluster() public view {
        _assertAllocation(false, 10, [uint64(3), 5, 2], [uint256(3), 5, 2]);
        Receipts.Row[] memory rows = _rows([uint64(1), 1, 1], [uint256(1), 1, 1]);
        (rows[0].cluster, rows[1].cluster) = (rows[1].cluster, rows[0].cluster);
        vm.assertEq(vectors.isAllocation(3, rows, 0, 0, 0, _rules()), false);
    }

    function test_onlyEnoughOfTheWeightIsPaid() public view {
        Receipts.Row[] memory rows = _rows([uint64(6), 3, 1], [uint256(6), 3, 0]);
        Score.Rules memory rules = _rules();
        rules.coverage = 900_000;
        vm.assertTrue(vectors.isAllocation(9, rows, 0, 0, 0, rules), "coverage");
        rules = _rules();
        rules.topK = 2;
        vm.assertTrue(vectors.isAllocation(9, rows, 0, 0, 0, rules), "top");
        rules = _rules();
        rules.minShare = 100_001;
        vm.assertTrue(vectors.isAllocation(9, rows, 0, 0, 0, rules), "least share");
        rules = _rules();
        rules.rowCost = 1; // a row must be worth its settlement
        vm.assertTrue(vectors.isAllocation(9, rows, 0, 0, 0, rules), "cost");
        rows[2].amount = 1; // below what is paid there is nothing
        vm.assertEq(vectors.isAllocation(9, rows, 0, 0, 0, rules), false);
    }

    function test_nothingToAttributeIsTheBasePools() public view {
        Score.Rules memory rules = _rules();
        Receipts.Row[] memory none = new Receipts.Row[](0);
        vm.assertTrue(vectors.isAllocation(9, none, 0, 0, 9, rules), "all of it");
        vm.assertEq(vectors.isAllocation(9, none, 0, 0, 8, rules), false);
        vm.assertTrue(vectors.isAllocation(0, none, 0, 0, 0, rules), "of nothing");
        rules.reliability = 500_000;
        Receipts.Row[] memory rows = _rows([uint64(5), 3, 2], [uint256(5), 3, 2]);
        vm.assertTrue(vectors.isAllocation(20, rows, 0, 0, 10, rules), "what is not reliable");
        vm.assertEq(vectors.isAllocation(20, rows, 0, 0, 0, rules), false);
    }

    function test_textWeighsByWhatItCovers() public view {
        Score.Rules memory rules = _rules();
        // No influence is significant: the text alone, of which a quarter is the first row's.
        Receipts.Row[] memory rows = _rows([uint64(5), 3, 2], [uint256(6), 3, 1]);
        for (uint256 i = 0; i < 3; ++i) {
            (rows[i].significance, rows[i].text) = (0, uint64([60, 30, 10][i]));
        }
        vm.assertTrue(vectors.isAllocation(10, rows, 40, 100, 0, rules), "by text alone");
        // Half by influence (1, 0, 0) and half by text (0, 1, 0); never more than the cap.
        for (uint256 i = 0; i < 3; ++i) {
            rows[i].significance = i == 0 ? int64(5_000) : int64(0);
            rows[i].text = i == 1 ? 7 : 0;
            rows[i].amount = i == 2 ? 0 : 5;
        }
        vm.assertTrue(vectors.isAllocation(10, rows, 90, 100, 0, rules), "capped");
        (rows[0].amount, rows[1].amount) = (6, 4);
        vm.assertTrue(vectors.isAllocation(10, rows, 40, 100, 0, rules), "by what it covers");
    }

    function _assertAllocation(
        bool isRight,
        uint256 pool,
        uint64[3] memory influences,
        uint256[3] memory amounts
    ) private view {
        Receipts.Row[] memory rows = _rows(influences, amounts);
        vm.assertEq(vectors.isAllocation(pool, rows, 0, 0, 0, _rules()), isRight);
    }

    function _rows(uint64[3] memory influences, uint256[3] memory amounts)
        private
        pure
        returns (Receipts.Row[] memory rows)
    {
        rows = new Receipts.Row[](3);
        for (uint256 i = 0; i < 3; ++i) {
            rows[i].cluster = bytes32(i + 1);
            rows[i].influence = int64(influences[i]);
            rows[i].significance = 5_000;
            rows[i].amount = amounts[i];
        }
    }

    function _rules() private pure returns (Score.Rules memory) {
        return Score.Rules({
            significance: 4_000,
            minShare: 0,
            coverage: 1_000_000,
            topK: 16,
            textCap: 500_000,
            reliability: 1_000_000,
            rowCost: 0,
            platform: 100_000,
            model: 200_000,
            stakers: 200_000,
            retrieval: 100_000
        });
    }
}
