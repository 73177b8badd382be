// Models as Hugging Face directories: config.json and model.safetensors, or shards listed in an index.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { quantizer } from '../quant.ts'
import type { FormattedModel, QuantFormat } from '../quant.ts'
import { safetensorsOf } from '../safetensors.ts'
import type { HostTensor, TensorMap } from '../tensor.ts'
import { parseLlamaConfig } from './config.ts'
import type { LlamaConfig } from './config.ts'
import { parameterDims } from './parameters.ts'

const ShardIndex = z.object({ weight_map: z.record(z.string(), z.string()) })

export type Model = {
  readonly config: LlamaConfig
  readonly format: 'f32'
  readonly parameters: TensorMap
}

/** Loads a model directory as float32. Throws an Error when a tensor is missing or has the wrong shape. */
export async function loadModel(directory: string): Promise<Model> {
  const config = await readConfig(directory)
  const parameters = new Map<string, HostTensor>()
  for await (const [name, tensor] of parametersOf(directory, config)) parameters.set(name, tensor)
  return { config, format: 'f32', parameters }
}

/**
 * Loads a model directory in a format. Matrices are quantized as they are read: the whole model is never in memory as
 * float32. Throws as `loadModel`, and where a layer cannot be quantized.
 */
export async function loadModelIn(directory: string, format: QuantFormat): Promise<FormattedModel> {
  const config = await readConfig(directory)
  const quantized = quantizer(config, format)
  const parameters = new Map<string, HostTensor | HostTensor<Uint8Array>>()
  for await (const [name, tensor] of parametersOf(directory, config))
    for (const [part, held] of quantized(name, tensor)) parameters.set(part, held)
  return { config, format, parameters }
}

const readConfig = async (directory: string): Promise<LlamaConfig> =>
  parseLlamaConfig(JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')))

/** The model's parameters in the order of its files, with their shapes checked; throws at the end when one was missing. */
async function* parametersOf(
  directory: string,
  config: LlamaConfig,
): AsyncGenerator<[string, HostTensor], void, void> {
  const missing = new Map(parameterDims(config))
  for (const file of await weightFiles(directory)) {
    for await (const [name, tensor] of safetensorsOf(join(directory, file))) {
      const dims = missing.get(name)
      if (!dims) continue
      if (tensor.dims.join() !== dims.join())
        throw new Error(`${name} has dims [${tensor.dims}], config.json says [${dims}]`)
      missing.delete(name)
      yield [name, tensor]
    }
  }
  const [first] = missing.keys()
  if (first !== undefined) throw new Error(`tensor "${first}" is missing`)
}

async function weightFiles(directory: string): Promise<readonly string[]> {
  const index = await readFile(join(directory, 'model.safetensors.index.json'), 'utf8').catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    },
  )
  if (index === null) return ['model.safetensors']
  return [...new Set(Object.values(ShardIndex.parse(JSON.parse(index)).weight_map))]
}
