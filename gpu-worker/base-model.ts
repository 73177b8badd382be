/** The base model that a worker serves and fine-tunes: files, parameters, tokenizer and identity. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseLlamaConfig, type LlamaConfig } from '#engine/models/config.ts'
import { loadModel, loadModelIn, type Model } from '#engine/models/files.ts'
import type { FormattedModel, WeightFormat } from '#engine/quant.ts'
import { toHex, type Hex } from '#protocol/bytes.ts'
import { baseDigest } from '#protocol/model.ts'
import { loadTokenizer, type Tokenizer } from './tokenizer.ts'

export type BaseIdentity = {
  name: string
  digest: Hex
  directory: string
  contextLength: number
  config: LlamaConfig
}
/** A base with its parameters in float32. */
export type BaseModel = BaseIdentity & Model & { tokenizer: Tokenizer }
/** A base with its parameters in any format. */
export type FormattedBase = BaseIdentity & FormattedModel & { tokenizer: Tokenizer }

/** What a model directory in Hugging Face layout holds, without its weights. The name is the directory's. */
export async function identifyBase(directory: string): Promise<BaseIdentity> {
  const path = resolve(directory)
  const files = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors']
  const found: string[] = await readdir(path).catch(() => [])
  const missing = files.find((name) => !found.includes(name))
  if (missing && !(missing === 'model.safetensors' && weightFilesOf(found).length > 0))
    throw new Error(`${path} is not a model directory: it has no ${missing}`)
  const config = parseLlamaConfig(JSON.parse(await readFile(join(path, 'config.json'), 'utf8')))
  const hash = (name: string) => sha256File(join(path, name))
  const digest = baseDigest({
    config: await hash('config.json'),
    tokenizer: await hash('tokenizer.json'),
    weights: await Promise.all(weightFilesOf(found).map(hash)),
  })
  return { name: basename(path), digest, directory: path, contextLength: config.positions, config }
}

/** Loads a model directory whole. */
export const loadBaseModel = (directory: string): Promise<BaseModel> =>
  loadWith(loadModel, directory)

/** The same in a format; a quantized base is never in memory as float32. Throws where a layer cannot be quantized. */
export const loadBaseModelIn = (directory: string, format: WeightFormat): Promise<FormattedBase> =>
  format === 'f32'
    ? loadBaseModel(directory)
    : loadWith((path) => loadModelIn(path, format), directory)

async function loadWith<M>(
  load: (directory: string) => Promise<M>,
  directory: string,
): Promise<BaseIdentity & M & { tokenizer: Tokenizer }> {
  const identity = await identifyBase(directory)
  const [model, tokenizer] = await Promise.all([
    load(identity.directory),
    loadTokenizer(identity.directory),
  ])
  return { ...identity, ...model, tokenizer }
}

const weightFilesOf = (names: readonly string[]): string[] =>
  names.filter((name) => /^model.*\.safetensors$/.test(name)).toSorted()

/** SHA-256 of a file, read as a stream. */
async function sha256File(path: string): Promise<Hex> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return toHex(hash.digest())
}
