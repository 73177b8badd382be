/** The base model that a worker serves and fine-tunes: files, parameters, tokenizer and identity. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, readdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { loadModel, type Model } from '#engine/models/files.ts'
import { toHex, type Hex } from '#protocol/bytes.ts'
import { baseDigest } from '#protocol/model.ts'
import { loadTokenizer, type Tokenizer } from './tokenizer.ts'

export type BaseIdentity = { name: string; digest: Hex; directory: string; contextLength: number }
export type BaseModel = BaseIdentity & Model & { tokenizer: Tokenizer }

/** Loads a model directory in Hugging Face layout. The name is the directory's. */
export async function loadBaseModel(directory: string): Promise<BaseModel> {
  const path = resolve(directory)
  const missing = await firstMissing(path, [
    'config.json',
    'tokenizer.json',
    'tokenizer_config.json',
  ])
  if (missing) throw new Error(`${path} is not a model directory: it has no ${missing}`)
  const [model, tokenizer, digest] = await Promise.all([
    loadModel(path),
    loadTokenizer(path),
    digestOf(path),
  ])
  return {
    ...model,
    tokenizer,
    digest,
    name: basename(path),
    directory: path,
    contextLength: model.config.positions,
  }
}

async function firstMissing(directory: string, names: readonly string[]): Promise<string | null> {
  for (const name of names) {
    const found = await access(join(directory, name)).then(
      () => true,
      () => false,
    )
    if (!found) return name
  }
  return null
}

async function digestOf(directory: string): Promise<Hex> {
  const hash = (name: string) => sha256File(join(directory, name))
  const weights = (await readdir(directory)).filter((name) => /^model.*\.safetensors$/.test(name))
  return baseDigest({
    config: await hash('config.json'),
    tokenizer: await hash('tokenizer.json'),
    weights: await Promise.all(weights.toSorted().map(hash)),
  })
}

/** SHA-256 of a file, read as a stream. */
export async function sha256File(path: string): Promise<Hex> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return toHex(hash.digest())
}
