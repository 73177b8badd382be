import assert from 'node:assert/strict'
import test from 'node:test'
import { gaussian, randomSource } from '#engine/random.ts'
import type { Block } from '#engine/programs/influence.ts'
import { quantize } from './quantize.ts'
import { cholesky, fitWhitening, whiten } from './whitening.ts'

const random = randomSource(4)
const normal = (length: number, deviation = 1) => {
  const x = new Float32Array(length)
  gaussian(random, x, deviation)
  return x
}
const block = (offset: number, rows: number, columns: number): Block => ({
  module: 'm',
  factor: 'A',
  offset,
  rows,
  columns,
  projection: null,
})
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((n, x, i) => n + x * b[i]!, 0)

test('the Cholesky factor multiplies back to the matrix', () => {
  // [[4, 2], [2, 5]] = L Lᵀ with L = [[2, 0], [1, 2]].
  assert.deepEqual([...cholesky(Float64Array.of(4, 0, 2, 5), 2)], [2, 0, 1, 2])
  assert.throws(() => cholesky(Float64Array.of(1, 0, 2, 1), 2), /not positive definite at row 1/)
})

test('whitened dot products are the damped inverse form gᵀ (C + λ I)⁻¹ q of each block', () => {
  const blocks = [block(0, 1, 2), block(2, 1, 1)]
  const gradients = Array.from({ length: 50 }, () => normal(3))
  const factors = fitWhitening(gradients, blocks, 0.5)
  const mean = (i: number, j: number) => gradients.reduce((n, g) => n + g[i]! * g[j]!, 0) / 50
  const lambda = (0.5 * (mean(0, 0) + mean(1, 1))) / 2
  const [a, b, d] = [mean(0, 0) + lambda, mean(0, 1), mean(1, 1) + lambda]
  const inverse = (x: Float32Array, y: Float32Array) =>
    (d * x[0]! * y[0]! - b * (x[0]! * y[1]! + x[1]! * y[0]!) + a * x[1]! * y[1]!) / (a * d - b * b)
  const [g, q] = [normal(3), normal(3)]
  const expected = inverse(g, q) + (g[2]! * q[2]!) / (mean(2, 2) * 1.5)
  const found = dot(whiten(g, factors), whiten(q, factors))
  assert.ok(Math.abs(found - expected) < 1e-5 * Math.abs(expected))
})

test('with little damping the training gradients become white', () => {
  const blocks = [block(0, 2, 4)]
  const mix = Array.from({ length: 8 }, () => normal(8))
  const gradients = Array.from({ length: 4000 }, () => {
    const x = normal(8)
    return Float32Array.from(mix, (row) => dot(row, x))
  })
  const factors = fitWhitening(gradients, blocks, 1e-6)
  const z = gradients.map((g) => whiten(g, factors))
  for (let i = 0; i < 8; i++)
    for (let j = 0; j <= i; j++) {
      const covariance = z.reduce((n, x) => n + x[i]! * x[j]!, 0) / z.length
      assert.ok(Math.abs(covariance - Number(i === j)) < 0.05, `${i} ${j} ${covariance}`)
    }
})

test('a block without gradients contributes nothing and harms nothing', () => {
  const factors = fitWhitening([Float32Array.of(0, 0, 2)], [block(0, 1, 2), block(2, 1, 1)], 0.1)
  const z = whiten(Float32Array.of(0, 0, 2), factors)
  assert.deepEqual([...z.subarray(0, 2)], [0, 0])
  assert.ok(Math.abs(z[2]! - 2 / Math.sqrt(4.4)) < 1e-6)
})

test('int8 vectors carry the direction within a percent and the scale as a power of two', () => {
  const vector = Float64Array.from(normal(5000, 3e-4))
  const { values, exponent, self } = quantize(vector)
  const back = Float64Array.from(values, (x) => x * 2 ** exponent)
  const cosine = dot(back, vector) / Math.sqrt(dot(back, back) * dot(vector, vector))
  assert.ok(cosine > 0.999)
  assert.equal(self, dot(values, values))
  assert.ok(Math.max(...values.map(Math.abs)) > 63)
})

test('one outlier does not round the rest of a vector to zero', () => {
  const vector = Float64Array.from(normal(5000))
  vector[7] = 200
  const { values, exponent } = quantize(vector)
  assert.equal(values[7], 127)
  assert.ok(127 * 2 ** exponent < 100, 'the outlier is clipped')
  assert.ok(values.filter((x) => x !== 0).length > 3500)
})

test('the zero vector stays zero and a vector that is not finite is refused', () => {
  assert.deepEqual(quantize(new Float64Array(3)), {
    values: new Int8Array(3),
    exponent: 0,
    self: 0,
  })
  assert.throws(() => quantize(Float64Array.of(1, Number.NaN)), /not finite/)
})
