import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import test, { after, before, beforeEach } from 'node:test'
import type { Hex } from '#protocol/bytes.ts'
import { trainingMemory } from '#protocol/training.ts'
import { loraMethod, type ModelShape } from '#protocol/wire.ts'
import {
  asWorker,
  BASE,
  complete,
  jobEnded,
  makeAdapter,
  postJob,
  publishDatanet,
  registerBase,
  takeLease,
  type PublishedVersion,
} from '../testing/adapter.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import { startEdge, WORKER_TOKEN, type Edge } from '../testing/harness.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

// Preview, limits, memory and downloads, against the HTTP side of a real gpu-worker with the embedded model's tokenizer.

const MEMORY = 8 * 2 ** 30
let chain: Chain
let edge: Edge
let owner: SignedIn
let stranger: SignedIn
let datanet: PublishedVersion
let workerId: string
let announceTools: () => Promise<void>
let shape: ModelShape
const script = new URL('../../gpu-worker/testing/tools-server.ts', import.meta.url).pathname
const server = spawn(process.execPath, [script, WORKER_TOKEN, BASE.digest], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
before(async () => {
  chain = await startChain()
  await registerBase(chain)
  edge = await startEdge(chain.vars)
  ;[owner, stranger] = [await signIn(edge), await signIn(edge)]
  const lines = createInterface({ input: server.stdout })
  const [line] = (await once(lines, 'line')) as [string]
  const said = JSON.parse(line) as { port: number; shape: ModelShape }
  shape = said.shape
  announceTools = async () => {
    const response = await asWorker(edge, '/v1/workers', {
      address: `0x${'77'.repeat(20)}`,
      url: `http://127.0.0.1:${said.port}`,
      device: 'a test',
      bases: [{ ...BASE, training: { shape, memoryBytes: MEMORY } }],
    })
    workerId = ((await response.json()) as { workerId: string }).workerId
  }
  datanet = await publishDatanet(edge, owner, [owner, stranger])
})
// A worker counts as gone after half a minute, and a loaded machine is slow.
beforeEach(() => announceTools())
after(async () => {
  server.kill()
  await edge?.harness.close()
  await chain?.stop()
})

const post = async (path: string, body: object): Promise<[number, never]> => {
  const response = await edge.fetch(`/v1/fine_tuning/${path}`, {
    method: 'POST',
    headers: owner.headers,
    body: JSON.stringify({ model: BASE.name, ...body }),
  })
  return [response.status, (await response.json()) as never]
}
const withLength = (sequenceLength: number) => ({
  type: 'lora',
  lora: { hyperparameters: { sequenceLength } },
})

type Preview = {
  data: {
    row: number
    record: string | null
    format: string
    tokens: number
    trained_tokens: number
    truncated: boolean
    mask: number[]
    token_ids: number[]
    spans: { text: string; trained: boolean; cut: boolean }[]
  }[]
  refused: { row: number; code: string; detail: string }[]
  totals: Record<string, number>
}

test('rows of one’s own are previewed under a column mapping, and those that make no record are named', async () => {
  const rows = [
    { q: 'What is due?', a: 'The fee is due.' },
    { q: 'Only a question', a: { nested: true } },
    { q: 'Again?', a: 'Yes. '.repeat(40) },
  ]
  const columns = { prompt: 'q', completion: 'a' }
  const [status, found] = await post('preview', { rows, columns, method: withLength(32) })
  assert.equal(status, 200, JSON.stringify(found))
  const { data, refused, totals } = found as Preview
  assert.deepEqual(
    refused.map(({ row, code }) => [row, code]),
    [[2, 'SCHEMA_MISMATCH']],
  )
  assert.match(refused[0]!.detail, /Row 2: the column "a" is not text/)
  const [first, third] = data
  assert.deepEqual([first!.row, third!.row, first!.format], [1, 3, 'completion'])
  assert.deepEqual([first!.truncated, third!.truncated], [false, true])
  const trained = first!.spans.filter((span) => span.trained).map(({ text }) => text)
  assert.deepEqual(trained, ['The fee is due.<|end|>'])
  assert.equal(
    first!.mask.reduce((a, b) => a + b),
    first!.trained_tokens,
  )
  assert.equal(third!.token_ids.length, 32)
  assert.ok(third!.spans.some(({ cut }) => cut))
  assert.deepEqual(
    [totals['rows'], totals['refused'], totals['truncated'], totals['empty'], totals['longest']],
    [2, 1, 1, 0, third!.tokens],
  )
})

test('a chat is previewed with every answer trained', async () => {
  const messages = [
    { role: 'user', content: 'One?' },
    { role: 'assistant', content: 'Two.' },
    { role: 'user', content: 'Three?' },
    { role: 'assistant', content: 'Four.' },
  ]
  const [status, found] = await post('preview', { rows: [{ messages }] })
  assert.equal(status, 200)
  const [row] = (found as Preview).data
  assert.equal(row!.format, 'chat')
  const trained = row!.spans.filter((span) => span.trained).map(({ text }) => text)
  assert.deepEqual(trained, ['Two.<|end|>', 'Four.<|end|>'])
})

test('a version is previewed page by page', async () => {
  const ref = { id: datanet.id, version: 1 }
  const [, first] = await post('preview', { datanet: ref, limit: 2 })
  const [, second] = await post('preview', { datanet: ref, limit: 2, after: 1 })
  const rows = [...(first as Preview).data, ...(second as Preview).data]
  assert.deepEqual(
    rows.map(({ row }) => row),
    [0, 1, 2, 3],
  )
  assert.equal(new Set(rows.map(({ record }) => record)).size, 4)
  assert.ok(rows.every(({ trained_tokens }) => trained_tokens > 0))
})

test('a preview without a source, with two, or longer than the model reads, is refused', async () => {
  const rows = [{ text: 'x' }]
  const ref = { id: datanet.id, version: 1 }
  for (const body of [{}, { rows, datanet: ref }, { rows, method: withLength(1024) }, { rows: [] }])
    assert.equal((await post('preview', body))[0], 400, JSON.stringify(body).slice(0, 80))
  assert.equal((await post('preview', { rows, model: 'no-such-model' }))[0], 404)
})

test('limits tell bounds and defaults, with the context of the model', async () => {
  const response = await edge.fetch(`/v1/fine_tuning/limits?model=${BASE.name}`)
  const { hyperparameters } = (await response.json()) as {
    hyperparameters: Record<string, { minimum?: number; maximum?: number; default?: unknown }>
  }
  assert.deepEqual(Object.keys(hyperparameters), Object.keys(loraMethod.shape))
  assert.equal(hyperparameters['sequenceLength']!.maximum, BASE.contextLength)
  const { minimum, maximum, default: usual } = hyperparameters['rank']!
  assert.deepEqual([minimum, maximum, usual], [1, 64, 8])
  assert.equal((await edge.fetch('/v1/fine_tuning/limits?model=gpt-4')).status, 404)
})

test('an estimate tells the memory that the job takes and the worker has', async () => {
  const [, found] = await post('estimate', { datanets: [{ id: datanet.id, version: 1 }] })
  const { memory } = found as { memory: Record<string, number> }
  const method = loraMethod.parse({})
  assert.deepEqual(memory, {
    bytes: trainingMemory(shape, method),
    with_recompute_bytes: trainingMemory(shape, { ...method, recompute: true }),
    available_bytes: MEMORY,
  })
})

test('a job that no worker has the memory for is refused with what would help; a small worker passes it over', async () => {
  const datanets = [{ id: datanet.id, version: 1 }]
  // Large batches: of small ones the index takes more than the training, with recompute or without.
  const method = loraMethod.parse({ batchSize: 32, sequenceLength: 512 })
  const announce = async (address: Hex, memoryBytes: number): Promise<string> => {
    const training = { shape, memoryBytes }
    const hello = { address, url: 'http://127.0.0.1:9', device: 'a test' }
    const bases = [{ ...BASE, training }]
    const response = await asWorker(edge, '/v1/workers', { ...hello, bases })
    return ((await response.json()) as { workerId: string }).workerId
  }
  const need = trainingMemory(shape, method)
  const less = trainingMemory(shape, { ...method, recompute: true })
  assert.ok(less < need)
  const post = async (options: object = {}) => {
    const lora = { hyperparameters: { batch_size: 32, sequenceLength: 512, ...options } }
    const response = await postJob(edge, owner, { datanets, method: { type: 'lora', lora } })
    return [response.status, (await response.json()) as never] as const
  }
  const [large, small] = [`0x${'77'.repeat(20)}`, `0x${'78'.repeat(20)}`] as const
  await announce(large, less)
  const [status, refused] = await post()
  assert.equal(status, 400)
  const { error } = refused as { error: { message: string; param: string } }
  assert.match(error.message, /GiB of memory; the largest worker .* With recompute it takes/)
  assert.equal(error.param, 'method.lora.hyperparameters')
  await announce(large, less - 1)
  assert.match(JSON.stringify((await post())[1]), /A smaller batchSize or sequenceLength/)

  const largeId = await announce(large, need)
  const smallId = await announce(small, less)
  const [, whole] = await post()
  const [, thrifty] = await post({ recompute: true })
  const ids = [whole, thrifty].map((job) => (job as { id: string }).id)
  assert.equal((await takeLease(edge, smallId))?.job.jobId, ids[1])
  assert.equal(await takeLease(edge, smallId), null)
  assert.equal((await takeLease(edge, largeId))?.job.jobId, ids[0])
  for (const id of ids)
    await edge.fetch(`/v1/fine_tuning/jobs/${id}/cancel`, {
      method: 'POST',
      headers: owner.headers,
    })
  const env = (await edge.worker.getEnv()) as unknown as { DB: D1Database }
  await env.DB.prepare('DELETE FROM workers WHERE address = ?').bind(small).run()
})

test('an adapter is downloaded by its owner only, in every format, with its model card', async () => {
  const posted = await postJob(edge, owner, {
    datanets: [{ id: datanet.id, version: 1 }],
    suffix: 'taken-home',
  })
  const { id } = (await posted.json()) as { id: string }
  const lease = (await takeLease(edge, workerId))!
  const manifest = await makeAdapter(edge, lease)
  await complete(edge, lease.leaseId, manifest)
  const name = (await jobEnded(edge, owner, id)).fine_tuned_model!
  const get = (path: string, by?: SignedIn) =>
    edge.fetch(`/v1/models/${path}`, by ? { headers: by.headers } : {})

  const card = await (await get(`${encodeURIComponent(name)}/card`)).text()
  assert.match(card, /^---\nlibrary_name: peft\nbase_model: "openledger-5m"\n/)
  assert.ok(card.includes(manifest.digest) && card.includes(datanet.root))
  assert.equal(await (await get(`${name}/card`)).text(), card)

  assert.equal((await get(`${encodeURIComponent(name)}/download`)).status, 401)
  assert.equal((await get(`${encodeURIComponent(name)}/download`, stranger)).status, 403)
  assert.equal((await get(`${encodeURIComponent(name)}/download?format=bin`, owner)).status, 400)
  assert.equal((await get(`${BASE.name}/download`, owner)).status, 404)

  const zip = await get(`${name}/download`, owner)
  assert.equal(zip.headers.get('content-disposition'), 'attachment; filename="taken-home-peft.zip"')
  const bytes = Buffer.from(await zip.arrayBuffer())
  assert.equal(String(bytes.length), zip.headers.get('content-length'))
  // Stored, not compressed: names and contents stand in the bytes as they are.
  for (const part of ['README.md', card, 'adapter_config.json', 'adapter_model.safetensors'])
    assert.ok(bytes.includes(Buffer.from(part)), part.slice(0, 30))

  const merged = await get(`${encodeURIComponent(name)}/download?format=merged`, owner)
  assert.deepEqual(await merged.json(), {
    base: BASE.digest,
    adapter: {
      digest: manifest.digest,
      weights: manifest.files['adapter_model.safetensors'].sha256,
      config: manifest.files['adapter_config.json'].sha256,
    },
    format: 'merged',
    card,
  })
})
