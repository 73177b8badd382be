import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import test, { after } from 'node:test'
import { exportGgufAdapter } from '#engine/models/export.ts'
import { initialAdapter, loraConfig, mergeAdapter } from '#engine/models/lora.ts'
import { gaussian, randomSource } from '#engine/random.ts'
import { writeSafetensors } from '#engine/safetensors.ts'
import type { ExportRequest } from '#protocol/export.ts'
import { loadBaseModel } from '../base-model.ts'
import { startTestEdge } from '../testing/edge.ts'
import { writeTinyModel } from '../testing/tiny-model.ts'
import { openExporter } from './exporter.ts'
import { digestOfFiles, exportPeft } from './peft.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const TOKEN = 'a-token-that-is-long-enough'
const scratch = scratchFolder()
const edge = await startTestEdge(TOKEN)
after(() => edge.close())
const modelDirectory = await writeTinyModel(scratch)
const base = await loadBaseModel(modelDirectory)
const lora = loraConfig(4, 8, ['self_attn.q_proj', 'mlp.down_proj'])
const tensors = initialAdapter(base.config, lora, 1)
const random = randomSource(2)
for (const { data } of tensors.values()) gaussian(random, data, 0.2)
const adapter = { lora, tensors }
const files = exportPeft(adapter, base.name)
const request: Omit<ExportRequest, 'format'> = {
  base: base.digest,
  adapter: {
    digest: digestOfFiles(files, base.digest),
    weights: (await edge.blobs.put(files.weights)).sha256,
    config: (await edge.blobs.put(files.config)).sha256,
  },
  card: '# A card ✓\n',
}
const directory = join(scratch, 'exports')
const exporter = await openExporter(directory, { edgeUrl: edge.url, token: TOKEN, modelDirectory })
const signal = new AbortController().signal

/** Files of a zip whose entries are stored, by its central directory. */
function unzip(zip: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06'))
  let at = zip.readUInt32LE(end + 16)
  for (let i = zip.readUInt16LE(end + 10); i > 0; i--) {
    assert.equal(zip.readUInt16LE(at + 10), 0, 'stored')
    const [size, nameLength, extra, comment] = [24, 28, 30, 32].map((offset) =>
      offset === 24 ? zip.readUInt32LE(at + offset) : zip.readUInt16LE(at + offset),
    ) as [number, number, number, number]
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength)
    const local = zip.readUInt32LE(at + 42)
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    found.set(name, zip.subarray(start, start + size))
    at += 46 + nameLength + extra + comment
  }
  return found
}

async function exported(format: ExportRequest['format']): Promise<Map<string, Buffer>> {
  const file = await exporter.export({ ...request, format }, signal)
  assert.ok(file)
  const zip = await buffer(file.stream)
  assert.equal(zip.length, file.bytes)
  return unzip(zip)
}

test('a merged model is the base’s files with the adapter in the weights, and the card', async () => {
  const found = await exported('merged')
  const whole = writeSafetensors(mergeAdapter(base.config, base.parameters, lora, tensors), 'BF16')
  assert.deepEqual(found.get('model.safetensors'), whole)
  for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
    assert.deepEqual(found.get(name), await readFile(join(modelDirectory, name)), name)
  assert.equal(found.get('README.md')?.toString(), request.card)
})

test('a GGUF adapter comes with the card, and the same adapter is the same zip', async () => {
  const [found, again] = await Promise.all([exported('gguf'), exported('gguf')])
  assert.deepEqual(found, again)
  assert.deepEqual([...found.keys()], ['README.md', 'adapter.gguf'])
  assert.deepEqual(found.get('adapter.gguf'), exportGgufAdapter(base.config, adapter))
})

test('files that do not make the digest are refused, too many at once put off, and nothing is left on disk', async () => {
  const other = { ...request.adapter, digest: request.base }
  await assert.rejects(
    exporter.export({ ...request, adapter: other, format: 'gguf' }, signal),
    /the files make the digest/,
  )
  const leaving = new AbortController()
  const left = [1, 2].map(() =>
    assert.rejects(exporter.export({ ...request, format: 'merged' }, leaving.signal), /SIGKILL/),
  )
  assert.equal(await exporter.export({ ...request, format: 'merged' }, signal), null)
  leaving.abort()
  await Promise.all(left)
  assert.deepEqual(await readdir(directory), [])
})
