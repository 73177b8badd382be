import assert from 'node:assert/strict'
import test from 'node:test'
import type { Worker } from 'node:worker_threads'
import { tinyWorkplace, trainTiny } from '../testing/trained.ts'
import { importPeft } from '../training/peft.ts'
import { readInThread } from './index-reader.ts'
import type { ReadRequest } from './index-reading.ts'

const LARGE_BYTES = 512 * 2 ** 20

const place = await tinyWorkplace()
const { manifest } = await trainTiny(place)
const file = (name: keyof typeof manifest.files) => {
  const { sha256 } = manifest.files[name]
  return { sha256, bytes: place.blobs.held.get(sha256)! }
}
const { lora } = importPeft(place.base.config, {
  weights: file('adapter_model.safetensors').bytes,
  config: file('adapter_config.json').bytes,
})
const request: ReadRequest = {
  files: {
    rows: file('index/rows.json'),
    vectors: file('index/vectors.i8'),
    landmarks: file('index/landmarks.i8'),
    projection: file('index/projection.safetensors'),
    spans: file('index/spans.bin'),
  },
  owner: { root: manifest.indexRoot, adapter: manifest.digest, config: place.base.config, lora },
}
const threads: Worker[] = []
process.on('worker', (thread) => threads.push(thread))
const rowsRead = async () => (await readInThread(request)).parts.rows.length

test('a thread that dies fails who waits for it, and the next load starts another', async () => {
  const rows = await rowsRead()
  assert.ok(rows > 0)
  const deaths: ((thread: Worker) => unknown)[] = [
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    (thread) => thread.postMessage(null), // nothing that it can read: it ends with an exception
    (thread) => thread.terminate(),
  ]
  for (const [i, die] of deaths.entries()) {
    assert.equal(threads.length, i + 1)
    void die(threads[i]!)
    const failed = { name: 'ServingError', code: 'inference/failed', message: /thread died/ }
    await Promise.all([rowsRead(), rowsRead()].map((read) => assert.rejects(read, failed)))
    assert.equal(await rowsRead(), rows)
  }
})

test('files of half a gigabyte reach the thread, and one that is refused does not end it', async () => {
  const started = threads.length
  const vectors = { ...request.files.vectors, bytes: new Uint8Array(LARGE_BYTES) }
  const large = readInThread({ ...request, files: { ...request.files, vectors } })
  await assert.rejects(large, /index vectors has the hash 0x[0-9a-f]{64}, not 0x/)
  assert.ok((await rowsRead()) > 0)
  assert.equal(threads.length, started)
})
