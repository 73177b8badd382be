import assert from 'node:assert/strict'
import test from 'node:test'
import { relativeScore } from '#protocol/score.ts'
import { randomSource } from '#engine/random.ts'
import { nullStatistics, relativeNumber } from './index-rows.ts'

test('relative scores in float64 are the protocol’s integers up to the largest norms', () => {
  const random = randomSource(8)
  const below = (most: number) => Math.floor(random() * most)
  const largest = 2_048 * 127 ** 2
  for (let i = 0; i < 20_000; i++) {
    const most = 2 ** (1 + below(25))
    const [self, query] = [below(Math.min(most, largest)), below(largest)]
    const dot = Math.round((2 * random() - 1) * Math.sqrt(self * query))
    const expected = relativeScore(BigInt(dot), BigInt(self), BigInt(query))
    assert.equal(relativeNumber(dot, self, query), Number(expected), `${dot} ${self} ${query}`)
  }
  // Perfect squares and their neighbours, where a rounded root would be one too large.
  for (const root of [3, 1_000, 33_032_192])
    for (const [a, b] of [
      [root, root],
      [root - 1, root + 1],
      [root, root - 1],
    ] as const)
      assert.equal(relativeNumber(a, a, b), Number(relativeScore(BigInt(a), BigInt(a), BigInt(b))))
})

test('null statistics share their mean, and what helps every query widens its own deviation', () => {
  const rows = [[100, -100, 0], [1_100, 900, 1_000], [5]]
  const [plain, universal, unknown] = nullStatistics(rows)
  const mean = Math.round(3_005 / 7)
  assert.deepEqual([plain?.nullMean, universal?.nullMean], [BigInt(mean), BigInt(mean)])
  const rms = (own: number[]) =>
    Math.round(Math.sqrt(own.reduce((n, x) => n + (x - mean) ** 2, 0) / (own.length - 1)))
  assert.equal(plain?.nullDeviation, BigInt(rms(rows[0]!)))
  assert.equal(universal?.nullDeviation, BigInt(rms(rows[1]!)))
  assert.ok(universal!.nullDeviation > 400n, 'its own spread is 100')
  assert.deepEqual(unknown, { nullMean: 0n, nullDeviation: 0n })
})
