/** A base of SmolLM2-135M's layers with random weights and the embedded tokenizer: 109 M parameters. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseLlamaConfig } from '#engine/models/config.ts'
import { initialParameters } from '#engine/models/parameters.ts'
import { writeSafetensors } from '#engine/safetensors.ts'
import { loadBaseModel, type BaseModel } from '#gpu-worker/base-model.ts'
import { EMBEDDED_MODEL } from '#gpu-worker/testing/tiny-model.ts'
import { SMOLLM2_135M } from '../training/smollm2.ts'

const CONFIG = { ...SMOLLM2_135M, vocab_size: 4_096, bos_token_id: 1, eos_token_id: 2 }

/** Writes it under `directory` and loads it. */
export async function largeBase(directory: string): Promise<BaseModel> {
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'config.json'), JSON.stringify(CONFIG))
  const parameters = initialParameters(parseLlamaConfig(CONFIG), 1)
  await writeFile(join(directory, 'model.safetensors'), writeSafetensors(parameters))
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
    await copyFile(join(EMBEDDED_MODEL, name), join(directory, name))
  return loadBaseModel(directory)
}
