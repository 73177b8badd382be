// Tests only: every macro again, composed of the simplest differentiable ops, to be compared with its hand-written form.
import type { Graph, Value } from '../onnx/graph.ts'
import { matMul, reshape, scale, transpose } from './ops.ts'
import type { Tape } from './tape.ts'

/** Sums a gradient over the axes along which `like` was broadcast. */
function unbroadcast(g: Graph, gradient: Value, like: Value): Value {
  const extra = gradient.dims.length - like.dims.length
  const axes = gradient.dims.flatMap((dim, axis) => {
    const own = axis < extra ? undefined : like.dims[axis - extra]
    return own === dim ? [] : [axis]
  })
  return axes.length === 0 ? gradient : g.reshape(g.reduceSum(gradient, axes, true), like.dims)
}

function add(tape: Tape, a: Value, b: Value): Value {
  const g = tape.graph
  return tape.record(g.add(a, b), [a, b], (dy) => [
    (sum) => tape.sum(sum, unbroadcast(g, dy, a)),
    (sum) => tape.sum(sum, unbroadcast(g, dy, b)),
  ])
}

function mul(tape: Tape, a: Value, b: Value): Value {
  const g = tape.graph
  return tape.record(g.mul(a, b), [a, b], (dy) => [
    (sum) => tape.sum(sum, unbroadcast(g, g.mul(dy, b), a)),
    (sum) => tape.sum(sum, unbroadcast(g, g.mul(dy, a), b)),
  ])
}

function reciprocal(tape: Tape, x: Value): Value {
  const g = tape.graph
  const y = g.div(g.scalar(1), x)
  return tape.record(y, [x], (dy) => [(sum) => tape.sum(sum, g.neg(g.mul(dy, g.mul(y, y))))])
}

function exp(tape: Tape, x: Value): Value {
  const y = tape.graph.exp(x)
  return tape.record(y, [x], (dy) => [(sum) => tape.sum(sum, tape.graph.mul(dy, y))])
}

function log(tape: Tape, x: Value): Value {
  const g = tape.graph
  return tape.record(g.log(x), [x], (dy) => [(sum) => tape.sum(sum, g.div(dy, x))])
}

function sqrt(tape: Tape, x: Value): Value {
  const g = tape.graph
  const y = g.sqrt(x)
  return tape.record(y, [x], (dy) => [(sum) => tape.sum(sum, g.div(dy, g.mul(g.scalar(2), y)))])
}

/** Sum over the given axes, which stay with size one; to a scalar when none are given. */
export function total(tape: Tape, x: Value, axes?: readonly number[]): Value {
  const g = tape.graph
  const all = x.dims.map((_, axis) => axis)
  const y = axes ? g.reduceSum(x, axes, true) : g.reduceSum(x, all)
  const ones = (): Value => g.add(g.zeros(x.dims), g.scalar(1))
  return tape.record(y, [x], (dy) => [(sum) => tape.sum(sum, g.mul(ones(), dy))])
}

/** Σ x ∘ weights, a scalar that reaches every element of x: makes any op differentiable to a number. */
export const weightedTotal = (tape: Tape, x: Value, weights: Value): Value =>
  total(tape, mul(tape, x, weights))

export function rmsNormTwin(tape: Tape, x: Value, w: Value, epsilon: number): Value {
  const width = x.dims.at(-1)
  const meanSquare = scale(tape, total(tape, mul(tape, x, x), [-1]), 1 / Number(width))
  const deviation = sqrt(tape, add(tape, meanSquare, tape.graph.scalar(epsilon)))
  return mul(tape, mul(tape, x, reciprocal(tape, deviation)), w)
}

/** x [B, T, heads * D], with the angles of every row given as numbers: cos, sin [B*T, 1, D]. */
export function rotaryTwin(
  tape: Tape,
  x: Value,
  { cos, sin, headDim }: { readonly cos: Value; readonly sin: Value; readonly headDim: number },
): Value {
  const g = tape.graph
  const half = headDim / 2
  // (a, b) -> (-b, a) as a matrix acting from the right.
  const rotation = new Float32Array(headDim * headDim)
  for (let i = 0; i < half; i++) {
    rotation[(i + half) * headDim + i] = -1
    rotation[i * headDim + i + half] = 1
  }
  const rows = cos.dims[0] ?? 1
  const heads = Number(x.dims.at(-1)) / headDim
  const split = reshape(tape, x, [rows, heads, headDim])
  const turned = matMul(tape, split, g.constant(rotation, [headDim, headDim]))
  return reshape(tape, add(tape, mul(tape, split, cos), mul(tape, turned, sin)), x.dims)
}

function softmaxTwin(tape: Tape, x: Value): Value {
  const e = exp(tape, x)
  return mul(tape, e, reciprocal(tape, total(tape, e, [-1])))
}

export function attentionTwin(
  tape: Tape,
  operands: { readonly q: Value; readonly k: Value; readonly v: Value; readonly mask: Value },
  factor: number,
): Value {
  const { q, k, v, mask } = operands
  const scores = scale(tape, matMul(tape, q, transpose(tape, k, [0, 1, 3, 2])), factor)
  return matMul(tape, softmaxTwin(tape, add(tape, scores, mask)), v)
}

export function swigluTwin(tape: Tape, gate: Value, up: Value): Value {
  const denominator = add(tape, exp(tape, scale(tape, gate, -1)), tape.graph.scalar(1))
  return mul(tape, mul(tape, gate, reciprocal(tape, denominator)), up)
}

/** The same loss from a one-hot matrix [M, V]. h [M, hidden], w [V, hidden], weights [M, 1]. */
export function crossEntropyTwin(
  tape: Tape,
  h: Value,
  w: Value,
  { oneHot, weights }: { readonly oneHot: Value; readonly weights: Value },
): Value {
  const logits = matMul(tape, h, transpose(tape, w, [1, 0]))
  const logSumExp = log(tape, total(tape, exp(tape, logits), [-1]))
  const chosen = total(tape, mul(tape, logits, oneHot), [-1])
  const nll = add(tape, logSumExp, scale(tape, chosen, -1))
  return total(tape, mul(tape, nll, weights))
}
