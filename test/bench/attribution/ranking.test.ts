import assert from 'node:assert/strict'
import test from 'node:test'
import { isWithin, rankOf, reciprocalRank, shareBelow } from './ranking.ts'
import { leaveOneOut, mostMissed } from './contributors.ts'
import { risesOf, withoutStrongest } from './removal.ts'
import { halves, without } from './retraining.ts'
import { lds, mean, truthOf } from './statistics.ts'

const auc = (scores: number[], isPositive: boolean[]) => mean(shareBelow(scores, isPositive))

test('the mean share of negatives below is the area under the ROC curve', () => {
  assert.equal(auc([4, 3, 2, 1], [true, true, false, false]), 1)
  assert.equal(auc([4, 3, 2, 1], [false, false, true, true]), 0)
  assert.equal(auc([1, 1, 1], [true, false, false]), 0.5)
  // scipy.stats.mannwhitneyu([0.35, 0.8, 0.2], [0.1, 0.4, 0.35]).statistic / 9
  const [scores, labels] = [
    [0.1, 0.4, 0.35, 0.8, 0.35, 0.2],
    [0, 0, 1, 1, 0, 1],
  ]
  assert.ok(
    Math.abs(
      auc(
        scores,
        labels.map((label) => label === 1),
      ) - 0.6111111111111112,
    ) < 1e-12,
  )
})

test('an item ranks behind those with its score, so that what is not scored is not found', () => {
  assert.equal(rankOf(1, [3, 5, 4]), 1)
  assert.equal(rankOf(0, [3, 5, 4]), 3)
  assert.equal(rankOf(0, [0, 0, 0, 0]), 4)
  assert.equal(rankOf(0, [Number.NaN, 0, 1]), 3)
  assert.equal(mean([1, 2, 4, null].map(reciprocalRank)), (1 + 1 / 2 + 1 / 4) / 4)
  assert.equal(mean([1, 10, 11, null].map((rank) => isWithin(rank, 10))), 0.5)
})

test('a set of records is named by what is left out', () => {
  assert.deepEqual(without(4, new Set([2, 0])).records, [1, 3])
  assert.equal(without(4, new Set([2, 0])).name, without(4, new Set([0, 2])).name)
  assert.notEqual(without(4, new Set([1, 0])).name, without(4, new Set([0, 2])).name)
  assert.equal(without(4, new Set()).name, 'all')
  const [first, second] = halves(512, 2)
  assert.equal(first?.records.length, 256)
  assert.notDeepEqual(first?.records, second?.records)
})

const row = (contributor: string) =>
  ({ row: { contributor } }) as unknown as Parameters<typeof leaveOneOut>[0][number]

test('who is missed most is found first by scores that predict it', () => {
  const subsets = leaveOneOut(['a', 'b', 'a', 'c'].map(row))
  assert.deepEqual(
    subsets.map(({ records }) => records),
    [
      [1, 3],
      [0, 2, 3],
      [0, 1, 2],
    ],
  )
  // One query, whose loss rises most without a, then b, then c.
  const runs = [3, 2, 1].map((loss, i) => ({
    subset: subsets[i]?.name ?? '',
    seed: 1,
    losses: [loss],
  }))
  const truth = truthOf(runs, subsets)
  const right = [[2], [3], [2], [1]]
  assert.deepEqual(lds(right, truth), [1])
  assert.deepEqual(mostMissed(right, truth), [1])
  const wrong = [[0], [2], [0.5], [1]]
  // 1 - 6 (2² + 1 + 1) / (3 (3² - 1))
  assert.ok(Math.abs((lds(wrong, truth)[0] ?? 0) + 0.5) < 1e-12)
  assert.deepEqual(mostMissed(wrong, truth), [1 / 3])
})

test('the strongest records of a batch are left out, and its rise is counted in millinats', () => {
  const scores = [
    [1, 0, 9],
    [0, 5, 0],
    [2, 2, 0],
    [0, 0, 0],
  ]
  const all = without(4, new Set())
  const subset = withoutStrongest(scores, [0, 1], 0.5)
  assert.deepEqual(subset.records, [0, 3])
  const truth = {
    subsets: [all, subset],
    losses: [
      [1, 2, 3],
      [1.5, 1.75, 9],
    ],
  }
  assert.deepEqual(risesOf(truth, all, { subset, queries: [0, 1] }), [500, -250])
  assert.throws(() => risesOf(truth, without(4, new Set([0])), { subset, queries: [0] }), /retrain/)
})
