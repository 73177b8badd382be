import assert from 'node:assert/strict'
import test from 'node:test'
import { randomSource } from '#engine/random.ts'
import { topEigenvectors } from './eigenvectors.ts'

/** Turns the plane of axes i and j. */
const rotate = (i: number, j: number, angle: number) => (vector: number[]) =>
  vector.map((x, k) =>
    k === i
      ? Math.cos(angle) * x - Math.sin(angle) * vector[j]!
      : k === j
        ? Math.sin(angle) * vector[i]! + Math.cos(angle) * x
        : x,
  )
const unit = (k: number) => [0, 1, 2, 3].map((i) => Number(i === k))

test('the largest eigenvectors of a matrix whose spectrum is known', () => {
  // Q diag(9, 4, 1, 0.5) Qᵀ with Q of two plane rotations.
  const columns = [0, 1, 2, 3].map((k) => rotate(1, 3, 0.7)(rotate(0, 2, 0.4)(unit(k))))
  const values = [9, 4, 1, 0.5]
  const matrix = [0, 1, 2, 3].map((i) =>
    Float64Array.from([0, 1, 2, 3], (j) =>
      values.reduce((sum, value, k) => sum + value * columns[k]![i]! * columns[k]![j]!, 0),
    ),
  )
  for (const [k, { value, vector }] of topEigenvectors(matrix, 3).entries()) {
    assert.ok(Math.abs(value - values[k]!) < 1e-9, `${value}`)
    const cosine = columns[k]!.reduce((sum, x, i) => sum + x * vector[i]!, 0)
    assert.ok(Math.abs(Math.abs(cosine) - 1) < 1e-9)
  }
})

test('more vectors than there are dimensions, and a matrix of zeros, do no harm', () => {
  const random = randomSource(2)
  const x = Float64Array.from({ length: 3 }, random)
  const rankOne = Array.from(x, (a) => x.map((b) => a * b))
  const found = topEigenvectors(rankOne, 5)
  assert.equal(found.length, 3)
  assert.ok(found.slice(1).every(({ value }) => Math.abs(value) < 1e-12))
  const zeros = Array.from({ length: 3 }, () => new Float64Array(3))
  assert.ok(topEigenvectors(zeros, 2).every(({ value }) => value === 0))
})
