// Differentiable primitives. Shapes are row-major; activations are [rows, features] outside attention.
import type { Dim } from '../onnx/dims.ts'
import type { Value } from '../onnx/graph.ts'
import { dequantize, matMulQuantized } from '../onnx/quantized.ts'
import type { QuantizedMatrix } from '../onnx/quantized.ts'
import type { Tape } from './tape.ts'

/** a + b, equal shapes. */
export function add(tape: Tape, a: Value, b: Value): Value {
  return tape.record(tape.graph.add(a, b), [a, b], (dy) => [
    (sum) => tape.sum(sum, dy),
    (sum) => tape.sum(sum, dy),
  ])
}

/** a ∘ b, equal shapes. */
export function mul(tape: Tape, a: Value, b: Value): Value {
  const g = tape.graph
  return tape.record(g.mul(a, b), [a, b], (dy) => [
    (sum) => tape.sum(sum, g.mul(dy, b)),
    (sum) => tape.sum(sum, g.mul(dy, a)),
  ])
}

/** factor * x for a number known when the graph is built. */
export function scale(tape: Tape, x: Value, factor: number): Value {
  const g = tape.graph
  return tape.record(g.mul(x, g.scalar(factor)), [x], (dy) => [
    (sum) => tape.sum(sum, g.mul(dy, g.scalar(factor))),
  ])
}

/** Batched matrix product; both operands carry the same batch axes. */
export function matMul(tape: Tape, a: Value, b: Value): Value {
  const g = tape.graph
  return tape.record(g.matMul(a, b), [a, b], (dy) => [
    (sum) => tape.sum(sum, g.matMul(dy, g.matrixTranspose(b))),
    (sum) => tape.sum(sum, g.matMul(g.matrixTranspose(a), dy)),
  ])
}

export type LinearOptions = {
  /** The weight's layout: `out,in` as in Hugging Face files, or `in,out`. */
  readonly layout?: 'out,in' | 'in,out'
  readonly alpha?: number
  /** Added to the product inside the same Gemm: [N, out], or a bias [out]. */
  readonly plus?: Value
}

/** alpha * x wᵀ + plus (or x w, by layout). x [N, in] -> [N, out]. Gradients add up inside Gemm as well. */
export function linear(tape: Tape, x: Value, w: Value, options: LinearOptions = {}): Value {
  const { layout = 'out,in', alpha = 1, plus } = options
  const g = tape.graph
  const transB = layout === 'out,in'
  const y = g.gemm(x, w, { transB, alpha, c: plus })
  return tape.record(y, plus ? [x, w, plus] : [x, w], (dy) => [
    (c) => g.gemm(dy, w, { transB: !transB, alpha, c }),
    (c) =>
      transB
        ? g.gemm(dy, x, { transA: true, alpha, c })
        : g.gemm(x, dy, { transA: true, alpha, c }),
    (sum) => tape.sum(sum, plus?.dims.length === 1 ? g.reduceSum(dy, [0]) : dy),
  ])
}

/**
 * x Wᵀ + plus for a frozen quantized W [out, in]: x [N, in] -> [N, out]. The gradient dy W is a product with the
 * dequantized matrix, which lives only for that product: a transposed quantized copy would stand for another matrix.
 */
export function quantizedLinear(
  tape: Tape,
  x: Value,
  w: QuantizedMatrix,
  options: { readonly plus?: Value; readonly activations: 'exact' | 'rounded' },
): Value {
  const g = tape.graph
  const { plus } = options
  const product = matMulQuantized(g, x, w, options.activations)
  const y = plus ? g.add(product, plus) : product
  return tape.record(y, plus ? [x, plus] : [x], (dy) => [
    (c) => g.gemm(dy, dequantize(g, w), { c }),
    (sum) => tape.sum(sum, plus?.dims.length === 1 ? g.reduceSum(dy, [0]) : dy),
  ])
}

export function reshape(tape: Tape, x: Value, dims: readonly Dim[]): Value {
  const g = tape.graph
  return tape.record(g.reshape(x, dims), [x], (dy) => [
    (sum) => tape.sum(sum, g.reshape(dy, x.dims)),
  ])
}

export function transpose(tape: Tape, x: Value, perm: readonly number[]): Value {
  const g = tape.graph
  const inverse = perm.map((_, axis) => perm.indexOf(axis))
  return tape.record(g.transpose(x, perm), [x], (dy) => [
    (sum) => tape.sum(sum, g.transpose(dy, inverse)),
  ])
}

/** Rows of `table` [V, h] chosen by `indices` [N]; repeated indices add up in the gradient. */
export function gatherRows(tape: Tape, table: Value, indices: Value): Value {
  const g = tape.graph
  return tape.record(g.gather(table, indices), [table, indices], (dy) => [
    (sum) => g.scatterAddRows(sum ?? g.zeros(table.dims), indices, dy),
    null,
  ])
}
