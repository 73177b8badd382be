import assert from 'node:assert/strict'
import test from 'node:test'
import { ADAMW_DEFAULTS, adamwState, adamwStep, learningRate } from './optimizer.ts'
import type { Schedule } from './optimizer.ts'

const matrix = (...data: number[]) =>
  new Map([['w', { dims: [1, data.length], data: Float32Array.from(data) }]])

test('the first AdamW step moves every weight by the learning rate against its gradient, plus decay', () => {
  const parameters = matrix(1, -2)
  const options = { ...ADAMW_DEFAULTS, maxGradientNorm: Infinity }
  adamwStep(parameters, matrix(0.3, -5), adamwState(parameters), 0.01, options)
  const [a, b] = parameters.get('w')!.data
  assert.ok(Math.abs(a! - (1 * (1 - 0.001) - 0.01)) < 1e-6)
  assert.ok(Math.abs(b! - (-2 * (1 - 0.001) + 0.01)) < 1e-6)
})

test('three AdamW steps follow the definition', () => {
  const parameters = matrix(0.5)
  const { beta1, beta2, epsilon, weightDecay } = ADAMW_DEFAULTS
  let [w, m, v] = [0.5, 0, 0]
  let state = adamwState(parameters)
  for (const [i, gradient] of [0.2, -0.4, 0.9].entries()) {
    state = adamwStep(parameters, matrix(gradient), state, 0.1).state
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient ** 2
    const [mHat, vHat] = [m / (1 - beta1 ** (i + 1)), v / (1 - beta2 ** (i + 1))]
    w -= 0.1 * (mHat / (Math.sqrt(vHat) + epsilon) + weightDecay * w)
  }
  assert.equal(state.step, 3)
  assert.ok(Math.abs(parameters.get('w')!.data[0]! - w) < 1e-6)
})

test('clipping bounds the global norm and reports it before clipping', () => {
  const [clipped, scaled] = [matrix(1, 1), matrix(1, 1)]
  const { gradientNorm, state } = adamwStep(clipped, matrix(30, 40), adamwState(clipped), 0.1)
  const reference = adamwStep(scaled, matrix(0.6, 0.8), adamwState(scaled), 0.1)
  assert.equal(gradientNorm, 50)
  state.first.get('w')!.data.forEach((m, i) => {
    assert.ok(Math.abs(m - reference.state.first.get('w')!.data[i]!) < 1e-7)
  })
})

test('a gradient that is not finite is refused before anything changes', () => {
  const parameters = matrix(1)
  assert.throws(() => adamwStep(parameters, matrix(NaN), adamwState(parameters), 0.1), /NaN/)
  assert.deepEqual(parameters, matrix(1))
})

test('the schedule warms up linearly, then follows its curve to the floor', () => {
  const cosine: Schedule = { kind: 'cosine', peak: 2, warmup: 4, total: 104, floor: 0.1 }
  assert.deepEqual(
    [0, 1, 3, 4].map((step) => learningRate(cosine, step)),
    [0.5, 1, 2, 2],
  )
  assert.ok(Math.abs(learningRate(cosine, 54) - 2 * 0.55) < 1e-12)
  assert.ok(Math.abs(learningRate(cosine, 104) - 0.2) < 1e-12)
  assert.ok(
    Math.abs(learningRate({ ...cosine, kind: 'linear' }, 29) - 2 * (0.1 + 0.9 * 0.75)) < 1e-12,
  )
  assert.equal(learningRate({ ...cosine, kind: 'constant' }, 1000), 2)
})
