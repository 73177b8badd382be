// The programs of text generation: `prefill` reads a prompt, `decode` one token per row. Both attend to a cache that
// is fed in place and answer only the new keys and values, because the runtime copies every output; `KvCache` stores
// them. Every row may use another adapter (`packed-adapters.ts`).
import { Graph } from '../onnx/graph.ts'
import type { Value } from '../onnx/graph.ts'
import { linear } from '../autodiff/ops.ts'
import { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import { llama, outputEmbedding } from '../models/llama.ts'
import type { Heads } from '../models/llama.ts'
import { LINEAR_LAYERS } from '../models/parameters.ts'
import type { LinearLayer } from '../models/parameters.ts'
import type { WeightFormat } from '../quant.ts'
import { frozenModel } from './base.ts'
import type { Activations, WeightPlace } from './base.ts'
import { packedAdapters } from './packed-adapters.ts'
import { sealProgram } from './program.ts'
import type { Program } from './program.ts'
import { MASKED, within } from './sequence.ts'

export type GenerateOptions = {
  /** Linear layers that adapters may change, all when absent; empty for a program that serves the bare model only. */
  readonly targets?: readonly LinearLayer[]
  /** Format of the base's matrices; float32 when absent. */
  readonly format?: WeightFormat
  /** How quantized products take their activations, see `frozenModel`; exactly when absent. */
  readonly activations?: Activations
  /** Where the base lies; attached when absent: kernels then lay its matrices out anew, which is faster and takes more memory. */
  readonly place?: WeightPlace
}

export const cacheKeys = (layer: number): string => `cache.${layer}.keys`
export const cacheValues = (layer: number): string => `cache.${layer}.values`
export const newKeys = (layer: number): string => `new.${layer}.keys`
export const newValues = (layer: number): string => `new.${layer}.values`

/**
 * Compiles `prefill`. Inputs: tokens, positions int32 [B, T] (rows padded on the right); cached
 * int32 [B], the number of valid cache entries per row; rows int32 [M] of the flattened batch; the cache per layer,
 * keys [B, KV, D, C] and values [B, KV, C, D]; the adapters in S slots, as `AdapterPack` lays them out, S being B or 1.
 * Outputs: logits [M, vocab] of the chosen rows, and per layer the new keys and values [B, KV, T, D].
 */
export const prefillProgram = (config: LlamaConfig, options: GenerateOptions = {}): Program =>
  compile('prefill', config, options)

/** Compiles `decode`: `prefill` for exactly one token per row, whose logits [B, vocab] are all answered. */
export const decodeProgram = (config: LlamaConfig, options: GenerateOptions = {}): Program =>
  compile('decode', config, options)

function compile(
  name: 'prefill' | 'decode',
  config: LlamaConfig,
  {
    targets = LINEAR_LAYERS,
    format = 'f32',
    activations = 'exact',
    place = 'attached',
  }: GenerateOptions,
): Program {
  const g = new Graph(name)
  const tape = new Tape(g) // records nothing that is used: no gradients here
  const { headDim, kvHeads, layers } = config
  const time = name === 'decode' ? 1 : 'T'
  const tokens = g.input('tokens', 'int32', ['B', time])
  const positions = g.input('positions', 'int32', ['B', time])
  const cached = g.input('cached', 'int32', ['B'])
  const rows = name === 'decode' ? null : g.input('rows', 'int32', ['M'])
  const caches = Array.from({ length: layers }, (_, layer) => ({
    keys: g.input(cacheKeys(layer), 'float32', ['B', kvHeads, headDim, 'C']),
    values: g.input(cacheValues(layer), 'float32', ['B', kvHeads, 'C', headDim]),
  }))

  const base = frozenModel(tape, config, format, { activations, place })
  const attend = cachedAttention(g, config, { positions, cached, caches })
  const adapt = packedAdapters(tape, config, targets)
  const hidden = llama(tape, config, { tokens, positions }, { ...base, adapt, attend })
  const chosen = rows ? g.gather(hidden, rows) : hidden
  g.output('logits', linear(tape, chosen, base.parameter(outputEmbedding(config))))
  return sealProgram(name, g, config, { targets, format, activations, place })
}

type CacheInputs = {
  readonly positions: Value
  readonly cached: Value
  readonly caches: readonly { readonly keys: Value; readonly values: Value }[]
}

/** Attention to the cache and to the new tokens, under one softmax. Publishes the new keys and values. */
function cachedAttention(
  g: Graph,
  config: LlamaConfig,
  { positions, cached, caches }: CacheInputs,
) {
  const time = positions.dims[1] ?? 1
  const { cacheMask, newMask } = cacheMasks(g, config, positions, cached)
  const boundary = typeof time === 'number' ? g.int64([-time]) : g.neg(g.sizeOf(time))

  return (layer: number, { q, k, v }: Heads): Value => {
    const cache = caches[layer]
    if (!cache) throw new Error(`there is no layer ${layer}`)
    g.output(newKeys(layer), k)
    g.output(newValues(layer), v)
    const scaledQ = g.mul(q, g.scalar(1 / Math.sqrt(config.headDim)))
    const toCache = g.add(g.matMul(scaledQ, cache.keys), cacheMask) // [B, KV, G*T, C]
    const toNew = g.matMul(scaledQ, g.matrixTranspose(k)) // [B, KV, G*T, T]
    const p = g.softmax(g.concat([toCache, newMask ? g.add(toNew, newMask) : toNew], -1))
    const fromCache = g.matMul(g.slice(p, -1, 0, boundary, 'C'), cache.values)
    const fromNew = g.matMul(g.slice(p, -1, boundary, END, time), v)
    return g.add(fromCache, fromNew)
  }
}

/**
 * Additive masks over the cache [B, 1, G*T or 1, C] and over the new tokens [B or 1, 1, G*T, T]; a single new token sees
 * itself, without a mask. The cache holds positions 0 .. cached - 1 in order.
 */
function cacheMasks(
  g: Graph,
  { heads, kvHeads, window }: LlamaConfig,
  positions: Value,
  cached: Value,
): { readonly cacheMask: Value; readonly newMask: Value | null } {
  const [, time = 1] = positions.dims
  const visibility = (condition: Value): Value => g.where(condition, g.scalar(0), g.scalar(MASKED))
  const perQuery = (condition: Value): Value => g.tile(visibility(condition), 2, heads / kvHeads)

  const slots = g.cast(g.reshape(g.range('C'), [1, 1, 1, 'C']), 'int32')
  const filled = g.less(slots, g.reshape(cached, ['B', 1, 1, 1]))
  // A token sees itself and those before it among the new, hence never the padding on its right.
  const index = time === 1 ? null : g.cast(g.range(String(time)), 'int32')
  const query = index && g.reshape(index, [1, 1, time, 1])
  const key = index && g.reshape(index, [1, 1, 1, time])
  const causal = query && key && g.lessOrEqual(key, query)
  if (window === null) {
    return { cacheMask: visibility(filled), newMask: causal && perQuery(causal) }
  }
  const position = g.reshape(positions, ['B', 1, time, 1])
  return {
    cacheMask: perQuery(g.and(filled, within(g, window, position, slots))),
    newMask: causal && perQuery(g.and(causal, within(g, window, query, key))),
  }
}

/** Slice's convention for "to the end". */
const END = Number.MAX_SAFE_INTEGER
