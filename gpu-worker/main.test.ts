import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { privateKeyToAddress } from 'viem/accounts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { receiptFault, receiptSigner } from '#protocol/receipt.ts'
import { previewReply } from '#protocol/preview.ts'
import { generateEvent, type GenerateEvent } from '#protocol/generation.ts'
import { adapterManifest, jobManifest } from '#protocol/wire.ts'
import { identifyBase } from './base-model.ts'
import { freePort, startTestChain } from './testing/chain.ts'
import { publishDatanet } from './testing/datanet.ts'
import { startTestEdge } from './testing/edge.ts'
import { writeTinyModel } from './testing/tiny-model.ts'
import { contributor, method, OWNER, PRICE, recordHash, records } from './testing/trained.ts'
import { scratchFolder } from '../test/support/scratch.ts'

// The whole process against a real chain with the contracts and an edge in memory: register, train, be killed, resume,
// publish, serve, attribute, sign, refuse.

const TOKEN = 'a-token-that-is-long-enough'
const WORKER_KEY = keccak('worker key')
const PATIENCE_MS = 90_000

const scratch = scratchFolder()
const [chain, edge, port] = [await startTestChain(), await startTestEdge(TOKEN), await freePort()]
const modelDirectory = await writeTinyModel(scratch)
const base = await identifyBase(modelDirectory)
const url = `http://127.0.0.1:${port}`
let output = ''
let worker: ReturnType<typeof startWorker>

function startWorker(change: Record<string, string> = {}) {
  const child = spawn(process.execPath, [new URL('main.ts', import.meta.url).pathname], {
    env: {
      ...process.env,
      EDGE_URL: edge.url,
      WORKER_TOKEN: TOKEN,
      WORKER_KEY,
      WORKER_URL: url,
      RPC_URL: chain.rpcUrl,
      CHAIN_ID: String(chain.chainId),
      CONTRACTS: JSON.stringify(chain.contracts),
      PORT: String(port),
      STATE_DIR: join(scratch, 'state'),
      MODEL_DIR: modelDirectory,
      DEVICE: 'cpu',
      THREADS: '1',
      CHECKPOINT_SECONDS: '0.2',
      ...change,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => (output += data.toString()))
  const gone = new Promise<number | null>((resolve) => child.once('exit', resolve))
  return { child, gone }
}

/** Waits until a condition holds; the worker's output says what went on when it never does. */
async function until<T>(what: string, look: () => T | Promise<T>): Promise<NonNullable<T>> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const found = await look()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`never: ${what}\n${output}`)
    await sleep(50)
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

type Health = {
  status: string
  device: string
  registered: string | null
  base: { format: string; memoryBytes: number }
  adapters: { resident: Hex[] }
  training: { pid: number } | null
}
const health = () =>
  fetch(`${url}/health`).then(
    (response) => response.json() as Promise<Health>,
    () => null,
  )

before(async () => {
  await chain.registerBase(base.digest, OWNER, PRICE)
  worker = startWorker()
  await until('registered', async () => (await health())?.registered)
})
after(async () => {
  worker.child.kill('SIGKILL')
  await worker.gone
  chain.stop()
  edge.close()
})

const ask = (body: unknown, token = TOKEN) =>
  fetch(`${url}/generate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
const question = (n: number, change: object = {}) => ({
  requestId: keccak(`request ${n}`),
  payer: contributor(99),
  base: base.digest,
  input: { messages: [{ role: 'user', content: `Tell rule ${n}.` }] },
  maxTokens: 40,
  temperature: 0,
  ...change,
})
async function eventsOf(body: unknown): Promise<GenerateEvent[]> {
  const text = await (await ask(body)).text()
  return text
    .trim()
    .split('\n')
    .map((line) => generateEvent.parse(JSON.parse(line)))
}

/** A job that takes some seconds. */
const longJob = async (jobId: string) =>
  jobManifest.parse({
    jobId,
    owner: OWNER,
    slug: 'rules',
    base: { name: base.name, digest: base.digest },
    datanets: [await publishDatanet(edge.blobs, records)],
    method: { ...method, epochs: 100, batchSize: 2, patience: 100 },
  })

/** An answer without its receipt. */
const answerOf = (events: GenerateEvent[]) =>
  events.filter(({ type }) => type === 'token' || type === 'end')

let adapter: { digest: Hex; manifest: Hex }

test('the worker says who it is, and on which device', async () => {
  const [hello] = edge.hellos
  assert.equal(hello?.address, privateKeyToAddress(WORKER_KEY).toLowerCase())
  const [{ training, ...named } = assert.fail('it serves nothing')] = hello!.bases
  assert.deepEqual(named, {
    name: 'tiny',
    digest: base.digest,
    contextLength: 256,
  })
  assert.deepEqual([training!.shape.layers, training!.memoryBytes > 2 ** 28], [2, true])
  assert.match(hello!.device, /^cpu \(cpu: chosen by DEVICE\)/)
  assert.deepEqual([(await health())!.device, (await health())!.status], ['cpu', 'ok'])
})

test('a training process killed with SIGKILL is followed by one that resumes from its checkpoint', async () => {
  const manifest = await longJob('ftjob-process')
  const [datanet] = manifest.datanets
  await chain.publishVersion('dn_test', OWNER, datanet!.root, datanet!.manifest, records.length)
  const job = edge.submit(manifest)
  const { pid } = await until('a training process', async () => (await health())?.training)
  await until('a checkpoint', () => job.checkpoint) // last, so that nothing but the kill comes after it
  process.kill(pid, 'SIGKILL')
  await until('the end of the job', () => job.status === 'succeeded' || job.failures.length > 1)

  assert.equal(job.leases.length, 2)
  assert.match(job.failures[0]!.message, /SIGKILL/)
  assert.ok(job.failures[0]!.retryable && job.leases[1]!.checkpoint)
  const messages = job.events.map(({ message }) => message)
  assert.ok(messages.some((message) => /resumed from the checkpoint after step \d+/.test(message)))

  const published = adapterManifest.parse(
    JSON.parse(new TextDecoder().decode(edge.blobs.held.get(job.result!.sha256))),
  )
  assert.ok(published.training.validationLoss < published.training.initialValidationLoss)
  await chain.registerAdapter(published, job.result!, PRICE)
  adapter = { digest: published.digest, manifest: job.result!.sha256 }
})

test('the adapter answers with the record it learned, which is paid first in a receipt that the chain’s rules accept', async () => {
  const events = await eventsOf(question(11, { adapter }))
  const text = events.map((event) => (event.type === 'token' ? event.text : '')).join('')
  const end = events.find((event) => event.type === 'end')!
  const { receipt, signature } = events.find((event) => event.type === 'receipt')!
  assert.match(text, /^Rule 11: .* fir teak nutmeg hazel birch pine\.$/)
  assert.equal(receipt.rows[0]?.record, recordHash(11))
  assert.equal(receipt.rows[0]?.contributor, records[11]!.contributor)
  assert.equal(receipt.fee, BigInt(end.promptTokens + end.completionTokens) * PRICE)
  assert.equal(receiptFault(receipt), null)
  const domain = { chainId: chain.chainId, settlement: chain.contracts.attributionSettlement }
  const signer = await receiptSigner({ receipt, signature }, domain)
  assert.equal(signer, privateKeyToAddress(WORKER_KEY))
  assert.deepEqual((await health())!.adapters.resident, [adapter.digest])
})

test('a cancelled job ends, and nothing is published', async () => {
  const job = edge.submit(await longJob('ftjob-cancelled'))
  await until('a training process', async () => (await health())?.training)
  job.status = 'cancelled'
  await until('no training process', async () => (await health())?.training === null)
  assert.deepEqual([job.result, job.failures, job.leases.length], [null, [], 1])
})

test('several answers at once are those of one at a time, the bare base among them', async () => {
  const requests = [question(1, { adapter }), question(2), question(7, { adapter })]
  const together = await Promise.all(requests.map(eventsOf))
  for (const [i, request] of requests.entries())
    assert.deepEqual(answerOf(together[i]!), answerOf(await eventsOf(request)))
})

test('HTTP stays responsive while a long answer is generated, and a caller who leaves ends it', async () => {
  const leaving = new AbortController()
  const response = await fetch(`${url}/generate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify(question(3, { maxTokens: 240, temperature: 1, seed: 1 })),
    signal: leaving.signal,
  })
  assert.equal(response.status, 200)
  assert.ok(await health())
  leaving.abort()
  await until('idle', async () => {
    const metrics = await (await fetch(`${url}/metrics`)).text()
    return /openledger_requests_active 0/.test(metrics) && /requests_waiting 0/.test(metrics)
  })
})

test('bad requests are refused before anything is computed', async () => {
  assert.equal((await ask(question(1), 'wrong token')).status, 401)
  assert.equal((await ask('{')).status, 400)
  assert.equal((await ask({ ...question(1), maxTokens: 0 })).status, 400)
  assert.equal((await ask('x'.repeat(5 * 2 ** 20))).status, 413)
  assert.equal((await fetch(`${url}/generate`)).status, 405)
  assert.equal((await fetch(`${url}/elsewhere`)).status, 404)
  const unknown = { digest: keccak('nobody'), manifest: keccak('nothing') }
  const [event] = await eventsOf(question(1, { adapter: unknown }))
  assert.ok(event?.type === 'error' && event.code === 'model/not-found')
})

const preview = (digest: Hex) =>
  fetch(`${url}/preview`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({
      base: digest,
      records: records.slice(0, 2).map(({ fields }) => fields),
      sequenceLength: 16,
    }),
  })

test('records are previewed by the tokenizer of the base, of no other', async () => {
  const { rows } = previewReply.parse(await (await preview(base.digest)).json())
  assert.equal(rows.length, 2)
  assert.ok(rows.every(({ ids, mask }) => ids.length === 16 && mask.length === 16))
  assert.equal((await preview(keccak('another base'))).status, 422)
})

test('a worker killed with SIGKILL leaves no training process behind', async () => {
  const job = edge.submit(await longJob('ftjob-orphan'))
  const { pid } = await until('a training process', async () => (await health())?.training)
  worker.child.kill('SIGKILL')
  await worker.gone
  await until('no training process', () => !isAlive(pid))
  assert.equal(job.result, null)
})

test('a worker of an 8-bit base verifies adapters as any other, and one changed byte is refused', async () => {
  await rm(join(scratch, 'state'), { recursive: true })
  const manifest = adapterManifest.parse(
    JSON.parse(new TextDecoder().decode(edge.blobs.held.get(adapter.manifest))),
  )
  const { sha256 } = manifest.files['adapter_model.safetensors']
  const original = edge.blobs.held.get(sha256)!
  const tampered = Uint8Array.from(original)
  tampered[tampered.length - 1]! ^= 1
  edge.blobs.held.set(sha256, tampered)
  const hellos = edge.hellos.length
  worker = startWorker({ BASE_FORMAT: 'int8' })
  await until('registered again', () => edge.hellos.length > hellos)
  assert.equal((await health())!.base.format, 'int8')
  assert.match(await (await fetch(`${url}/metrics`)).text(), /^openledger_base_bits 8$/m)
  const [event] = await eventsOf(question(11, { adapter }))
  assert.ok(event?.type === 'error' && event.code === 'model/digest-mismatch', output)

  edge.blobs.held.set(sha256, original)
  const events = await eventsOf(question(11, { adapter }))
  const { receipt } = events.find((event) => event.type === 'receipt')!
  assert.equal(receipt.rows[0]?.record, recordHash(11))
  assert.ok((await readdir(join(scratch, 'state/blobs'))).includes(sha256.slice(2)))
})

test('a pinned adapter is in memory before anybody asks, and the edge is told', async () => {
  worker.child.kill('SIGKILL')
  await worker.gone
  worker = startWorker({ PINNED_ADAPTERS: adapter.digest })
  await until('its index in memory', async () => {
    const metrics = await (await fetch(`${url}/metrics`).catch(() => null))?.text()
    return /^openledger_indexes_resident 1$/m.test(metrics ?? '') && metrics
  })
  assert.match(await (await fetch(`${url}/metrics`)).text(), /^openledger_adapters_pinned 1$/m)
  await until('told', () => edge.hellos.at(-1)!.load!.resident.includes(adapter.digest))
})

test('SIGTERM ends the process with status 0', async () => {
  worker.child.kill('SIGTERM')
  assert.equal(await worker.gone, 0)
})
