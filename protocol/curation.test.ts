import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextPenalty } from './curation.ts'
import { PPM } from './parameters.ts'

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
