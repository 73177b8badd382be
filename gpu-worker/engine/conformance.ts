// Decides whether an execution provider computes what the CPU provider computes. Providers fail silently (WebGPU leaves
// some outputs at zero), so every program runs on a small model on both, and every output must agree.
import { AdapterPack } from './adapter-pack.ts'
import { packBatch, padBatch } from './batch.ts'
import { KvCache } from './kv-cache.ts'
import { parseLlamaConfig } from './models/config.ts'
import { initialAdapter, loraConfig } from './models/lora.ts'
import { initialParameters } from './models/parameters.ts'
import { dropoutFeeds } from './programs/dropout.ts'
import { decodeProgram, prefillProgram } from './programs/generate.ts'
import { influenceProgram } from './programs/influence.ts'
import type { Program } from './programs/program.ts'
import { evaluateProgram, trainProgram } from './programs/train.ts'
import { inFormat } from './quant.ts'
import type { WeightFormat } from './quant.ts'
import { gaussian, randomSource } from './random.ts'
import { openSession } from './session.ts'
import type { ExecutionProvider, Feeds } from './session.ts'
import type { ParameterMap, TensorMap } from './tensor.ts'

/** Largest relative difference accepted per output; loose enough for the reduced precision of TF32 products. */
export const CONFORMANCE_TOLERANCE = 5e-3

export type Disagreement = {
  readonly program: string
  readonly output: string
  readonly error: number
}

/** The outputs of `candidate` whose relative Euclidean distance from `reference` exceeds the tolerance, or that are absent. */
export function disagreements(
  program: string,
  reference: TensorMap,
  candidate: TensorMap,
  tolerance = CONFORMANCE_TOLERANCE,
): readonly Disagreement[] {
  return [...reference].flatMap(([output, { data }]) => {
    const found = candidate.get(output)?.data
    let [difference, norm] = [0, 0]
    data.forEach((value, i) => {
      difference += (value - (found?.[i] ?? Number.NaN)) ** 2
      norm += value ** 2
    })
    const error = Math.sqrt(difference) / Math.max(Math.sqrt(norm), Number.MIN_VALUE)
    return error <= tolerance || difference === 0 ? [] : [{ program, output, error }]
  })
}

/**
 * Runs every program on CPU and on `provider`, those that serve with the base in `format`, and returns what disagrees; an
 * empty list means the provider conforms. Throws what the runtime throws when the provider is not available. A provider may even abort the process: run this
 * in a child process.
 */
export async function checkConformance(
  provider: ExecutionProvider,
  format: WeightFormat = 'f32',
): Promise<readonly Disagreement[]> {
  const found: Disagreement[] = []
  for (const { program, feeds, base = parameters } of cases(format)) {
    const outputs: TensorMap[] = []
    for (const chosen of ['cpu', provider] as const) {
      const session = await openSession(program, base, { provider: chosen, threads: 1 })
      outputs.push(await session.run(feeds))
      await session.release()
    }
    const [reference, candidate] = outputs
    if (reference && candidate) {
      found.push(...disagreements(program.name, reference, candidate))
    }
  }
  return found
}

// ---- the cases: one small model, every program ----

const config = parseLlamaConfig({
  model_type: 'llama',
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 64,
  vocab_size: 97,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  initializer_range: 0.15,
})
const parameters = initialParameters(config, 1)

const column = (...data: number[]) => ({ dims: [data.length, 1], data: Int32Array.from(data) })

type Case = {
  readonly program: Program
  readonly feeds: Feeds
  /** Float32 when absent. */
  readonly base?: ParameterMap
}

function cases(format: WeightFormat): readonly Case[] {
  const random = randomSource(2)
  const sequences = [9, 14, 6].map((length) => ({
    tokens: Array.from({ length }, () => Math.floor(random() * config.vocab)),
  }))
  const lora = loraConfig(4)
  const tensors = initialAdapter(config, lora, 3)
  for (const { data } of tensors.values()) gaussian(random, data, 0.1)
  const adapter = Object.fromEntries(tensors)
  const packed = packBatch(sequences, 16).feeds
  const hidden = { ...lora, dropout: 0.2 }
  const rows = packed['tokens']?.data.length ?? 0
  const { tokens, positions } = padBatch(sequences).feeds
  if (!tokens || !positions) throw new Error('a batch has tokens and positions')
  const cache = new KvCache(config)
  sequences.forEach(() => cache.add())
  const served = { lora, tensors }
  const adapters = new AdapterPack(config).feeds([served, null, served])
  const serving = { ...cache.feeds(), ...adapters }
  const base = inFormat({ config, format: 'f32', parameters }, format)

  return [
    {
      program: trainProgram(config, 'parameters'),
      feeds: { ...packed, ...Object.fromEntries(parameters) },
    },
    { program: trainProgram(config, lora), feeds: { ...packed, ...adapter } },
    {
      program: trainProgram(config, hidden, { recompute: true }),
      feeds: { ...packed, ...adapter, ...dropoutFeeds(config, hidden, rows, { seed: 1, step: 1 }) },
    },
    { program: evaluateProgram(config, lora), feeds: { ...packed, ...adapter } },
    {
      program: influenceProgram(config, { lora }),
      feeds: { ...padBatch(sequences, 'per-sequence').feeds, ...adapter },
    },
    {
      program: prefillProgram(config, { format }),
      feeds: { tokens, positions, rows: { dims: [2], data: Int32Array.of(8, 27) }, ...serving },
      base,
    },
    {
      program: decodeProgram(config, { format }),
      feeds: { tokens: column(5, 50, 90), positions: column(0, 0, 0), ...serving },
      base,
    },
  ]
}
