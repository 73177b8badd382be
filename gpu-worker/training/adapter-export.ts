/**
 * An adapter as a zip for other programs: the base model with it merged in, as Transformers loads it, or a GGUF adapter
 * for llama.cpp. PEFT's own files need no base model; the edge packs those itself.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeZip, predictLength } from 'client-zip'
import type { Adapter } from '#engine/adapter-pack.ts'
import { exportGgufAdapter, exportMerged } from '#engine/models/export.ts'
import type { ExportRequest } from '#protocol/export.ts'
import type { BaseModel } from '../base-model.ts'

/** What a merged model has of its base besides the weights. */
const BASE_FILES = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
]
/** The same adapter is the same zip. */
const EPOCH = new Date('2000-01-01T00:00:00Z')

export type ExportedZip = { bytes: number; stream: ReadableStream<Uint8Array> }

type Entry = { name: string; size: number; input: Uint8Array | AsyncIterable<Uint8Array> }

/** Makes the zip as it is read: no more than one tensor of a merged model is in memory. */
export async function exportZip(
  base: BaseModel,
  adapter: Adapter,
  { format, card }: Pick<ExportRequest, 'format' | 'card'>,
): Promise<ExportedZip> {
  const files = format === 'gguf' ? [gguf(base, adapter)] : await merged(base, adapter)
  const entries = [entry('README.md', Buffer.from(card)), ...files].map((it) => ({
    ...it,
    lastModified: EPOCH,
  }))
  const sizes = entries.map(({ name, size }) => ({ name, size }))
  return { bytes: Number(predictLength(sizes)), stream: makeZip(entries as never) }
}

const entry = (name: string, input: Uint8Array): Entry => ({ name, size: input.byteLength, input })

const gguf = (base: BaseModel, adapter: Adapter): Entry =>
  entry('adapter.gguf', exportGgufAdapter(base.config, adapter))

async function merged(base: BaseModel, adapter: Adapter): Promise<Entry[]> {
  const present = await readdir(base.directory)
  const names = BASE_FILES.filter((name) => present.includes(name))
  const copied = await Promise.all(
    names.map(async (name) => entry(name, await readFile(join(base.directory, name)))),
  )
  const { bytes, parts } = exportMerged(base.config, base.parameters, adapter)
  return [...copied, { name: 'model.safetensors', size: bytes, input: each(parts) }]
}

async function* each(parts: Iterable<Uint8Array>) {
  yield* parts
}
