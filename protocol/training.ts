/** How much a fine-tuning job trains, from counts alone: what the worker does and what the edge estimates are the same. */
import type { LoraMethod, ModelShape } from './wire.ts'

/** Clusters that are held out of so many: at least one when the fraction is positive and two or more exist. */
export function heldOutCount(clusters: number, fraction: number): number {
  if (fraction === 0 || clusters < 2) return 0
  return Math.min(clusters - 1, Math.max(1, Math.round(clusters * fraction)))
}

/** Optimizer steps over so many examples; fractions of an epoch are rounded to steps. */
export function countSteps(
  examples: number,
  {
    epochs,
    batchSize,
    gradientAccumulation,
  }: Pick<LoraMethod, 'epochs' | 'batchSize' | 'gradientAccumulation'>,
): { stepsPerEpoch: number; totalSteps: number } {
  const stepsPerEpoch = Math.ceil(Math.ceil(examples / batchSize) / gradientAccumulation)
  return { stepsPerEpoch, totalSteps: Math.max(1, Math.round(stepsPerEpoch * epochs)) }
}

const FLOAT_BYTES = 4
/** Node and the runtime, and the graphs of a layer, before any weight or activation. */
const PROCESS_BYTES = 150 * 2 ** 20
const LAYER_BYTES = 3 * 2 ** 20
/** Copies of the adapter: itself, two moments, the gradient, the best so far, one on its way. */
const ADAPTER_COPIES = 6
/** Bytes a weight of a quantized matrix takes in all: bits and scales, once for ourselves and in each of two sessions. */
const QUANTIZED_BYTES = { int4: 3 * 0.625, int8: 3 * 1.125 }

/**
 * The most memory in bytes that the training of full batches takes on a CPU, where the float32 base is read in place: what
 * the gradients need of every layer, or with recompute its input and the whole of one layer at a time, and at the
 * end logits and probabilities of every token, in training and again in validation. Within a tenth or so of what was measured
 * (`npm run bench:training`); batches of shorter records take less.
 */
export function trainingMemory(
  shape: ModelShape,
  { rank, batchSize, sequenceLength, targetModules, quantization, recompute, dropout }: LoraMethod,
): number {
  const { hidden, layers, heads, kvHeads, headDim, ffn, vocab, tied } = shape
  const q = heads * headDim
  const kv = kvHeads * headDim
  const dims = {
    q_proj: [hidden, q],
    k_proj: [hidden, kv],
    v_proj: [hidden, kv],
    o_proj: [q, hidden],
    gate_proj: [hidden, ffn],
    up_proj: [hidden, ffn],
    down_proj: [ffn, hidden],
  } as const
  const matrices =
    layers * Object.values(dims).reduce((n, [inDim, outDim]) => n + inDim * outDim, 0)
  const embeddings = (tied ? 1 : 2) * vocab * hidden
  // The float32 base stays for the index that follows.
  const base =
    FLOAT_BYTES * (matrices + embeddings) +
    (quantization === 'none' ? 0 : matrices * QUANTIZED_BYTES[quantization])
  const adapter = layers * rank * targetModules.reduce((n, it) => n + dims[it][0] + dims[it][1], 0)

  const tokens = batchSize * sequenceLength
  // Layer input, middle and both norms; queries, their output and its transpose; keys and values; probabilities; five
  // of the SwiGLU; and what dropout leaves of every input.
  const kept =
    4 * hidden +
    3 * q +
    2 * kv +
    heads * sequenceLength +
    5 * ffn +
    targetModules.length * rank +
    (dropout > 0 ? targetModules.reduce((n, it) => n + dims[it][0], 0) : 0)
  const activations = recompute ? layers * hidden + kept : layers * kept
  const loss = 2 * vocab
  const evaluation = loss + 4 * ffn
  return Math.ceil(
    PROCESS_BYTES +
      LAYER_BYTES * layers +
      base +
      FLOAT_BYTES * (ADAPTER_COPIES * adapter + tokens * (activations + loss + evaluation)),
  )
}
