// The forward pass of the Llama kind of models, written once. What differs between training, influence, prefill and decode is how a linear
// layer is adapted and what the queries attend to; the program passes both in.
import { dimProduct } from '../onnx/dims.ts'
import type { Value } from '../onnx/graph.ts'
import { rmsNorm, rotary, swiglu } from '../autodiff/macros.ts'
import { gatherRows, linear, reshape, transpose } from '../autodiff/ops.ts'
import type { Tape } from '../autodiff/tape.ts'
import { rotaryAngles } from './config.ts'
import type { LlamaConfig } from './config.ts'
import { EMBEDDING, FINAL_NORM, LM_HEAD, blockName, hasBias } from './parameters.ts'
import type { LinearLayer } from './parameters.ts'

/** Queries, keys and values of one layer, rotated and split into heads. */
export type Heads = {
  readonly q: Value // [B, KV, G*T, D]
  readonly k: Value // [B, KV, T, D]
  readonly v: Value // [B, KV, T, D]
}

export type LlamaParts = {
  /** A parameter by its Hugging Face name; the matrices of linear layers are reached through `product` only. */
  readonly parameter: (name: string) => Value
  /** x Wᵀ + plus of a linear layer by its path; plus is a residual [B*T, out] or a bias [out]. */
  readonly product: (module: string, x: Value, plus?: Value) => Value
  /** Adds an adapter to `base` = x Wᵀ + bias or residual; the identity for the bare model. x [B*T, in], base [B*T, out]. */
  readonly adapt: (module: string, x: Value, base: Value) => Value
  /** Attention of one layer: heads -> [B, KV, G*T, D]. */
  readonly attend: (layer: number, heads: Heads) => Value
  /** Whether the backward pass computes every layer again instead of keeping its activations. */
  readonly recompute?: boolean
}

export type LlamaInputs = {
  readonly tokens: Value // int32 [B, T]
  readonly positions: Value // int32 [B, T]
}

/** Hidden states after the final norm, [B*T, hidden]. */
export function llama(
  tape: Tape,
  config: LlamaConfig,
  { tokens, positions }: LlamaInputs,
  { parameter, product, adapt, attend, recompute = false }: LlamaParts,
): Value {
  const g = tape.graph
  const { headDim, kvHeads, normEpsilon } = config
  const group = config.heads / kvHeads
  const [batch = 1, time = 1] = tokens.dims
  const rows = dimProduct(batch, time)

  const angles = rotaryAngles(config)
  const tableDims = [config.positions, headDim / 2]
  const tables = { cos: g.constant(angles.cos, tableDims), sin: g.constant(angles.sin, tableDims) }
  const rotaryPositions = g.cast(positions, 'int64')

  const project = (block: string, name: LinearLayer, x: Value, residual?: Value): Value => {
    const module = `${block}.${name}`
    const plus = hasBias(config, name) ? parameter(`${module}.bias`) : residual
    return adapt(module, x, product(module, x, plus))
  }
  const normed = (x: Value, heads: number, weight: string): Value => {
    if (!config.qkNorm) return x
    const perHead = reshape(tape, x, [dimProduct(rows, heads), headDim])
    return rmsNorm(tape, perHead, parameter(weight), normEpsilon)
  }
  const rotated = (x: Value, heads: number): Value =>
    rotary(tape, reshape(tape, x, [batch, time, heads * headDim]), rotaryPositions, tables)

  const layerOf = (layer: number, x: Value): Value => {
    const block = blockName(layer)

    const n1 = rmsNorm(tape, x, parameter(`${block}.input_layernorm.weight`), normEpsilon)
    const qPlain = project(block, 'self_attn.q_proj', n1)
    const kPlain = project(block, 'self_attn.k_proj', n1)
    const qNorm = normed(qPlain, config.heads, `${block}.self_attn.q_norm.weight`)
    const kNorm = normed(kPlain, kvHeads, `${block}.self_attn.k_norm.weight`)
    const q = rotated(qNorm, config.heads)
    const k = rotated(kNorm, kvHeads)
    const v = project(block, 'self_attn.v_proj', n1)

    const qGrouped = reshape(tape, q, [batch, time, kvHeads, group, headDim])
    const qHeads = transpose(tape, qGrouped, [0, 2, 3, 1, 4])
    const kvDims = [batch, time, kvHeads, headDim]
    const o = attend(layer, {
      q: reshape(tape, qHeads, [batch, kvHeads, dimProduct(group, time), headDim]),
      k: transpose(tape, reshape(tape, k, kvDims), [0, 2, 1, 3]),
      v: transpose(tape, reshape(tape, v, kvDims), [0, 2, 1, 3]),
    })
    const oGrouped = reshape(tape, o, [batch, kvHeads, group, time, headDim])
    const oRows = transpose(tape, oGrouped, [0, 3, 1, 2, 4])
    const attended = reshape(tape, oRows, [rows, config.heads * headDim])
    const middle = project(block, 'self_attn.o_proj', attended, x)

    const n2 = rmsNorm(
      tape,
      middle,
      parameter(`${block}.post_attention_layernorm.weight`),
      normEpsilon,
    )
    const gate = project(block, 'mlp.gate_proj', n2)
    const up = project(block, 'mlp.up_proj', n2)
    return project(block, 'mlp.down_proj', swiglu(tape, gate, up), middle)
  }

  let x = gatherRows(tape, parameter(EMBEDDING), g.reshape(tokens, [rows]))
  for (let layer = 0; layer < config.layers; layer++) {
    x = recompute ? tape.checkpoint(x, (input) => layerOf(layer, input)) : layerOf(layer, x)
  }
  return rmsNorm(tape, x, parameter(FINAL_NORM), normEpsilon)
}

/** The output embedding [vocab, hidden]: the input embedding when the config ties them. */
export const outputEmbedding = (config: LlamaConfig): string => (config.tied ? EMBEDDING : LM_HEAD)

/** y = base + scale (x Aᵀ) B, folded into Gemm's C. A [r, in], B [r, out]. Also returns u = x Aᵀ. */
export function lowRank(
  tape: Tape,
  x: Value,
  base: Value,
  { a, b, scale }: { readonly a: Value; readonly b: Value; readonly scale: number },
): { readonly y: Value; readonly u: Value } {
  const u = linear(tape, x, a)
  return { u, y: linear(tape, u, b, { layout: 'in,out', alpha: scale, plus: base }) }
}
