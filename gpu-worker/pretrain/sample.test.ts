import assert from 'node:assert/strict'
import test from 'node:test'
import { randomSource } from '#engine/random.ts'
import { drawToken } from './sample.ts'

test('at temperature 0 the largest logit is drawn', () => {
  const logits = Float32Array.of(-3, 4, 1, 3.9)
  assert.equal(drawToken(logits, 0, randomSource(1)), 1)
})

test('at temperature T tokens are drawn in proportion to exp(logit / T)', () => {
  const logits = Float32Array.of(Math.log(1), Math.log(4), Math.log(9), -Infinity)
  const random = randomSource(7)
  const draws = 20_000
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < draws; i++) counts[drawToken(logits, 2, random)]! += 1
  // exp(log(x) / 2) = sqrt(x): shares 1/6, 2/6, 3/6, 0. The standard deviation of a share is at most 0.0036.
  const shares = [1 / 6, 2 / 6, 3 / 6, 0]
  counts.forEach((count, id) => {
    assert.ok(Math.abs(count / draws - shares[id]!) < 0.02, `token ${id}: ${count / draws}`)
  })
  assert.equal(counts[3], 0)
})
