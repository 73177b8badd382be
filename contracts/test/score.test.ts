import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { defaultParameters, type ParameterValues } from '#protocol/parameters.ts'
import { openRow } from '#protocol/opening.ts'
import type { ReceiptRow } from '#protocol/receipt.ts'
import {
  allocate,
  citationAmounts,
  dotInt8,
  relativeScore,
  shortlist,
  significance,
  splitFee,
} from '#protocol/score.ts'
import { toHex } from '#protocol/bytes.ts'
import { startAnvil } from './anvil.ts'
import { deployVectors, Values, type Vectors } from './vectors.ts'

const bytesOf = (vector: Int8Array) => toHex(new Uint8Array(vector))
const rules = (values: ParameterValues) => ({
  significance: values['attribution.significance'],
  minShare: values['attribution.minShare'],
  coverage: values['attribution.coverage'],
  topK: values['attribution.topK'],
  textCap: values['attribution.textCap'],
  reliability: values['attribution.reliability'],
  rowCost: values['settlement.rowCost'],
  platform: values['split.platform'],
  model: values['split.model'],
  stakers: values['split.stakers'],
  retrieval: values['split.retrieval'],
})

describe('Score.sol computes what protocol/score.ts does', () => {
  let chain: Awaited<ReturnType<typeof startAnvil>>
  let vectors: Vectors
  before(async () => {
    chain = await startAnvil()
    vectors = await deployVectors(chain)
  })
  after(() => chain.stop())

  test('dot products of int8 vectors of any length, the extremes included', async () => {
    const values = new Values('dot')
    const random = (length: number) => Int8Array.from({ length }, () => Number(values.int(8)))
    for (const length of [0, 1, 5, 31, 32, 33, 64, 100, 2_016, 2_048])
      for (const [a, b] of [
        [random(length), random(length)],
        [new Int8Array(length).fill(-128), new Int8Array(length).fill(-128)],
        [new Int8Array(length).fill(-128), new Int8Array(length).fill(127)],
        [new Int8Array(length), random(length)],
      ] as const)
        assert.deepEqual(await vectors.ask('products', [bytesOf(a), bytesOf(b)]), [
          BigInt(dotInt8(a, b)),
          BigInt(dotInt8(a, a)),
        ])
  })

  test('relative scores and significance, negative ones truncated toward zero', async () => {
    const values = new Values('scores')
    for (let i = 0; i < 40; i++) {
      const [a, b] = [values.uint(25), values.uint(25)]
      const dot = values.int(24)
      assert.equal(await vectors.ask('relative', [dot, a, b]), relativeScore(dot, a, b))
      const [score, mean, deviation] = [values.int(22), values.int(20), values.uint(12)]
      assert.equal(
        await vectors.ask('significance', [score, mean, deviation]),
        significance(score, { mean, deviation }),
      )
    }
  })

  test('allocations: what TypeScript allocates holds, and nothing a wei, a row or a place beside it', async () => {
    const values = new Values('allocations')
    for (let round = 0; round < 60; round++) {
      const parameters: ParameterValues = {
        ...defaultParameters(),
        'attribution.topK': 1n + (values.uint(16) % 16n),
        'attribution.coverage': 100_000n + (values.uint(32) % 900_001n),
        'attribution.minShare': values.uint(32) % 100_000n,
        'attribution.textCap': values.uint(32) % 1_000_001n,
        'settlement.rowCost': values.uint(32),
      }
      const candidates = Array.from({ length: Number(values.uint(8) % 40n) }, () => ({
        cluster: values.hash(),
        record: values.hash(),
        contributor: values.address(),
        // Few distinct numbers, so that ties are common.
        influence: (values.uint(16) % 7n) * 1_000n - 1_000n,
        significance: (values.uint(16) % 4n) * 2_000n,
        text: (values.uint(16) % 5n) * 3_333n,
      }))
      const total = values.uint(20)
      const information = { total, covered: total === 0n ? 0n : values.uint(20) % total }
      const pool = values.uint(round % 3 === 0 ? 10 : 70)
      const listed = shortlist(candidates, parameters).rows
      const fair = allocate(pool, listed, information, parameters)
      const rows = fair.rows.map(({ weight: _weight, ...row }): ReceiptRow => ({
        ...row,
        spans: [],
      }))
      const holds = (given: ReceiptRow[], rest = fair.unattributed) =>
        vectors.ask('isAllocation', [
          pool,
          given.map(openRow),
          information.covered,
          information.total,
          rest,
          rules(parameters),
        ])
      assert.equal(await holds(rows), true)
      assert.equal(await holds(rows, fair.unattributed + 1n), false)
      const [first, second, ...others] = rows
      if (!first || !second) continue
      assert.equal(await holds([second, first, ...others]), false)
      const [more, less] = [first.amount + 1n, second.amount - 1n]
      if (second.amount > 0n)
        assert.equal(
          await holds([{ ...first, amount: more }, { ...second, amount: less }, ...others]),
          false,
        )
      const last = rows.at(-1)!
      assert.equal(
        await holds([...rows.slice(0, -1), { ...last, amount: last.amount + 1n }]),
        false,
      )
    }
  })

  test('splits of fees', async () => {
    const values = new Values('fees')
    for (let i = 0; i < 12; i++) {
      const fee = values.uint(96)
      for (const citations of [0, 3])
        assert.deepEqual(
          await vectors.ask('splitFee', [fee, rules(defaultParameters()), citations > 0]),
          splitFee(fee, defaultParameters(), citations),
        )
      for (const [at, amount] of citationAmounts(fee, 7).entries())
        assert.equal(await vectors.ask('citationAmount', [fee, 7, at]), amount)
    }
  })
})
