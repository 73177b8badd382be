// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.37;

import {Receipts} from "./Receipts.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @notice From scores to money: protocol/score.ts in the same order, with the same roundings.
/// Shared vectors: contracts/test/score.test.ts.
library Score {
    /// @notice The governed numbers that attribution and fees follow, in their own units.
    struct Rules {
        uint256 significance;
        uint256 minShare;
        uint256 coverage;
        uint256 topK;
        uint256 textCap;
        uint256 reliability;
        uint256 rowCost;
        uint256 platform;
        uint256 model;
        uint256 stakers;
        uint256 retrieval;
    }

    struct FeeSplit {
        uint256 platform;
        uint256 model;
        uint256 stakers;
        uint256 retrieval;
        uint256 contributors;
    }

    /// @notice Version of the method that this is.
    uint32 internal constant METHOD = 1;

    uint256 private constant PPM = 1_000_000;
    int256 private constant RELATIVE_ONE = 1 << 20;
    int256 private constant SIGNIFICANCE_UNIT = 1_000;
    uint256 private constant WEIGHT_ONE = 1_000_000_000;

    uint256 private constant BIAS =
        0x8080808080808080808080808080808080808080808080808080808080808080;
    uint256 private constant LANE16 =
        0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
    uint256 private constant ONES16 =
        0x0001000100010001000100010001000100010001000100010001000100010001;
    uint256 private constant LANE32 =
        0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff;
    uint256 private constant LOW32 =
        0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant LOW64 =
        0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;

    /* ------------------------------------ scores ------------------------------------ */

    /// @notice Dot product of two int8 vectors of the same length, given as bytes, and that of the
    /// first one with itself.
    /// @dev Every byte is biased by 128 to be unsigned; with a' = a + 128 and b' = b + 128,
    ///   sum a b = sum a' b' - 128 (sum a' + sum b') + 128^2 n.
    /// sum a' b' of a word of 32 bytes takes four multiplications: bytes k, k + 4, .. of b in
    /// lanes of 32 bits, times those of a in reversed lanes, have the sum of eight products in the
    /// top lane (each lane stays below 8 * 255^2 < 2^32, so none carries into the next).
    function products(bytes calldata a, bytes calldata b)
        internal
        pure
        returns (int256 dot, int256 self)
    {
        uint256 dots;
        uint256 selves;
        uint256 sumA;
        uint256 sumB;
        assembly ("memory-safe") {
            let shift := sub(b.offset, a.offset)
            let end := add(a.offset, a.length)
            for { let i := a.offset } lt(i, end) { i := add(i, 0x20) } {
                let x := xor(calldataload(i), BIAS)
                let y := xor(calldataload(add(i, shift)), BIAS)
                if gt(add(i, 0x20), end) {
                    // Bytes beyond the end count as nothing.
                    let mask := not(shr(shl(3, sub(end, i)), not(0)))
                    x := and(x, mask)
                    y := and(y, mask)
                }
                // Pairs of bytes in lanes of 16 bits, all lanes added up in the top one.
                sumA := add(
                    sumA,
                    shr(240, mul(add(and(x, LANE16), and(shr(8, x), LANE16)), ONES16))
                )
                sumB := add(
                    sumB,
                    shr(240, mul(add(and(y, LANE16), and(shr(8, y), LANE16)), ONES16))
                )
                // Lanes of 32 bits of x in reversed order.
                let r := or(shl(128, x), shr(128, x))
                r := or(shl(64, and(r, LOW64)), and(shr(64, r), LOW64))
                r := or(shl(32, and(r, LOW32)), and(shr(32, r), LOW32))
                // Four times the same, written out: a loop takes 40 gas more for each.
                let lanes := and(r, LANE32)
                selves := add(selves, shr(224, mul(and(x, LANE32), lanes)))
                dots := add(dots, shr(224, mul(and(y, LANE32), lanes)))
                lanes := and(shr(8, r), LANE32)
                selves := add(selves, shr(224, mul(and(shr(8, x), LANE32), lanes)))
                dots := add(dots, shr(224, mul(and(shr(8, y), LANE32), lanes)))
                lanes := and(shr(16, r), LANE32)
                selves := add(selves, shr(224, mul(and(shr(16, x), LANE32), lanes)))
                dots := add(dots, shr(224, mul(and(shr(16, y), LANE32), lanes)))
                lanes := and(shr(24, r), LANE32)
                selves := add(selves, shr(224, mul(and(shr(24, x), LANE32), lanes)))
                dots := add(dots, shr(224, mul(and(shr(24, y), LANE32), lanes)))
            }
        }
        // forge-lint: disable-start(unsafe-typecast)
        int256 bias = int256(16_384 * a.length);
        dot = int256(dots) - 128 * int256(sumA + sumB) + bias;
        self = int256(selves) - 256 * int256(sumA) + bias;
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @notice Cosine in units of 2^20; zero when either vector is zero.
    function relative(int256 product, uint256 selfRow, uint256 selfQuery)
        internal
        pure
        returns (int256)
    {
        uint256 norm = FixedPointMathLib.sqrt(selfRow * selfQuery);
        // forge-lint: disable-next-line(unsafe-typecast)
        return norm == 0 ? int256(0) : (product * RELATIVE_ONE) / int256(norm);
    }

    /// @notice Thousandths of a null deviation that a relative score lies above the null mean.
    function significance(int256 score, int256 nullMean, uint256 nullDeviation)
        internal
        pure
        returns (int256)
    {
        // forge-lint: disable-next-line(unsafe-typecast)
        int256 deviation = int256(nullDeviation);
        return deviation == 0 ? int256(0) : ((score - nullMean) * SIGNIFICANCE_UNIT) / deviation;
    }

    function isSignificant(int256 influence, int256 deviations, Rules memory rules)
        internal
        pure
        returns (bool)
    {
        // forge-lint: disable-next-line(unsafe-typecast)
        return influence > 0 && deviations >= int256(rules.significance);
    }

    /* ------------------------------------ shares ------------------------------------ */

    /// @notice The governed parts of a fee. Without citations retrieval's is the contributors'.
    function splitFee(uint256 fee, Rules memory rules, bool hasCitations)
        internal
        pure
        returns (FeeSplit memory split)
    {
        split.platform = fee * rules.platform / PPM;
        split.model = fee * rules.model / PPM;
        split.stakers = fee * rules.stakers / PPM;
        if (hasCitations) split.retrieval = fee * rules.retrieval / PPM;
        split.contributors = fee - split.platform - split.model - split.stakers - split.retrieval;
    }

    /// @notice What citation `i` of so many gets: equal parts, the first ones the odd wei.
    function citationAmount(uint256 retrieval, uint256 count, uint256 i)
        internal
        pure
        returns (uint256)
    {
        return retrieval / count + (i < retrieval % count ? 1 : 0);
    }

    /// @notice Whether rows stand by falling weight (ties by rising cluster) and have exactly the
    /// amounts that `allocate` of protocol/score.ts gives them, `unattributed` the rest.
    function isAllocation(
        uint256 pool,
        Receipts.Row[] calldata rows,
        uint256 covered,
        uint256 total,
        uint256 unattributed,
        Rules memory rules
    ) internal pure returns (bool) {
        uint256[] memory weights = _weights(rows, covered, total, rules);
        uint256 sum = 0;
        for (uint256 i = 0; i < weights.length; ++i) {
            sum += weights[i];
            if (i == 0 || weights[i - 1] > weights[i]) continue;
            if (weights[i - 1] < weights[i] || rows[i - 1].cluster >= rows[i].cluster) {
                return false;
            }
        }
        (uint256 paid, uint256 paidWeight) = _paid(weights, sum, pool, rules);
        uint256 attributed = paid == 0 ? 0 : pool * rules.reliability / PPM;
        if (unattributed != pool - attributed) return false;
        for (uint256 i = paid; i < rows.length; ++i) {
            if (rows[i].amount != 0) return false;
        }
        return paid == 0 || _isLargestRemainder(rows, weights, paid, paidWeight, attributed);
    }

    function _weights(
        Receipts.Row[] calldata rows,
        uint256 covered,
        uint256 total,
        Rules memory rules
    ) private pure returns (uint256[] memory weights) {
        uint256 count = rows.length;
        uint256[] memory influences = new uint256[](count);
        uint256 influenceSum = 0;
        uint256 textSum = 0;
        for (uint256 i = 0; i < count; ++i) {
            Receipts.Row calldata row = rows[i];
            textSum += row.text;
            if (!isSignificant(row.influence, row.significance, rules)) continue;
            // forge-lint: disable-next-line(unsafe-typecast)
            uint256 influence = uint256(int256(row.influence));
            influences[i] = influence;
            influenceSum += influence;
        }
        uint256 kappa = 0;
        if (textSum != 0 && total != 0) {
            kappa = covered * PPM / total;
            if (kappa > rules.textCap) kappa = rules.textCap;
        }
        uint256 textPart = kappa * WEIGHT_ONE;
        uint256 influencePart = (PPM - kappa) * WEIGHT_ONE;
        (textSum, influenceSum) = (textSum * PPM, influenceSum * PPM);
        weights = influences;
        unchecked {
            // Parts are below 2^50, texts and influences below 2^64.
            for (uint256 i = 0; i < count; ++i) {
                uint256 weight =
                    influenceSum == 0 ? 0 : influencePart * influences[i] / influenceSum;
                if (textSum != 0) weight += textPart * rows[i].text / textSum;
                weights[i] = weight;
            }
        }
    }

    /// @dev How many rows, the first ones, are paid, and their weight in all.
    function _paid(uint256[] memory weights, uint256 sum, uint256 pool, Rules memory rules)
        private
        pure
        returns (uint256 paid, uint256 reached)
    {
        uint256 least = rules.minShare * WEIGHT_ONE / PPM;
        if (pool != 0) {
            uint256 settle = rules.rowCost * WEIGHT_ONE / pool;
            if (settle > least) least = settle;
        }
        uint256 enough = sum * rules.coverage / PPM;
        while (paid < weights.length && paid < rules.topK && reached < enough) {
            if (weights[paid] < least) break;
            reached += weights[paid++];
        }
    }

    /// @dev Whether every amount is the floor of its share, and one wei more exactly for the
    /// largest remainders (ties to the earlier).
    function _isLargestRemainder(
        Receipts.Row[] calldata rows,
        uint256[] memory weights,
        uint256 paid,
        uint256 paidWeight,
        uint256 attributed
    ) private pure returns (bool) {
        uint256 given = 0;
        // The smallest remainder that got a wei, the last row that has it, and the largest that got
        // none, with the first row that has it.
        uint256 smallest = type(uint256).max;
        uint256 lastGiven = 0;
        uint256 largest = 0;
        uint256 firstLeft = type(uint256).max;
        for (uint256 i = 0; i < paid; ++i) {
            uint256 share = attributed * weights[i];
            uint256 amount = rows[i].amount;
            uint256 floor = share / paidWeight;
            uint256 remainder = share % paidWeight;
            given += amount;
            if (amount == floor) {
                if (remainder > largest || firstLeft == type(uint256).max) {
                    (largest, firstLeft) = (remainder, i);
                }
            } else if (amount == floor + 1) {
                if (remainder <= smallest) (smallest, lastGiven) = (remainder, i);
            } else {
                return false;
            }
        }
        if (given != attributed) return false;
        return smallest > largest || (smallest == largest && lastGiven < firstLeft)
            || firstLeft == type(uint256).max;
    }
}
