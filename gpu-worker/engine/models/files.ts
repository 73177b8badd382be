// Models as Hugging Face directories: config.json and model.safetensors, or shards listed in an index.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { readSafetensorsFile } from '../safetensors.ts'
import { requireTensor } from '../tensor.ts'
import type { HostTensor, TensorMap } from '../tensor.ts'
import { parseLlamaConfig } from './config.ts'
import type { LlamaConfig } from './config.ts'
import { parameterDims } from './parameters.ts'

const ShardIndex = z.object({ weight_map: z.record(z.string(), z.string()) })

export type Model = { readonly config: LlamaConfig; readonly parameters: TensorMap }

/** Loads a model directory as float32. Throws an Error when a tensor is missing or has the wrong shape. */
export async function loadModel(directory: string): Promise<Model> {
  const config = parseLlamaConfig(
    JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')),
  )
  const found = new Map<string, HostTensor>()
  for (const file of await weightFiles(directory)) {
    for (const [name, tensor] of await readSafetensorsFile(join(directory, file))) {
      found.set(name, tensor)
    }
  }
  return { config, parameters: selectParameters(config, found) }
}

/** The model's parameters among `tensors`, in canonical order, with their shapes checked. */
export function selectParameters(config: LlamaConfig, tensors: TensorMap): TensorMap {
  return new Map(
    [...parameterDims(config)].map(([name, dims]) => {
      const tensor = requireTensor(tensors, name)
      if (tensor.dims.join() !== dims.join()) {
        throw new Error(`${name} has dims [${tensor.dims}], config.json says [${dims}]`)
      }
      return [name, tensor]
    }),
  )
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
