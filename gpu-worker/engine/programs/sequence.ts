// What the programs over whole sequences share: their inputs, attention within packed segments, adapters, and the loss.
import { attention, crossEntropy } from '../autodiff/macros.ts'
import { gatherRows } from '../autodiff/ops.ts'
import type { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import { llama, lowRank, outputEmbedding } from '../models/llama.ts'
import type { LlamaInputs, LlamaParts } from '../models/llama.ts'
import { loraA, loraB, loraScale } from '../models/lora.ts'
import type { LoraConfig } from '../models/lora.ts'
import { isTarget } from '../models/parameters.ts'
import type { Dim } from '../onnx/dims.ts'
import type { Graph, Value } from '../onnx/graph.ts'

/** Finds a tensor of the graph by name. */
export type Lookup = (name: string) => Value

type NamedDims<D extends Dim> = ReadonlyMap<string, readonly D[]>

/** Declares tensors that are fed at every run. */
export const declareInputs = (g: Graph, dims: NamedDims<Dim>): Lookup =>
  declare(dims, (name, shape) => g.input(name, 'float32', shape))

/** Declares tensors that are attached once, when a session opens. */
export const declareWeights = (g: Graph, dims: NamedDims<number>): Lookup =>
  declare(dims, (name, shape) => g.initializers.weight(name, shape))

/** Declares tensors that are given once, when a session opens, and read in place. */
export const declareHeld = (g: Graph, dims: NamedDims<number>): Lookup =>
  declare(dims, (name, shape) => g.initializers.held(name, shape))

function declare<D extends Dim>(
  dims: NamedDims<D>,
  one: (name: string, dims: readonly D[]) => Value,
): Lookup {
  const values = new Map([...dims].map(([name, shape]) => [name, one(name, shape)]))
  return (name) => {
    const value = values.get(name)
    if (!value) throw new Error(`the model has no tensor "${name}"`)
    return value
  }
}

/** Added to the scores of keys that a query may not see; large enough to underflow, small enough to stay finite. */
export const MASKED = -1e9

/** Whether a key's position lies within the `window` tokens that end at the query's. int32, broadcast. */
export const within = (g: Graph, window: number, query: Value, key: Value): Value =>
  g.less(g.sub(query, key), g.constant(Int32Array.of(window), []))

type HiddenInputs = LlamaInputs & {
  readonly segments: Value // int32 [B, T]: tokens see only their own segment
}
type LossInputs = {
  readonly rows: Value // int32 [M]: positions in the flattened [B*T] batch that have a target
  readonly labels: Value // int32 [M]: the token expected after each of those rows
  readonly weights: Value // float32 [M]: each target's weight in the loss
}

const hiddenInputs = (g: Graph): HiddenInputs => ({
  tokens: g.input('tokens', 'int32', ['B', 'T']),
  segments: g.input('segments', 'int32', ['B', 'T']),
  positions: g.input('positions', 'int32', ['B', 'T']),
})

const lossInputs = (g: Graph): LossInputs => ({
  rows: g.input('rows', 'int32', ['M']),
  labels: g.input('labels', 'int32', ['M']),
  weights: g.input('weights', 'float32', ['M']),
})

/**
 * Additive mask [B, 1, G*T, T]: a token sees those of its own segment at its own or an earlier position, as far back as
 * the model's window reaches.
 */
function packedMask(
  g: Graph,
  { segments, positions }: HiddenInputs,
  { heads, kvHeads, window }: LlamaConfig,
): Value {
  const column = (x: Value): Value => g.reshape(x, ['B', 1, 'T', 1])
  const row = (x: Value): Value => g.reshape(x, ['B', 1, 1, 'T'])
  const earlier = g.and(
    g.equal(column(segments), row(segments)),
    g.lessOrEqual(row(positions), column(positions)),
  )
  const visible =
    window === null ? earlier : g.and(earlier, within(g, window, column(positions), row(positions)))
  const mask = g.where(visible, g.scalar(0), g.scalar(MASKED)) // [B, 1, T, T]
  return g.tile(mask, 2, heads / kvHeads)
}

/** Declares tokens, segments and positions, and emits the forward pass: hidden states [B*T, hidden]. */
export function sequenceHidden(
  tape: Tape,
  config: LlamaConfig,
  parts: Omit<LlamaParts, 'attend'>,
): Value {
  const inputs = hiddenInputs(tape.graph)
  const mask = packedMask(tape.graph, inputs, config)
  const scale = 1 / Math.sqrt(config.headDim)
  return llama(tape, config, inputs, {
    ...parts,
    attend: (_, heads) => attention(tape, { ...heads, mask }, scale),
  })
}

/** Declares the sequence inputs and emits the forward pass and the loss over the selected rows. */
export function sequenceLoss(
  tape: Tape,
  config: LlamaConfig,
  parts: Omit<LlamaParts, 'attend'>,
): { readonly loss: Value; readonly nll: Value } {
  const hidden = sequenceHidden(tape, config, parts)
  const inputs = lossInputs(tape.graph)
  const selected = gatherRows(tape, hidden, inputs.rows)
  return crossEntropy(tape, selected, parts.parameter(outputEmbedding(config)), inputs)
}

/** What an adapted layer computed: its input x [B*T, in], u = x Aᵀ [B*T, r] and its output y [B*T, out]. */
export type Tap = { readonly x: Value; readonly u: Value; readonly y: Value }

export type AdaptOptions = {
  /** Sees what each adapted layer computed. */
  readonly onTap?: (module: string, tap: Tap) => void
  /** What an adapter sees of a layer's input [B*T, in], when training hides some of it. */
  readonly hide?: (module: string, x: Value) => Value
}

/** Adds one adapter to the layers it targets. */
export function adaptWith(
  tape: Tape,
  lora: LoraConfig,
  adapter: Lookup,
  { onTap, hide }: AdaptOptions = {},
): LlamaParts['adapt'] {
  return (module, input, base) => {
    if (!isTarget(module, lora.targets)) return base
    const x = hide ? hide(module, input) : input
    const a = adapter(loraA(module))
    const b = adapter(loraB(module))
    const { y, u } = lowRank(tape, x, base, { a, b, scale: loraScale(lora, module) })
    onTap?.(module, { x, u, y })
    return y
  }
}

/** The bare model. */
export const withoutAdapter: LlamaParts['adapt'] = (_, __, base) => base
