// Shared by the engine's tests: a small model with gradients large enough for float32, and comparisons.
import { parseLlamaConfig } from './models/config.ts'
import type { LlamaConfig } from './models/config.ts'
import { initialAdapter } from './models/lora.ts'
import type { LoraConfig } from './models/lora.ts'
import type { Adapter } from './adapter-pack.ts'
import { gaussian, randomSource } from './random.ts'

/** Two layers, grouped-query attention 6/2, head dimension 4 of hidden 24, vocabulary 61. */
export function tinyConfig(overrides: Readonly<Record<string, unknown>> = {}): LlamaConfig {
  return parseLlamaConfig({
    model_type: 'llama',
    hidden_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    head_dim: 4,
    intermediate_size: 40,
    vocab_size: 61,
    max_position_embeddings: 256,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    initializer_range: 0.2,
    ...overrides,
  })
}

/** Random tokens below `vocab`, the same for the same seed. */
export function randomTokens(length: number, seed: number, vocab = 61): number[] {
  const random = randomSource(seed)
  return Array.from({ length }, () => Math.floor(random() * vocab))
}

/** An adapter as training would leave it: neither factor is zero. */
export function randomAdapter(config: LlamaConfig, lora: LoraConfig, seed: number): Adapter {
  const random = randomSource(seed)
  const tensors = initialAdapter(config, lora, seed)
  for (const { data } of tensors.values()) gaussian(random, data, 0.2)
  return { lora, tensors }
}

/** |a - b| / |b| in the Euclidean norm. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity
  let [difference, norm] = [0, 0]
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2
    norm += (b[i] ?? 0) ** 2
  }
  return Math.sqrt(difference / norm)
}
