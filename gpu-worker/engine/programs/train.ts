// The training program: loss and gradients of a packed batch, for all parameters or for a LoRA adapter; and `evaluate`,
// the same loss without the backward pass.
import { Graph } from '../onnx/graph.ts'
import type { Value } from '../onnx/graph.ts'
import { attention, crossEntropy } from '../autodiff/macros.ts'
import { gatherRows } from '../autodiff/ops.ts'
import { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import { llama, lowRank, outputEmbedding } from '../models/llama.ts'
import type { Heads, LlamaInputs } from '../models/llama.ts'
import { adapterDims, loraA, loraB, loraScale } from '../models/lora.ts'
import type { LoraConfig } from '../models/lora.ts'
import { parameterDims } from '../models/parameters.ts'
import { sealProgram } from './program.ts'
import type { Program } from './program.ts'

/** What is trained: every parameter, or an adapter on frozen parameters. */
export type Trainable = 'parameters' | LoraConfig

/** Prefix of the outputs that hold gradients; the rest is the trained tensor's name. */
export const GRADIENT_PREFIX = 'gradient/'

/** Added to the scores of keys that a query may not see; large enough to underflow, small enough to stay finite. */
export const MASKED = -1e9

/** The inputs that every program over whole sequences declares first. */
export type SequenceInputs = LlamaInputs & {
  readonly segments: Value // int32 [B, T]: tokens see only their own segment
  readonly rows: Value // int32 [M]: positions in the flattened [B*T] batch that have a target
  readonly labels: Value // int32 [M]: the token expected after each of those rows
  readonly weights: Value // float32 [M]: each target's weight in the loss
}

export function sequenceInputs(g: Graph): SequenceInputs {
  return {
    tokens: g.input('tokens', 'int32', ['B', 'T']),
    segments: g.input('segments', 'int32', ['B', 'T']),
    positions: g.input('positions', 'int32', ['B', 'T']),
    rows: g.input('rows', 'int32', ['M']),
    labels: g.input('labels', 'int32', ['M']),
    weights: g.input('weights', 'float32', ['M']),
  }
}

/** Additive mask [B, 1, G*T, T]: a token sees those of its own segment at its own or an earlier position. */
export function packedMask(g: Graph, segments: Value, positions: Value, group: number): Value {
  const column = (x: Value): Value => g.reshape(x, ['B', 1, 'T', 1])
  const row = (x: Value): Value => g.reshape(x, ['B', 1, 1, 'T'])
  const visible = g.and(
    g.equal(column(segments), row(segments)),
    g.lessOrEqual(row(positions), column(positions)),
  )
  const mask = g.where(visible, g.scalar(0), g.scalar(MASKED)) // [B, 1, T, T]
  return g.concat(
    Array.from({ length: group }, () => mask),
    2,
  )
}

/** Causal attention within segments, for programs that see whole sequences. */
export function selfAttention(
  tape: Tape,
  config: LlamaConfig,
  { segments, positions }: SequenceInputs,
): (layer: number, heads: Heads) => Value {
  const mask = packedMask(tape.graph, segments, positions, config.heads / config.kvHeads)
  return (_, heads) => attention(tape, { ...heads, mask }, 1 / Math.sqrt(config.headDim))
}

/** Emits the forward pass and the loss over the selected rows. */
function lossOf(
  tape: Tape,
  config: LlamaConfig,
  parameter: (name: string) => Value,
  adapt: (module: string, x: Value, base: Value) => Value,
): { readonly loss: Value; readonly nll: Value } {
  const inputs = sequenceInputs(tape.graph)
  const attend = selfAttention(tape, config, inputs)
  const hidden = llama(tape, config, inputs, { parameter, adapt, attend })
  const selected = gatherRows(tape, hidden, inputs.rows)
  return crossEntropy(tape, selected, parameter(outputEmbedding(config)), inputs)
}

/** Declares tensors and returns their lookup by name. */
export const named = (dims: ReadonlyMap<string, readonly number[]>, declare: Declare): Named => {
  const values = new Map([...dims].map(([name, shape]) => [name, declare(name, shape)]))
  return (name) => {
    const value = values.get(name)
    if (!value) throw new Error(`the model has no parameter "${name}"`)
    return value
  }
}
type Declare = (name: string, dims: readonly number[]) => Value
type Named = (name: string) => Value

/**
 * Compiles `train`. Inputs: tokens, segments, positions int32 [B, T]; rows, labels int32 [M]; weights float32 [M]; and
 * the trained tensors by name. Outputs: `loss` [] = Σ weights nll, `nll` [M, 1], and `gradient/NAME` per trained tensor.
 */
export function trainProgram(config: LlamaConfig, trainable: Trainable): Program {
  const g = new Graph('train')
  const tape = new Tape(g)
  const asInput: Declare = (name, dims) => g.input(name, 'float32', dims)
  const asWeight: Declare = (name, dims) => g.weight(name, dims)

  if (trainable === 'parameters') {
    // Inputs, because they change at every step; the runtime reads them in place.
    const parameter = named(parameterDims(config), asInput)
    const { loss, nll } = lossOf(tape, config, parameter, (_, __, base) => base)
    publish(tape, { loss, nll }, [...parameterDims(config).keys()].map(parameter))
  } else {
    const parameter = named(parameterDims(config), asWeight)
    const dims = adapterDims(config, trainable)
    const adapter = named(dims, asInput)
    const { loss, nll } = lossOf(tape, config, parameter, withAdapter(tape, trainable, adapter))
    publish(tape, { loss, nll }, [...dims.keys()].map(adapter))
  }
  return sealProgram('train', g, config, { trainable })
}

/**
 * Compiles `evaluate`: the inputs and the `loss` and `nll` outputs of `train`, no gradients. With a LoRA config the
 * adapter's tensors are inputs; the parameters are attached when the session opens.
 */
export function evaluateProgram(config: LlamaConfig, lora: LoraConfig | null = null): Program {
  const g = new Graph('evaluate')
  const tape = new Tape(g)
  const parameter = named(parameterDims(config), (name, dims) => g.weight(name, dims))
  const adapter = named(lora ? adapterDims(config, lora) : new Map(), (name, dims) =>
    g.input(name, 'float32', dims),
  )
  const adapt = lora
    ? withAdapter(tape, lora, adapter)
    : (_: string, __: Value, base: Value) => base
  publish(tape, lossOf(tape, config, parameter, adapt), [])
  return sealProgram('evaluate', g, config, { lora })
}

function withAdapter(tape: Tape, lora: LoraConfig, adapter: Named) {
  const targets = new Set<string>(lora.targets)
  return (module: string, x: Value, base: Value): Value => {
    if (!targets.has(module.split('.').slice(-2).join('.'))) return base
    const factors = { a: adapter(loraA(module)), b: adapter(loraB(module)), scale: loraScale(lora) }
    return lowRank(tape, x, base, factors).y
  }
}

function publish(
  tape: Tape,
  { loss, nll }: { readonly loss: Value; readonly nll: Value },
  trained: readonly Value[],
): void {
  const gradients = tape.gradients(loss, trained)
  tape.graph.output('loss', loss)
  tape.graph.output('nll', nll)
  trained.forEach((value, i) => {
    const gradient = gradients[i]
    if (gradient) tape.graph.output(`${GRADIENT_PREFIX}${value.name}`, gradient)
  })
}
