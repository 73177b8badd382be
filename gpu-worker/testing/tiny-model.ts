/** A small random Llama model with the embedded tokenizer, for tests that need no language. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseLlamaConfig } from '#engine/models/config.ts'
import { initialParameters } from '#engine/models/parameters.ts'
import { writeSafetensors } from '#engine/safetensors.ts'

export const EMBEDDED_MODEL = new URL('../models/openledger-5m', import.meta.url).pathname

const config = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  intermediate_size: 64,
  vocab_size: 4096,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  initializer_range: 0.1,
  hidden_act: 'silu',
  bos_token_id: 1,
  eos_token_id: 2,
}

/** Writes the model under `parent` and returns its directory. Equal seeds give equal bytes. */
export async function writeTinyModel(parent: string, seed = 1): Promise<string> {
  const directory = join(parent, 'tiny')
  await mkdir(directory, { recursive: true })
  const parameters = initialParameters(parseLlamaConfig(config), seed)
  await writeFile(join(directory, 'config.json'), JSON.stringify(config))
  await writeFile(join(directory, 'model.safetensors'), writeSafetensors(parameters))
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
    await copyFile(join(EMBEDDED_MODEL, name), join(directory, name))
  return directory
}
