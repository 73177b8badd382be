import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak } from './bytes.ts'
import { defaultParameters } from './parameters.ts'
import {
  allocate,
  dotInt8,
  largestRemainder,
  METHOD_VERSION,
  methodOf,
  RELATIVE_ONE,
  relativeScore,
  shortlist,
  significance,
  splitFee,
  sqrtFloor,
  type Candidate,
} from './score.ts'

const parameters = { ...defaultParameters(), 'settlement.rowCost': 0n }
const noText = { covered: 0n, total: 1_000n }

function candidate(name: string, given: Partial<Candidate> = {}): Candidate {
  const id = keccak(name)
  return {
    cluster: id,
    record: id,
    contributor: `0x${id.slice(2, 42)}`,
    influence: 0n,
    significance: 5_000n,
    text: 0n,
    ...given,
  }
}

// A small deterministic generator, so that a failing case can be found again.
function* uniform(seed: number) {
  for (let state = seed >>> 0; ;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    yield state
  }
}

test('the integer square root is exact around perfect squares', () => {
  for (const root of [0n, 1n, 2n, 3n, 1_000n, 2n ** 31n - 1n, 2n ** 64n + 13n]) {
    assert.equal(sqrtFloor(root * root), root)
    if (root > 0n) assert.equal(sqrtFloor(root * root - 1n), root - 1n)
    if (root > 0n) assert.equal(sqrtFloor(root * root + 1n), root)
  }
})

const self = (v: Int8Array) => BigInt(dotInt8(v, v))

test('a relative score is the cosine of the vectors, whatever their scale', () => {
  const a = Int8Array.of(3, -4, 12)
  const b = Int8Array.of(6, -8, 24)
  assert.equal(relativeScore(BigInt(dotInt8(a, b)), self(a), self(b)), RELATIVE_ONE)
  assert.equal(relativeScore(-BigInt(dotInt8(a, b)), self(a), self(b)), -RELATIVE_ONE)
  assert.equal(relativeScore(0n, 0n, self(b)), 0n)
  assert.throws(() => dotInt8(a, Int8Array.of(1)), RangeError)
})

test('significance counts thousandths of a null deviation and truncates toward zero', () => {
  assert.equal(significance(1_500n, { mean: 500n, deviation: 400n }), 2_500n)
  assert.equal(significance(499n, { mean: 500n, deviation: 3_000n }), 0n)
  assert.equal(significance(500n, { mean: 0n, deviation: 0n }), 0n)
})

test('largest remainder sums to the amount and never moves a share by more than one wei', () => {
  const random = uniform(7)
  const next = () => BigInt(random.next().value as number)
  for (let round = 0; round < 500; round++) {
    const weights = Array.from({ length: 1 + Number(next() % 12n) }, () => next() % 1_000n)
    const amount = next() * next()
    const amounts = largestRemainder(amount, weights)
    const total = weights.reduce((n, w) => n + w, 0n)
    if (total === 0n) {
      assert.ok(amounts.every((a) => a === 0n))
      continue
    }
    assert.equal(
      amounts.reduce((n, a) => n + a, 0n),
      amount,
    )
    amounts.forEach((a, i) => {
      const floor = (amount * weights[i]!) / total
      assert.ok(a === floor || a === floor + 1n)
    })
  }
})

test('the parts of a fee sum to the fee', () => {
  for (const fee of [0n, 1n, 999n, 10n ** 18n + 7n]) {
    const { platform, model, stakers, contributors } = splitFee(fee, parameters)
    assert.equal(platform + model + stakers + contributors, fee)
    assert.ok(contributors * 2n >= fee)
    const cited = splitFee(fee, parameters, 2)
    assert.equal(cited.retrieval, (fee * parameters['split.retrieval']) / 1_000_000n)
    assert.deepEqual(
      { ...cited, contributors: cited.contributors + cited.retrieval, retrieval: 0n },
      splitFee(fee, parameters),
    )
  }
})

test('influence below the significance threshold earns nothing', () => {
  const { rows, unattributed } = allocate(
    1_000_000n,
    [
      candidate('strong', { influence: 500n }),
      candidate('weak', { influence: 500n, significance: 3_999n }),
    ],
    noText,
    parameters,
  )
  assert.deepEqual(
    rows.map((row) => [row.cluster, row.amount]),
    [
      [keccak('strong'), 800_000n],
      [keccak('weak'), 0n],
    ],
  )
  assert.equal(unattributed, 200_000n)
})

test('with nothing significant the whole pool is unattributed', () => {
  const weak = candidate('weak', { influence: 500n, significance: 0n })
  const nothing = { rows: [], paid: 0, unattributed: 77n }
  const rows = [{ ...weak, weight: 0n, amount: 0n }]
  assert.deepEqual(allocate(77n, [weak], noText, parameters), { ...nothing, rows })
  assert.deepEqual(allocate(77n, [], noText, parameters), nothing)
})

test('text counts by its share of the information, up to the governed cap', () => {
  const both = [candidate('text', { text: 10n }), candidate('influence', { influence: 10n })]
  const amounts = (covered: bigint) =>
    Object.fromEntries(
      allocate(1_000_000n, both, { covered, total: 1_000n }, parameters).rows.map((r) => [
        r.cluster,
        r.amount,
      ]),
    )
  assert.deepEqual(amounts(250n), { [keccak('text')]: 200_000n, [keccak('influence')]: 600_000n })
  assert.deepEqual(amounts(1_000n), { [keccak('text')]: 400_000n, [keccak('influence')]: 400_000n })
})

test('a small pool raises the threshold: a row must be worth its settlement', () => {
  const rows = [candidate('a', { influence: 90n }), candidate('b', { influence: 10n })]
  const costly = { ...parameters, 'settlement.rowCost': 200n }
  assert.equal(allocate(10_000n, rows, noText, costly).paid, 2)
  assert.equal(allocate(1_000n, rows, noText, costly).paid, 1)
})

test('coverage and top K bound the rows, and the kept rows share the paid part', () => {
  const many = Array.from({ length: 40 }, (_, i) => candidate(`row ${i}`, { influence: 100n }))
  const { rows, paid, unattributed } = allocate(10n ** 18n, many, noText, parameters)
  assert.equal(paid, 16)
  assert.equal(rows.reduce((n, row) => n + row.amount, 0n) + unattributed, 10n ** 18n)
  const half = allocate(10n ** 18n, many.slice(0, 8), noText, {
    ...parameters,
    'attribution.coverage': 500_000n,
  })
  assert.equal(half.paid, 4)
  assert.ok(half.rows.every(({ amount }, i) => amount > 0n === i < 4))
})

test('the allocation does not depend on the order of the candidates', () => {
  const random = uniform(11)
  const next = () => BigInt(random.next().value as number)
  const rows = Array.from({ length: 30 }, (_, i) =>
    candidate(`row ${i}`, { influence: (next() % 5n) * 100n, text: next() % 3n }),
  )
  const information = { covered: 300n, total: 1_000n }
  assert.deepEqual(
    allocate(10n ** 15n, rows, information, parameters),
    allocate(10n ** 15n, [...rows].toReversed(), information, parameters),
  )
})

test('the shortlist has the most influential significant rows and those with the most text', () => {
  const three = { ...parameters, 'attribution.topK': 3n }
  const rows = [5n, 9n, 7n, 8n].map((n) => candidate(`i${n}`, { influence: n }))
  const loud = candidate('loud', { influence: 99n, significance: 0n })
  const texts = [4n, 1n, 3n, 2n].map((n) => candidate(`t${n}`, { influence: -n, text: n }))
  const listed = shortlist([...rows, loud, ...texts], three)
  assert.deepEqual(
    listed.rows.map(({ cluster }) => cluster),
    ['i9', 'i8', 'i7', 't4', 't3', 't2'].map((name) => keccak(name)),
  )
  assert.equal(listed.floor, 7n)
  assert.equal(shortlist(rows.slice(0, 2), three).floor, 0n)
  // A row in both lists stands once, and the floor is that of the first list.
  const both = shortlist([candidate('both', { influence: 6n, text: 9n }), ...rows], three)
  assert.equal(both.rows.length, 4)
  assert.equal(both.floor, 7n)
})

test('equal candidates are listed by cluster, whatever order they come in', () => {
  const many = Array.from({ length: 40 }, (_, i) =>
    candidate(`row ${i}`, { influence: 1n, text: 1n }),
  )
  const first = many
    .map(({ cluster }) => cluster)
    .toSorted()
    .slice(0, 16)
  for (const order of [many, many.toReversed()])
    assert.deepEqual(
      shortlist(order, parameters).rows.map(({ cluster }) => cluster),
      first,
    )
})

test('an unknown version of the method is a clear error', () => {
  assert.equal(methodOf(METHOD_VERSION).allocate, allocate)
  assert.throws(() => methodOf(7), /method 7 is unknown; known: 1/)
})
