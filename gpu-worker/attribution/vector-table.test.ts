import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomSource } from '#engine/random.ts'
import { dotInt8 } from '#protocol/score.ts'
import { vectorTable } from './vector-table.ts'

const random = randomSource(1)
const draw = (length: number): Int8Array =>
  Int8Array.from({ length }, () => Math.floor(random() * 256) - 128)

test('dot products equal dotInt8 for every size and shape', () => {
  for (const dims of [1, 7, 31, 32, 33, 64, 100, 512, 2048]) {
    for (const count of [0, 1, 2, 5, 33]) {
      const vectors = draw(dims * count)
      const table = vectorTable(vectors, dims)
      for (let round = 0; round < 3; round++) {
        const query = draw(dims)
        const expected = Array.from({ length: count }, (_, i) =>
          dotInt8(vectors.subarray(i * dims, (i + 1) * dims), query),
        )
        assert.deepEqual([...table.dots(query)], expected, `${count} rows of ${dims}`)
      }
    }
  }
})

test('the largest sums stay exact', () => {
  const dims = 2048
  const table = vectorTable(new Int8Array(dims * 3).fill(-128), dims)
  assert.deepEqual([...table.dots(new Int8Array(dims).fill(-128))], Array(3).fill(dims * 2 ** 14))
  assert.deepEqual([...table.dots(new Int8Array(dims).fill(127))], Array(3).fill(-dims * 128 * 127))
})

test('a row reads back, and other shapes are refused', () => {
  const vectors = draw(3 * 40)
  const table = vectorTable(vectors, 40)
  assert.deepEqual(table.vector(1), vectors.subarray(40, 80))
  assert.throws(() => table.dots(draw(41)), /41 dimensions, the table 40/)
  assert.throws(() => vectorTable(draw(41), 40), /do not have 40 dimensions/)
})
