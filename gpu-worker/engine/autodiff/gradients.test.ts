// Every differentiable op against central finite differences, every macro also against its twin.
import assert from 'node:assert/strict'
import test from 'node:test'
import { Graph } from '../onnx/graph.ts'
import type { Value } from '../onnx/graph.ts'
import { sealProgram } from '../programs/program.ts'
import { gaussian, randomSource } from '../random.ts'
import { openSession } from '../session.ts'
import type { HostTensor } from '../tensor.ts'
import { relativeError } from '../testing.ts'
import { attention, crossEntropy, rmsNorm, rotary, swiglu } from './macros.ts'
import { add, gatherRows, linear, matMul, mul, reshape, scale, transpose } from './ops.ts'
import { Tape } from './tape.ts'
import {
  attentionTwin,
  crossEntropyTwin,
  rmsNormTwin,
  rotaryTwin,
  swigluTwin,
  weightedTotal,
} from './twins.ts'

const random = randomSource(17)

function normal(dims: readonly number[], deviation = 1): HostTensor {
  const data = new Float32Array(dims.reduce((product, dim) => product * dim, 1))
  gaussian(random, data, deviation)
  return { dims, data }
}

type Build = (tape: Tape, inputs: readonly Value[]) => Value
type Evaluation = { readonly loss: number; readonly gradients: readonly Float32Array[] }
type Compiled = (tensors: readonly HostTensor[]) => Promise<Evaluation>

/** Compiles Σ build(x...) ∘ weights, with random weights, or build itself when it is a scalar, and all gradients. */
async function compile(
  build: Build,
  tensors: readonly HostTensor[],
  weights: Float32Array,
): Promise<Compiled> {
  const g = new Graph('train')
  const tape = new Tape(g)
  const inputs = tensors.map(({ dims }, i) => g.input(`x${i}`, 'float32', dims))
  const y = build(tape, inputs)
  const dims = y.dims.map(Number)
  const size = dims.reduce((product, dim) => product * dim, 1)
  const loss =
    dims.length === 0 ? y : weightedTotal(tape, y, g.constant(weights.slice(0, size), dims))
  g.output('loss', loss)
  tape.gradients(loss, inputs).forEach((gradient, i) => g.output(`d${i}`, gradient))
  const session = await openSession(sealProgram('train', g, {}, {}))
  return async (values) => {
    const feeds = Object.fromEntries(values.map((tensor, i) => [`x${i}`, tensor]))
    const outputs = await session.run(feeds)
    return {
      loss: outputs.get('loss')!.data[0]!,
      gradients: tensors.map((_, i) => outputs.get(`d${i}`)!.data),
    }
  }
}

const someWeights = () => normal([4096]).data

/** Checks each input's gradient along a random direction; h balances truncation and rounding in float32. */
async function assertFiniteDifferences(build: Build, tensors: readonly HostTensor[]) {
  const run = await compile(build, tensors, someWeights())
  const { gradients } = await run(tensors)
  const h = 1e-2
  for (const [i, { dims, data }] of tensors.entries()) {
    const gradient = gradients[i]!
    const norm = Math.hypot(...gradient)
    assert.ok(norm > 0, `input ${i} has no gradient`)
    // Half along the gradient, so that the derivative stands out from rounding; half random.
    const noise = normal([data.length], 1 / Math.sqrt(data.length)).data
    const direction = noise.map((x, j) => x + gradient[j]! / norm)
    const moved = (step: number) =>
      tensors.map((tensor, j) =>
        i === j ? { dims, data: data.map((x, n) => x + step * direction[n]!) } : tensor,
      )
    const numeric = ((await run(moved(h))).loss - (await run(moved(-h))).loss) / (2 * h)
    const analytic = gradient.reduce((sum, x, n) => sum + x * direction[n]!, 0)
    const error = Math.abs(numeric - analytic) / Math.abs(analytic)
    assert.ok(error < 5e-3, `input ${i}: ${numeric} by differences, ${analytic} by the VJP`)
  }
}

async function assertTwins(macro: Build, twin: Build, tensors: readonly HostTensor[]) {
  const weights = someWeights()
  const a = await (await compile(macro, tensors, weights))(tensors)
  const b = await (await compile(twin, tensors, weights))(tensors)
  assert.ok(Math.abs(a.loss - b.loss) <= 1e-5 * Math.max(1, Math.abs(b.loss)))
  a.gradients.forEach((gradient, i) => {
    assert.ok(relativeError(gradient, b.gradients[i]!) < 1e-5, `input ${i}`)
  })
}

/** Wraps inputs in an op that uses them once more, so that gradients have something to be added to. */
const twice =
  (build: Build): Build =>
  (tape, inputs) => {
    const doubled = inputs.map((x) => add(tape, x, scale(tape, x, 0.5)))
    return add(tape, build(tape, doubled), build(tape, doubled))
  }

const indices = (g: Graph, ...values: number[]) =>
  g.constant(Int32Array.from(values), [values.length])

const PRIMITIVES: readonly [string, Build, HostTensor[]][] = [
  ['add', (t, [a, b]) => add(t, a!, b!), [normal([3, 4]), normal([3, 4])]],
  ['mul', (t, [a, b]) => mul(t, a!, b!), [normal([3, 4]), normal([3, 4])]],
  ['scale', (t, [x]) => scale(t, x!, -1.7), [normal([3, 4])]],
  ['matMul', (t, [a, b]) => matMul(t, a!, b!), [normal([2, 3, 4]), normal([2, 4, 5])]],
  [
    'linear with [out, in] weights',
    (t, [x, w, c]) => linear(t, x!, w!, { alpha: 0.7, plus: c }),
    [normal([5, 3]), normal([4, 3]), normal([5, 4])],
  ],
  [
    'linear with [in, out] weights',
    (t, [x, w]) => linear(t, x!, w!, { layout: 'in,out', alpha: 1.3 }),
    [normal([5, 3]), normal([3, 4])],
  ],
  ['reshape', (t, [x]) => reshape(t, x!, [4, 3]), [normal([2, 6])]],
  ['transpose', (t, [x]) => transpose(t, x!, [2, 0, 1]), [normal([2, 3, 4])]],
  [
    'gatherRows with repeated rows',
    (t, [x]) => gatherRows(t, x!, indices(t.graph, 4, 0, 4, 2, 4)),
    [normal([5, 3])],
  ],
]

for (const [name, build, tensors] of PRIMITIVES) {
  test(`${name}: gradients agree with finite differences`, async () => {
    await assertFiniteDifferences(build, tensors)
  })
  test(`${name}: gradients of values used twice add up`, async () => {
    await assertFiniteDifferences(twice(build), tensors)
  })
}

// Two rows of three positions, two heads of dimension four.
const POSITIONS = [0, 1, 2, 5, 3, 9]
const HEAD_DIM = 4
const angle = (position: number, i: number) => position * 100 ** (-(i % 2) / 2)
const table = (rows: readonly number[], columns: number, f: (angle: number) => number) =>
  Float32Array.from(rows.flatMap((p) => Array.from({ length: columns }, (_, i) => f(angle(p, i)))))
const tenPositions = Array.from({ length: 10 }, (_, i) => i)

const causal = [0, -1e9, -1e9, 0, 0, -1e9, 0, 0, 0]
const attentionMask = (g: Graph) =>
  g.constant(Float32Array.from([causal, causal, causal, causal].flat()), [2, 1, 6, 3])

const LABELS = [6, 0, 6, 3]
const targets = (g: Graph) => ({
  labels: indices(g, ...LABELS),
  weights: g.constant(Float32Array.of(0.5, 0, 1.5, -0.25), [4]),
})

const MACROS: readonly [string, Build, Build, HostTensor[]][] = [
  [
    'rmsNorm',
    (t, [x, w]) => rmsNorm(t, x!, w!, 1e-2),
    (t, [x, w]) => rmsNormTwin(t, x!, w!, 1e-2),
    [normal([5, 6], 0.3), normal([6])],
  ],
  [
    'rotary',
    (t, [x]) =>
      rotary(t, x!, t.graph.constant(BigInt64Array.from(POSITIONS, BigInt), [2, 3]), {
        cos: t.graph.constant(table(tenPositions, HEAD_DIM / 2, Math.cos), [10, HEAD_DIM / 2]),
        sin: t.graph.constant(table(tenPositions, HEAD_DIM / 2, Math.sin), [10, HEAD_DIM / 2]),
      }),
    (t, [x]) =>
      rotaryTwin(t, x!, {
        cos: t.graph.constant(table(POSITIONS, HEAD_DIM, Math.cos), [6, 1, HEAD_DIM]),
        sin: t.graph.constant(table(POSITIONS, HEAD_DIM, Math.sin), [6, 1, HEAD_DIM]),
        headDim: HEAD_DIM,
      }),
    [normal([2, 3, 2 * HEAD_DIM])],
  ],
  [
    'attention',
    (t, [q, k, v]) => attention(t, { q: q!, k: k!, v: v!, mask: attentionMask(t.graph) }, 0.6),
    (t, [q, k, v]) => attentionTwin(t, { q: q!, k: k!, v: v!, mask: attentionMask(t.graph) }, 0.6),
    [normal([2, 2, 6, 4]), normal([2, 2, 3, 4]), normal([2, 2, 3, 4])],
  ],
  [
    'swiglu',
    (t, [gate, up]) => swiglu(t, gate!, up!),
    (t, [gate, up]) => swigluTwin(t, gate!, up!),
    [normal([4, 5], 2), normal([4, 5])],
  ],
  [
    'crossEntropy',
    (t, [h, w]) => crossEntropy(t, h!, w!, targets(t.graph)).loss,
    (t, [h, w]) =>
      crossEntropyTwin(t, h!, w!, {
        oneHot: t.graph.constant(
          Float32Array.from(
            LABELS.flatMap((label) => tenPositions.map((i) => Number(i === label))),
          ),
          [4, 10],
        ),
        weights: t.graph.reshape(targets(t.graph).weights, [4, 1]),
      }),
    [normal([4, 6]), normal([10, 6])],
  ],
]

for (const [name, macro, twin, tensors] of MACROS) {
  test(`${name}: gradients agree with finite differences`, async () => {
    await assertFiniteDifferences(macro, tensors)
  })
  test(`${name}: value and gradients agree with the composition of primitives`, async () => {
    await assertTwins(macro, twin, tensors)
    await assertTwins(twice(macro), twice(twin), tensors)
  })
}

const nllOfTokenTwo: Build = (t, [x, w]) =>
  crossEntropy(t, x!, w!, {
    labels: indices(t.graph, 2),
    weights: t.graph.constant(Float32Array.of(1), [1]),
  }).loss

test('crossEntropy stays exact where probabilities underflow', async () => {
  const logits = [0, 200, -100]
  const h = { dims: [1, 3], data: Float32Array.from(logits) }
  const identity = { dims: [3, 3], data: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1) }
  const { loss, gradients } = await (
    await compile(nllOfTokenTwo, [h, identity], someWeights())
  )([h, identity])
  assert.equal(loss, 300)
  assert.deepEqual([...gradients[0]!], [0, 1, -1])
})

test('a value that the loss does not reach is refused by name', () => {
  const g = new Graph('train')
  const tape = new Tape(g)
  const [a, b] = [g.input('a', 'float32', [2]), g.input('b', 'float32', [2])]
  const loss = weightedTotal(tape, a, g.constant(Float32Array.of(1, 2), [2]))
  assert.throws(() => tape.gradients(loss, [a, b]), /does not depend on b/)
})
