// The shape of a model of the Llama kind (Llama, SmolLM2, Mistral, Qwen2, Qwen3), read from a Hugging Face config.json. What the engine does not compute is refused
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

const Shape = z.object({
  hidden_size: z.number().int().positive(),
  intermediate_size: z.number().int().positive(),
  num_hidden_layers: z.number().int().positive(),
  num_attention_heads: z.number().int().positive(),
  num_key_value_heads: z.number().int().positive(),
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
  layer_types: z.array(z.enum(['full_attention', 'sliding_attention'])).nullish(),
})

// The families differ from Llama in what is listed here, with the defaults of their transformers classes.
const HuggingFaceConfig = z.discriminatedUnion('model_type', [
  Shape.extend({
    model_type: z.literal('llama'), // SmolLM2 too
    num_key_value_heads: Shape.shape.num_key_value_heads.optional(),
  }),
  Shape.extend({
    model_type: z.literal('mistral'),
    sliding_window: z.number().int().positive().nullable().default(4096),
  }),
  Shape.extend({
    model_type: z.literal('qwen2'),
    use_sliding_window: z.literal(false).default(false), // would apply to some layers only
  }),
  Shape.extend({
    model_type: z.literal('qwen3'),
    head_dim: z.number().int().positive().default(128),
    use_sliding_window: z.literal(false).default(false),
  }),
])

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
  /** Tokens that a query sees, itself included; null is all before it (Mistral: Jiang et al. 2023). */
  readonly window: number | null
  /** Biases on the q, k and v projections (Qwen2). */
  readonly qkvBias: boolean
  /** Root-mean-square norm of every query and key head before the rotation (Qwen3). */
  readonly qkNorm: boolean
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
  if (file.model_type !== 'mistral' && file.layer_types?.includes('sliding_attention')) {
    throw new Error(`unsupported config.json: layer_types with sliding_attention`)
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
    window: file.model_type === 'mistral' ? file.sliding_window : null,
    qkvBias: file.model_type === 'qwen2',
    qkNorm: file.model_type === 'qwen3',
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
