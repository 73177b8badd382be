// The shape of a Llama-family model, read from a Hugging Face config.json. What the engine does not compute is refused
// here by name, so that no model is ever run wrongly.
import * as z from 'zod'

const Rotary = z.object({
  rope_type: z.string().optional(),
  type: z.string().optional(), // the older spelling
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: z.number().int().positive().optional(),
})

const HuggingFaceConfig = z.object({
  model_type: z.literal('llama'),
  hidden_size: z.number().int().positive(),
  intermediate_size: z.number().int().positive(),
  num_hidden_layers: z.number().int().positive(),
  num_attention_heads: z.number().int().positive(),
  num_key_value_heads: z.number().int().positive().optional(),
  head_dim: z.number().int().positive().nullish(),
  vocab_size: z.number().int().positive(),
  max_position_embeddings: z.number().int().positive().default(2048),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().optional(),
  rope_scaling: Rotary.nullish(),
  rope_parameters: Rotary.nullish(), // transformers 5
  tie_word_embeddings: z.boolean().default(false),
  initializer_range: z.number().positive().default(0.02),
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: z.literal(false).default(false),
  mlp_bias: z.literal(false).default(false),
})

/** Frequency scaling of Llama 3.1: long wavelengths are slowed down by `factor`, short ones kept. */
export type Llama3Scaling = {
  readonly factor: number
  readonly lowFrequencyFactor: number
  readonly highFrequencyFactor: number
  readonly originalPositions: number
}

export type LlamaConfig = {
  readonly hidden: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly ffn: number
  readonly vocab: number
  readonly positions: number
  readonly normEpsilon: number
  readonly ropeTheta: number
  readonly ropeScaling: Llama3Scaling | null
  readonly tied: boolean
  readonly initializerRange: number
}

/** Reads a Hugging Face `config.json` (already parsed as JSON). Throws an Error that names what is unsupported. */
export function parseLlamaConfig(json: unknown): LlamaConfig {
  const parsed = HuggingFaceConfig.safeParse(json)
  if (!parsed.success) throw new Error(`unsupported config.json: ${z.prettifyError(parsed.error)}`)
  const file = parsed.data
  const rope = file.rope_parameters ?? file.rope_scaling
  const kvHeads = file.num_key_value_heads ?? file.num_attention_heads
  if (file.num_attention_heads % kvHeads !== 0) {
    throw new Error(
      `${file.num_attention_heads} query heads do not divide over ${kvHeads} key heads`,
    )
  }
  const headDim = file.head_dim ?? file.hidden_size / file.num_attention_heads
  if (!Number.isInteger(headDim / 2)) throw new Error(`head_dim ${headDim} is not an even integer`)
  return {
    hidden: file.hidden_size,
    layers: file.num_hidden_layers,
    heads: file.num_attention_heads,
    kvHeads,
    headDim,
    ffn: file.intermediate_size,
    vocab: file.vocab_size,
    positions: file.max_position_embeddings,
    normEpsilon: file.rms_norm_eps,
    ropeTheta: file.rope_parameters?.rope_theta ?? file.rope_theta ?? 10_000,
    ropeScaling: rope ? ropeScaling(rope) : null,
    tied: file.tie_word_embeddings,
    initializerRange: file.initializer_range,
  }
}

function ropeScaling(rope: z.infer<typeof Rotary>): Llama3Scaling | null {
  const kind = rope.rope_type ?? rope.type ?? 'default'
  if (kind === 'default') return null
  const { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } = rope
  if (
    kind !== 'llama3' ||
    !factor ||
    !low_freq_factor ||
    !high_freq_factor ||
    !original_max_position_embeddings
  ) {
    throw new Error(`unsupported config.json: rope scaling "${kind}"`)
  }
  return {
    factor,
    lowFrequencyFactor: low_freq_factor,
    highFrequencyFactor: high_freq_factor,
    originalPositions: original_max_position_embeddings,
  }
}

/** Angles of the rotary embedding, as cos and sin of [positions, headDim / 2] (float32, row-major). */
export function rotaryAngles(config: LlamaConfig): { cos: Float32Array; sin: Float32Array } {
  const half = config.headDim / 2
  const cos = new Float32Array(config.positions * half)
  const sin = new Float32Array(config.positions * half)
  for (let i = 0; i < half; i++) {
    const frequency = scaledFrequency(config.ropeTheta ** (-i / half), config.ropeScaling)
    for (let position = 0; position < config.positions; position++) {
      cos[position * half + i] = Math.cos(position * frequency)
      sin[position * half + i] = Math.sin(position * frequency)
    }
  }
  return { cos, sin }
}

function scaledFrequency(frequency: number, scaling: Llama3Scaling | null): number {
  if (!scaling) return frequency
  const turns = (scaling.originalPositions * frequency) / (2 * Math.PI) // rotations within the original context
  const { lowFrequencyFactor: low, highFrequencyFactor: high, factor } = scaling
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)))
  return frequency * (kept + (1 - kept) / factor)
}
