import assert from 'node:assert/strict'
import test from 'node:test'
import { packBatch, padBatch } from './batch.ts'

const a = { tokens: [5, 6, 7, 8] }
const b = { tokens: [1, 2, 3], targets: [0, 0, 1] }
const c = { tokens: [9, 4] }

test('sequences are packed first fit, each a segment with its own positions', () => {
  const { feeds, targetCount, targetSequence } = packBatch([a, b, c], 6)
  assert.deepEqual([...feeds.tokens!.dims], [2, 6])
  assert.deepEqual([...feeds.tokens!.data], [5, 6, 7, 8, 9, 4, 1, 2, 3, 0, 0, 0])
  assert.deepEqual([...feeds.segments!.data], [0, 0, 0, 0, 2, 2, 1, 1, 1, -1, -1, -1])
  assert.deepEqual([...feeds.positions!.data], [0, 1, 2, 3, 0, 1, 0, 1, 2, 0, 0, 0])
  assert.deepEqual([...feeds.rows!.data], [0, 1, 2, 7, 4])
  assert.deepEqual([...feeds.labels!.data], [6, 7, 8, 3, 4])
  assert.deepEqual([...targetSequence], [0, 0, 0, 1, 2])
  assert.equal(targetCount, 5)
  assert.ok(feeds.weights!.data.every((weight) => weight === Math.fround(1 / 5)))
})

test('per-sequence weights make the loss the sum of each sequence’s mean', () => {
  const { feeds } = padBatch([a, b, c], 'per-sequence')
  assert.deepEqual([...feeds.tokens!.dims], [3, 4])
  assert.deepEqual([...feeds.weights!.data], [1 / 3, 1 / 3, 1 / 3, 1, 1].map(Math.fround))
})

test('a sequence that is too long and a batch without targets are refused', () => {
  assert.throws(() => packBatch([a], 3), /sequence 0 has 4 tokens, a row holds 3/)
  assert.throws(() => padBatch([{ tokens: [7] }]), /no target/)
})
