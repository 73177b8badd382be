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
/** What an attribution index holds at once, at most: it is built in memory that does not grow with the records. */
export const INDEX_LIMITS = {
  /** Records that its map is fitted to, the numbers of their gradients, and those of the directions found in them. */
  sample: 256,
  sampleNumbers: 2 ** 26,
  directionNumbers: 2 ** 24,
  /** Of one run over records: padded tokens, what is kept of them for the gradients, and the gradients' numbers. */
  runTokens: 2048,
  runBytes: 768 * 2 ** 20,
  runNumbers: 2 ** 25,
}

/**
 * Float32 numbers that the gradients need of a token in one layer: its input, middle and both norms; queries, their
 * output and its transpose; keys and values; probabilities; five of the SwiGLU.
 */
const keptOfLayer = (
  { hidden, heads, kvHeads, headDim, ffn }: ModelShape,
  length: number,
): number => 4 * hidden + (3 * heads + 2 * kvHeads) * headDim + heads * length + 5 * ffn

/** Bytes that the gradients need of each token of sequences of a length: of all layers, logits and probabilities. */
const gradientBytes = (shape: ModelShape, length: number): number =>
  FLOAT_BYTES * (shape.layers * keptOfLayer(shape, length) + 2 * shape.vocab)

/** How many sequences of a length, with gradients of so many numbers, an index reads in one run. */
export function sequencesPerRun(shape: ModelShape, length: number, numbers: number): number {
  const { runTokens, runBytes, runNumbers } = INDEX_LIMITS
  const tokens = Math.min(runTokens, runBytes / gradientBytes(shape, length))
  return Math.max(1, Math.floor(Math.min(tokens / length, runNumbers / numbers)))
}

/**
 * The most memory in bytes that a job with full batches takes on a CPU, where the float32 base is read in place. Training: what
 * the gradients need of every layer, or with recompute its input and the whole of one layer at a time, and at the
 * end logits and probabilities of every token, in training and again in validation. Then the index, a run of records at
 * a time. What was measured is from a fifth below it to a sixth above (`npm run
 * bench:training`); shorter records take less.
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
  const matrixBytes = quantization === 'none' ? FLOAT_BYTES : QUANTIZED_BYTES[quantization]
  const base = FLOAT_BYTES * embeddings + matrixBytes * matrices
  const adapter = layers * rank * targetModules.reduce((n, it) => n + dims[it][0] + dims[it][1], 0)

  const tokens = batchSize * sequenceLength
  // Besides, what dropout leaves of every input.
  const kept =
    keptOfLayer(shape, sequenceLength) +
    targetModules.length * rank +
    (dropout > 0 ? targetModules.reduce((n, it) => n + dims[it][0], 0) : 0)
  const activations = recompute ? layers * hidden + kept : layers * kept
  const loss = 2 * vocab
  const evaluation = loss + 4 * ffn
  const training = FLOAT_BYTES * tokens * (activations + loss + evaluation)
  const { sample, sampleNumbers, directionNumbers } = INDEX_LIMITS
  const run = sequencesPerRun(shape, sequenceLength, adapter)
  const indexing =
    FLOAT_BYTES * (Math.min(sample * adapter, sampleNumbers) + directionNumbers + run * adapter) +
    run * sequenceLength * gradientBytes(shape, sequenceLength)
  return Math.ceil(
    PROCESS_BYTES +
      LAYER_BYTES * layers +
      base +
      FLOAT_BYTES * ADAPTER_COPIES * adapter +
      Math.max(training, indexing),
  )
}
