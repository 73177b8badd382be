import assert from 'node:assert/strict'
import test from 'node:test'
import { isId, newId } from './ids.ts'

test('ids carry their kind and sort by time', () => {
  const early = newId('datanet', 1_790_000_000_000)
  const late = newId('datanet', 1_790_000_000_001)
  assert.ok(early < late)
  assert.ok(isId('datanet', early))
  assert.ok(!isId('contribution', early))
  assert.ok(!isId('datanet', early.toUpperCase()))
  assert.equal(new Set(Array.from({ length: 1_000 }, () => newId('job'))).size, 1_000)
})
