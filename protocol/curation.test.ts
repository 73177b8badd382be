import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextPenalty, rewardFactor } from './curation.ts'
import { PPM } from './parameters.ts'

test('the reward factor is (1 - penalty)^2.5, rounded down', () => {
  for (let penalty = 0n; penalty <= PPM; penalty += 12_345n) {
    const exact = (1 - Number(penalty) / 1e6) ** 2.5 * 1e6
    const difference = exact - Number(rewardFactor(penalty))
    assert.ok(difference > -1e-6 && difference < 1 + 1e-6, `${penalty}: ${difference}`)
  }
  assert.equal(rewardFactor(0n), PPM)
  assert.equal(rewardFactor(PPM), 0n)
  assert.equal(rewardFactor(PPM + 1n), 0n)
  assert.equal(rewardFactor(PPM - 1n), 0n)
})

test('a penalty stays within the whole, rises with faults and ends at zero with clean work', () => {
  let penalty = 0n
  for (let i = 0; i < 100; i++) {
    const next = nextPenalty(penalty, PPM, 150_000n)
    assert.ok(next >= penalty && next <= PPM)
    penalty = next
  }
  assert.ok(penalty > 999_900n)
  for (let i = 0; i < 200; i++) penalty = nextPenalty(penalty, 0n, 150_000n)
  assert.equal(penalty, 0n)
})
