import assert from 'node:assert/strict'
import test from 'node:test'
import { CAPACITY_BUCKET, KvCache } from './kv-cache.ts'
import { cacheKeys, cacheValues, newKeys, newValues } from './programs/generate.ts'
import { tinyConfig } from './testing.ts'

const config = tinyConfig()
const { kvHeads, headDim, layers } = config

/** Keys and values of `count` tokens of one row, each element telling its sequence, position, head and column. */
function fresh(sequence: number, start: number, count: number) {
  const dims = [1, kvHeads, count, headDim]
  const outputs = new Map()
  for (let layer = 0; layer < layers; layer++) {
    const mark = (side: number) =>
      Float32Array.from({ length: kvHeads * count * headDim }, (_, i) => {
        const head = Math.floor(i / (count * headDim))
        const position = start + (Math.floor(i / headDim) % count)
        return element(sequence, layer, side, head, position, i % headDim)
      })
    outputs.set(newKeys(layer), { dims, data: mark(0) })
    outputs.set(newValues(layer), { dims, data: mark(1) })
  }
  return outputs
}

const element = (...parts: readonly number[]) =>
  Math.fround(parts.reduce((code, part) => (code * 211 + part) % 1_000_003, 7))

/** Checks every element of a row against what was appended for that sequence. */
function assertHolds(cache: KvCache, row: number, sequence: number) {
  const feeds = cache.feeds(row, row + 1)
  const capacity = cache.capacity
  for (let layer = 0; layer < layers; layer++) {
    const keys = feeds[cacheKeys(layer)]!
    const values = feeds[cacheValues(layer)]!
    assert.deepEqual(keys.dims, [1, kvHeads, headDim, capacity])
    for (let head = 0; head < kvHeads; head++) {
      for (let position = 0; position < cache.length(row); position++) {
        for (let d = 0; d < headDim; d++) {
          const key = keys.data[(head * headDim + d) * capacity + position]
          const value = values.data[(head * capacity + position) * headDim + d]
          assert.equal(key, element(sequence, layer, 0, head, position, d))
          assert.equal(value, element(sequence, layer, 1, head, position, d))
        }
      }
    }
  }
}

test('entries survive growth, removal of other rows and shrinking', () => {
  const cache = new KvCache(config)
  for (const [sequence, length] of [30, 150, 8].entries()) {
    cache.append(cache.add(), fresh(sequence, 0, length), [length])
  }
  assert.equal(cache.capacity, 3 * CAPACITY_BUCKET)
  cache.append(0, fresh(0, 30, 1), [1])
  assertHolds(cache, 0, 0)
  assertHolds(cache, 1, 1)
  assertHolds(cache, 2, 2)
  cache.remove(1) // the last row takes its place, and nothing needs the large capacity any more
  assert.equal(cache.rows, 2)
  assert.equal(cache.capacity, CAPACITY_BUCKET)
  assertHolds(cache, 0, 0)
  assertHolds(cache, 1, 2)
})

test('a new sequence finds nothing of the one that had its row before', () => {
  const cache = new KvCache(config)
  const poisoned = fresh(0, 0, 5)
  for (const { data } of poisoned.values()) data.fill(NaN)
  cache.append(cache.add(), poisoned, [5])
  cache.remove(0)
  const row = cache.add()
  cache.append(row, fresh(1, 0, 2), [2])
  assertHolds(cache, row, 1)
  const { data } = cache.feeds()[cacheValues(0)]!
  assert.ok(data.every((value) => !Number.isNaN(value)))
})

test('a sequence longer than the model allows is refused', () => {
  const cache = new KvCache(config)
  cache.add()
  assert.throws(() => cache.append(0, fresh(0, 0, 257), [257]), /exceeds the model's 256/)
})
