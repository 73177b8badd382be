// Differentiable building blocks with hand-written gradients: fewer nodes and less memory than their derivation from
// primitives, which the tests build as twins and compare. Every gradient is spelt out above its function.
import type { Value } from '../onnx/graph.ts'
import { lazy } from './tape.ts'
import type { Tape } from './tape.ts'

/**
 * Root-mean-square normalisation over the last axis (Zhang & Sennrich 2019): y = w x / rms(x). x [N, h], w [h].
 *
 *   x̂ = x / rms(x)    dx = (dy w - x̂ mean(dy w x̂)) / rms(x)    dw = Σ_n dy x̂
 */
export function rmsNorm(tape: Tape, x: Value, w: Value, epsilon: number): Value {
  const g = tape.graph
  const y = g.op('SimplifiedLayerNormalization', [x, w], {
    dims: x.dims,
    attributes: { axis: { int: -1 }, epsilon: { float: epsilon } },
  })
  return tape.record(y, [x, w], (dy) => {
    // Recomputed rather than taken from the op's second output, which the WebGPU provider leaves at zero.
    const inverse = lazy(() => {
      const variance = g.reduceMean(g.mul(x, x), [-1], true)
      return g.div(g.scalar(1), g.sqrt(g.add(variance, g.scalar(epsilon))))
    })
    const normalised = lazy(() => g.mul(x, inverse()))
    return [
      (sum) => {
        const dn = g.mul(dy, w)
        const along = g.reduceMean(g.mul(dn, normalised()), [-1], true)
        const dx = g.mul(inverse(), g.sub(dn, g.mul(normalised(), along)))
        return tape.sum(sum, dx)
      },
      (sum) => tape.sum(sum, g.reduceSum(g.mul(dy, normalised()), [0])),
    ]
  })
}

/** cos and sin of every position's angles: two constants [positions, headDim / 2]. */
export type RotaryTables = { readonly cos: Value; readonly sin: Value }

/**
 * Rotary position embedding, halves rotated as in Hugging Face Llama (Su et al. 2021). x [B, T, heads * headDim],
 * positions int64 [B, T]. The gradient of a rotation is the rotation by the opposite angle.
 */
export function rotary(tape: Tape, x: Value, positions: Value, tables: RotaryTables): Value {
  const g = tape.graph
  const rotate = (value: Value, sin: Value): Value =>
    g.op('RotaryEmbedding', [value, positions, tables.cos, sin], {
      dims: x.dims,
      domain: 'com.microsoft',
    })
  return tape.record(rotate(x, tables.sin), [x], (dy) => [
    (sum) => tape.sum(sum, rotate(dy, g.neg(tables.sin))),
  ])
}

export type AttentionOperands = {
  readonly q: Value // [B, KV, G*T, D]: query heads that share a key head lie along one axis
  readonly k: Value // [B, KV, T, D]
  readonly v: Value // [B, KV, T, D]
  readonly mask: Value // [B, 1, G*T, T], added to the scores
}

/**
 * o = p v with p = softmax(scale q kᵀ + mask); grouped-query attention without repeating k and v.
 *
 *   dv = pᵀ do    ds = p (do vᵀ - rowsum(do o))    dq = scale ds k    dk = scale dsᵀ q
 *
 * rowsum(do o) = rowsum(dp p), over D instead of T columns (Dao et al. 2022, FlashAttention, appendix B).
 */
export function attention(tape: Tape, { q, k, v, mask }: AttentionOperands, scale: number): Value {
  const g = tape.graph
  const scaledQ = g.mul(q, g.scalar(scale)) // smaller than the scores
  const scores = g.add(g.matMul(scaledQ, g.matrixTranspose(k)), mask)
  const p = g.softmax(scores) // [B, KV, G*T, T]
  const o = g.matMul(p, v) // [B, KV, G*T, D]
  return tape.record(o, [q, k, v], (dO) => {
    const dScores = lazy(() => {
      const dp = g.matMul(dO, g.matrixTranspose(v))
      return g.mul(p, g.sub(dp, g.reduceSum(g.mul(dO, o), [-1], true)))
    })
    return [
      (sum) => tape.sum(sum, g.mul(g.matMul(dScores(), k), g.scalar(scale))),
      (sum) => tape.sum(sum, g.matMul(g.matrixTranspose(dScores()), scaledQ)),
      (sum) => tape.sum(sum, g.matMul(g.matrixTranspose(p), dO)),
    ]
  })
}

/**
 * SwiGLU (Shazeer 2020): y = silu(gate) up. Equal shapes.
 *
 *   σ = sigmoid(gate)    a = gate σ    dup = dy a    dgate = dy up (σ + a (1 - σ))
 */
export function swiglu(tape: Tape, gate: Value, up: Value): Value {
  const g = tape.graph
  const s = g.sigmoid(gate)
  const a = g.mul(gate, s)
  return tape.record(g.mul(a, up), [gate, up], (dy) => [
    (sum) => {
      const slope = g.add(s, g.mul(a, g.sub(g.scalar(1), s)))
      return tape.sum(sum, g.mul(g.mul(dy, up), slope))
    },
    (sum) => tape.sum(sum, g.mul(dy, a)),
  ])
}

export type Targets = {
  readonly labels: Value // int32 [M]
  readonly weights: Value // float32 [M]
}

/**
 * loss = Σ_m weight_m nll_m with nll_m = logsumexp(logits_m) - logits_m[label_m] and logits = h Wᵀ. h [M, hidden],
 * W [V, hidden]. Also returns nll [M, 1].
 *
 *   dh = c (p W - W[labels])    dW = pᵀ (c h) - scatter(labels, c h)    c = weight * dloss
 *
 * No one-hot matrix, and only products, the softmax and row maxima touch V columns. logsumexp is taken as
 * max(logits) - log(max(p)), exact for any nll because max(p) >= 1/V.
 */
export function crossEntropy(
  tape: Tape,
  h: Value,
  w: Value,
  { labels, weights }: Targets,
): { readonly loss: Value; readonly nll: Value } {
  const g = tape.graph
  const rows = weights.dims[0] ?? 1
  const logits = g.gemm(h, w, { transB: true }) // [M, V]
  const p = g.softmax(logits)
  const logSumExp = g.sub(g.reduceMax(logits, [1], true), g.log(g.reduceMax(p, [1], true)))
  const nll = g.sub(logSumExp, g.pick(logits, labels)) // [M, 1]
  const column = g.reshape(weights, [rows, 1])
  const loss = g.reduceSum(g.mul(column, nll), [0, 1])
  tape.record(loss, [h, w], (dLoss) => {
    const c = g.mul(column, dLoss)
    return [
      (sum) => tape.sum(sum, g.mul(c, g.sub(g.matMul(p, w), g.gather(w, labels)))),
      (sum) => {
        const weighted = g.mul(c, h)
        const dense = g.gemm(p, weighted, { transA: true, c: sum })
        return g.scatterAddRows(dense, labels, g.neg(weighted))
      },
    ]
  })
  return { loss, nll }
}
