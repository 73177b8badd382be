import assert from 'node:assert/strict'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { after, before } from 'node:test'
import { parseEther } from 'viem'
import { generatePrivateKey } from 'viem/accounts'
import { startDaServer } from '#stack/da-server.ts'
import type { Env } from '../env.ts'
import { BASE, BASE_PRICE, baseOwner, prepay, registerBase } from '../testing/adapter.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import {
  EXPLANATION,
  registerGpuWorker,
  stakeFor,
  startGpuWorker,
  type GpuWorker,
} from '../testing/gpu-worker.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

/** One edge on a real chain whose receipts settle; the base model answers, so that no Datanet is needed. */

const VALIDATOR_KEY = generatePrivateKey()
const SECRET = 'The patient is called Ada.'
const ANSWER = ['Ada', ' is well.']

let chain: Chain
let da: Server
let edge: Edge
let worker: GpuWorker
let payer: SignedIn
let validator: SignedIn
let stranger: SignedIn
before(async () => {
  chain = await startChain()
  await registerBase(chain)
  da = await startDaServer(scratchFolder(), 0)
  edge = await startEdge({
    ...chain.vars,
    DA_URL: `http://127.0.0.1:${(da.address() as AddressInfo).port}`,
    EPOCH_SECONDS: '3',
  })
  const domain = { chainId: 901612, settlement: chain.contracts.attributionSettlement }
  const terms = { modelOwner: baseOwner, pricePerToken: BASE_PRICE }
  worker = await startGpuWorker(domain, () => terms)
  worker.behave({ texts: ANSWER })
  ;[payer, stranger] = [await signIn(edge), await signIn(edge)]
  validator = await signIn(edge, VALIDATOR_KEY)
  await stakeFor(edge, validator.address, parseEther('1'))
  await prepay(chain, payer.address, parseEther('1'))
})
after(async () => {
  await edge?.harness.close()
  await worker?.stop()
  da?.close()
  await chain?.stop()
})

const blobs = async () => ((await edge.worker.getEnv()) as unknown as Env).BLOBS
const keptKeys = async () =>
  (await (await blobs()).list({ prefix: 'texts/' })).objects.map(({ key }) => key)
const bytesOf = async (id: string) =>
  Buffer.from(await (await (await blobs()).get((await keyOf(id))!))!.arrayBuffer())
const keyOf = async (id: string) => (await keptKeys()).find((key) => key.endsWith(id.slice(4)))

async function ask(options: object = {}): Promise<string> {
  await registerGpuWorker(edge, worker, BASE)
  const response = await edge.fetch('/v1/chat/completions', {
    method: 'POST',
    headers: payer.headers,
    body: JSON.stringify({
      model: BASE.name,
      messages: [{ role: 'user', content: SECRET }],
      ...options,
    }),
  })
  if (!response.ok) throw new Error(await response.text())
  const answer = (await response.json()) as { openledger: { receipt_id: string } }
  return answer.openledger.receipt_id
}

const read = (id: string, by?: SignedIn) =>
  edge.fetch(`/v1/receipts/${id}/texts`, by && { headers: by.headers })
const typeOf = async (response: Response) =>
  ((await response.json()) as { type: string }).type.replace('urn:openledger:problem:', '')
const viewOf = async (id: string) =>
  (await (await edge.fetch(`/v1/receipts/${id}`, { headers: payer.headers })).json()) as {
    status: string
    explanation: typeof EXPLANATION
  }

test('prompt and answer are readable by the payer and by a validator, and by nobody else', async () => {
  const id = await ask()
  for (const reader of [payer, validator]) {
    const response = await read(id, reader)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('cache-control'), 'no-store')
    assert.deepEqual(await response.json(), {
      object: 'receipt.texts',
      id,
      input: { messages: [{ role: 'user', content: SECRET }] },
      output: ANSWER.join(''),
      tokens: [0, 1],
    })
  }
  await stakeFor(edge, stranger.address, 1n) // less than it takes to attest
  const refused = await read(id, stranger)
  assert.equal(refused.status, 403)
  assert.equal(await typeOf(refused), 'auth/forbidden')
  assert.equal((await read(id)).status, 401)
  assert.equal((await read(`rcp_${'0'.repeat(64)}`, payer)).status, 404)
})

test('at rest there is no word of them, and equal texts look different', async () => {
  const [a, b] = [await ask(), await ask()]
  const [first, second] = [await bytesOf(a), await bytesOf(b)]
  for (const word of ['Ada', 'patient', 'messages']) assert.ok(!first.includes(word), word)
  assert.notDeepEqual(first.subarray(12), second.subarray(12))
})

test('texts moved to another receipt, or changed, are refused rather than shown', async () => {
  const [a, b] = [await ask(), await ask()]
  const store = await blobs()
  const [keyA, keyB] = [(await keyOf(a))!, (await keyOf(b))!]
  await store.put(keyB, await (await store.get(keyA))!.arrayBuffer())
  assert.equal((await read(b, payer)).status, 500)
  assert.equal((await read(a, payer)).status, 200)
  await store.delete(keyB)
})

test('store: false keeps nothing: no texts, no words in the explanation, no answer to repeat', async () => {
  const before = (await keptKeys()).length
  const id = await ask({ store: false })
  assert.equal((await keptKeys()).length, before)
  assert.equal(worker.requests.at(-1)?.store, false)
  const refused = await read(id, payer)
  assert.equal(refused.status, 410)
  assert.equal(await typeOf(refused), 'receipt/no-texts')
  const { explanation } = await viewOf(id)
  assert.deepEqual(explanation.rows[0]?.spans, [{ start: 0, end: 5, text: '' }])
})

test('the sweep leaves open receipts alone and erases the texts of final ones', async () => {
  const id = await ask()
  await edge.worker.scheduled({ cron: '* * * * *' })
  assert.equal((await read(id, payer)).status, 200)
  await eventually(async () => (await viewOf(id)).status === 'final', 90_000)
  await eventually(async () => {
    await edge.worker.scheduled({ cron: '* * * * *' })
    return (await read(id, payer)).status === 410
  })
  assert.equal(await keyOf(id), undefined)
  assert.deepEqual((await viewOf(id)).explanation.rows[0]?.spans, [{ start: 0, end: 5, text: '' }])
})
