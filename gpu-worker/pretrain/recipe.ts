/** What is trained and how: everything that, with the corpus, decides the weights. */

export type Recipe = {
  /** The model's config.json. */
  readonly config: Readonly<Record<string, unknown>> & { readonly max_position_embeddings: number }
  readonly vocabularySize: number
  readonly seed: number
  readonly rowTokens: number
  readonly rowsPerStep: number
  readonly peakLearningRate: number
  /** Share of the run in which the learning rate rises to its peak; afterwards it falls to zero by half a cosine. */
  readonly warmupShare: number
}

/** `openledger-5m`: 5.47 M parameters. */
export const OPENLEDGER_5M: Recipe = {
  config: {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: 256,
    intermediate_size: 704,
    num_hidden_layers: 6,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 32,
    vocab_size: 4096,
    max_position_embeddings: 1024,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    hidden_act: 'silu',
    attention_bias: false,
    mlp_bias: false,
    pad_token_id: 0,
    bos_token_id: 1,
    eos_token_id: 2,
    dtype: 'bfloat16',
  },
  vocabularySize: 4096,
  seed: 1,
  // 97 % of the corpus's tokens lie in documents' first 512.
  rowTokens: 512,
  rowsPerStep: 8,
  peakLearningRate: 2e-3,
  warmupShare: 0.03,
}
