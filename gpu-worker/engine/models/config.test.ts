import assert from 'node:assert/strict'
import test from 'node:test'
import { parseLlamaConfig } from './config.ts'
import { parameterDims } from './parameters.ts'

const file = {
  model_type: 'llama',
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  vocab_size: 61,
}

test('what the engine does not compute is refused by name', () => {
  const refused: [object, RegExp][] = [
    [{ model_type: 'gpt2' }, /model_type/],
    [{ model_type: 'qwen2', num_key_value_heads: 6, use_sliding_window: true }, /sliding_window/],
    [{ model_type: 'qwen3', num_key_value_heads: 6, attention_bias: true }, /attention_bias/],
    [{ model_type: 'mistral' }, /num_key_value_heads/],
    [{ layer_types: ['full_attention', 'sliding_attention'] }, /layer_types/],
    [{ attention_bias: true }, /attention_bias/],
    [{ mlp_bias: true }, /mlp_bias/],
    [{ hidden_act: 'gelu' }, /hidden_act/],
    [{ num_key_value_heads: 4 }, /6 query heads do not divide over 4/],
    [{ head_dim: 5 }, /head_dim 5/],
    [{ rope_scaling: { type: 'linear', factor: 2 } }, /rope scaling "linear"/],
    [{ rope_parameters: { rope_type: 'yarn', factor: 2 } }, /rope scaling "yarn"/],
  ]
  for (const [change, message] of refused) {
    assert.throws(() => parseLlamaConfig({ ...file, ...change }), message)
  }
})

test('defaults are those of transformers', () => {
  const config = parseLlamaConfig({ ...file, rope_theta: 5e5, rope_scaling: null })
  assert.deepEqual(
    [config.kvHeads, config.headDim, config.ropeTheta, config.tied, config.normEpsilon],
    [6, 4, 5e5, false, 1e-6],
  )
})

test('SmolLM2-135M has its published number of parameters', () => {
  const config = parseLlamaConfig({
    model_type: 'llama',
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: 49152,
    rope_theta: 100000,
    tie_word_embeddings: true,
  })
  let count = 0
  for (const dims of parameterDims(config).values()) {
    count += dims.reduce((product, dim) => product * dim, 1)
  }
  assert.equal(count, 134_515_008)
})
