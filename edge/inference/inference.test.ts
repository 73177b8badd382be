import assert from 'node:assert/strict'
import test, { after, before, beforeEach } from 'node:test'
import OpenAI, { APIError } from 'openai'
import {
  createTestClient,
  encodeFunctionData,
  http,
  parseEther,
  publicActions,
  walletActions,
} from 'viem'
import { generatePrivateKey } from 'viem/accounts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import type { AdapterManifest, GenerateRequest, WorkerLoad } from '#protocol/wire.ts'
import {
  BASE,
  BASE_PRICE,
  baseOwner,
  complete,
  jobEnded,
  makeAdapter,
  postJob,
  prepay,
  publishDatanet,
  registerBase,
  takeLease,
  type PublishedVersion,
} from '../testing/adapter.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import {
  EXPLANATION,
  PROMPT_TOKENS,
  QUOTED,
  registerGpuWorker,
  startGpuWorker,
  type Behaviour,
  type GpuWorker,
  type Terms,
  workerHeaders,
} from '../testing/gpu-worker.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { sign } from '../testing/receipts.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

let chain: Chain
let edge: Edge
let baseUrl: string
let owner: SignedIn
let payer: SignedIn
let worker: GpuWorker
let datanet: PublishedVersion
let adapter: AdapterManifest
let model: string
const cited = {
  cluster: keccak('q'),
  record: keccak('q'),
  contributor: `0x${'77'.repeat(20)}` as Hex,
}
const domain = () => ({ chainId: 901612, settlement: chain.contracts.attributionSettlement })
const terms = ({ adapter: asked, retrieval }: GenerateRequest): Terms =>
  asked
    ? {
        ...(retrieval && { citations: [{ ...cited, datanet: retrieval.versions[0]!.root }] }),
        modelOwner: owner.address,
        pricePerToken: 3n * BASE_PRICE,
        adapter: {
          digest: adapter.digest,
          indexRoot: adapter.indexRoot,
          datanets: [datanet.root],
          paid: [{ cluster: keccak('c'), record: keccak('r'), contributor: owner.address }],
        },
      }
    : { modelOwner: baseOwner, pricePerToken: BASE_PRICE }
before(async () => {
  chain = await startChain()
  await registerBase(chain)
  // Epochs never close here: what is owed stays owed.
  edge = await startEdge({ ...chain.vars, EPOCH_SECONDS: '3600' })
  baseUrl = (await edge.harness.listen()).url.origin
  ;[owner, payer] = [await signIn(edge), await signIn(edge)]
  await prepay(chain, payer.address, parseEther('1'))
  worker = await startGpuWorker(domain(), terms)
  const workerId = await registerGpuWorker(edge, worker, BASE)
  datanet = await publishDatanet(edge, owner, [owner])
  const job = (await (
    await postJob(edge, owner, {
      datanets: [{ id: datanet.id, version: 1 }],
      suffix: 'law',
      price_per_token: (3n * BASE_PRICE).toString(),
    })
  ).json()) as { id: string }
  const lease = (await takeLease(edge, workerId))!
  adapter = await makeAdapter(edge, lease)
  await complete(edge, lease.leaseId, adapter)
  model = (await jobEnded(edge, owner, job.id)).fine_tuned_model!
})
after(async () => {
  await edge?.harness.close()
  await worker?.stop()
  await chain?.stop()
})
beforeEach(async () => {
  worker.behave({})
  await registerGpuWorker(edge, worker, BASE) // a worker in these tests says nothing between
})

const client = (by: SignedIn = payer) =>
  new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: by.key, maxRetries: 0 })
const messages = [{ role: 'user' as const, content: 'Hi' }]

type Holds = { request_id: Hex; kind: string; wei: string }
const holds = async (): Promise<Holds[]> =>
  (await (
    await edge.worker.getDurableObjectStorage('ACCOUNT', { name: payer.accountId })
  ).exec('SELECT request_id, kind, wei FROM holds')) as Holds[]
const holdOf = async (requestId: Hex) =>
  (await holds()).find((hold) => hold.request_id === requestId)
const lastRequest = () => worker.requests.at(-1)!
type Extra = {
  openledger: { receipt_id: string; adapter_digest: Hex | null; attribution?: unknown }
}

async function receiptView(id: string, by?: SignedIn): Promise<Record<string, unknown>> {
  const response = await edge.fetch(`/v1/receipts/${id}`, by && { headers: by.headers })
  assert.equal(response.status, 200)
  return (await response.json()) as Record<string, unknown>
}

test('the OpenAI client gets an answer in one piece, paid for and with a receipt', async () => {
  const answer = (await client().chat.completions.create({
    model,
    messages,
  })) as OpenAI.ChatCompletion & Extra
  assert.equal(answer.choices[0]!.message.content, 'Hello world')
  assert.equal(answer.choices[0]!.finish_reason, 'stop')
  assert.equal(answer.system_fingerprint, adapter.digest)
  assert.deepEqual(answer.usage, {
    prompt_tokens: PROMPT_TOKENS,
    completion_tokens: 2,
    total_tokens: PROMPT_TOKENS + 2,
  })
  assert.equal(answer.openledger.adapter_digest, adapter.digest)
  const [row] = EXPLANATION.rows
  assert.deepEqual(answer.openledger.attribution, { ...EXPLANATION, rows: [{ ...row, spans: [] }] })
  const { requestId } = lastRequest()
  assert.deepEqual(await holdOf(requestId), {
    request_id: requestId,
    kind: 'owed',
    wei: (BigInt(PROMPT_TOKENS + 2) * 3n * BASE_PRICE).toString(),
  })
  const view = await receiptView(answer.openledger.receipt_id, payer)
  assert.equal(view['status'], 'open')
  assert.deepEqual(view['explanation'], EXPLANATION)
  const asStranger = await receiptView(answer.openledger.receipt_id, owner)
  assert.equal(asStranger['explanation'], undefined)
})

test('the OpenAI client streams, with the receipt and the usage at the end', async () => {
  const stream = await client().chat.completions.create({
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    ...({ attribution: 'full' } as object),
  })
  const chunks: (OpenAI.ChatCompletionChunk & Partial<Extra>)[] = []
  for await (const chunk of stream) chunks.push(chunk)
  assert.equal(chunks[0]!.choices[0]!.delta.role, 'assistant')
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), 'Hello world')
  const last = chunks.find((chunk) => chunk.choices[0]?.finish_reason)!
  assert.equal(last.choices[0]!.finish_reason, 'stop')
  assert.deepEqual(last.openledger!.attribution, EXPLANATION)
  assert.equal((await receiptView(last.openledger!.receipt_id))['status'], 'open')
  assert.deepEqual(chunks.at(-1)!.choices, [])
  assert.equal(chunks.at(-1)!.usage!.total_tokens, PROMPT_TOKENS + 2)
})

test('the older completions route works in one piece and streaming, also for the bare base', async () => {
  const whole = (await client().completions.create({
    model: BASE.name,
    prompt: 'Once',
  })) as OpenAI.Completion & Extra
  assert.equal(whole.choices[0]!.text, 'Hello world')
  assert.equal(whole.system_fingerprint, BASE.digest)
  assert.equal(whole.openledger.adapter_digest, null)
  assert.deepEqual(lastRequest().input, { prompt: 'Once' })
  let text = ''
  for await (const chunk of await client().completions.create({
    model: BASE.name,
    prompt: 'Once',
    stream: true,
  }))
    text += chunk.choices[0]!.text
  assert.equal(text, 'Hello world')
})

test('what the caller asks for reaches the worker', async () => {
  await client().chat.completions.create({
    model,
    messages: [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
    ],
    max_completion_tokens: 7,
    temperature: 0,
    top_p: 0.5,
    seed: 3,
    stop: '\n',
    n: 1,
    presence_penalty: 0,
    user: 'somebody',
  })
  const { requestId, payer: asked, ...request } = lastRequest()
  assert.match(requestId, /^0x[0-9a-f]{64}$/)
  assert.equal(asked, payer.address)
  assert.deepEqual(request, {
    base: BASE.digest,
    adapter: { digest: adapter.digest, manifest: request.adapter!.manifest },
    input: {
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi' },
      ],
    },
    store: true,
    maxTokens: 7,
    temperature: 0,
    topP: 0.5,
    topK: 0,
    seed: 3,
    stop: ['\n'],
  })
})

test('n answers are n requests to the workers, each with a seed, a receipt and a price of its own', async () => {
  const before = worker.requests.length
  const answer = (await client().chat.completions.create({
    model,
    messages,
    n: 3,
    seed: 2 ** 32 - 1,
  })) as OpenAI.ChatCompletion & Extra
  assert.deepEqual(
    answer.choices.map(({ index, message }) => [index, message.content]),
    [0, 1, 2].map((index) => [index, 'Hello world']),
  )
  assert.equal(answer.usage!.total_tokens, 3 * (PROMPT_TOKENS + 2))
  const asked = worker.requests.slice(before)
  assert.deepEqual(new Set(asked.map(({ seed }) => seed)), new Set([2 ** 32 - 1, 0, 1]))
  for (const { requestId } of asked) assert.equal((await holdOf(requestId))?.kind, 'owed')
  const further = answer.choices.slice(1) as (OpenAI.ChatCompletion.Choice & Extra)[]
  const receipts = [answer, ...further].map(({ openledger }) => openledger.receipt_id)
  assert.equal(new Set(receipts).size, 3)
  for (const id of receipts) assert.equal((await receiptView(id))['status'], 'open')

  const texts = ['', '', '']
  const ended = new Set<string>()
  let last: OpenAI.ChatCompletionChunk | undefined
  for await (const chunk of await client().chat.completions.create({
    model,
    messages,
    n: 3,
    stream: true,
    stream_options: { include_usage: true },
  })) {
    last = chunk
    const [choice] = chunk.choices
    if (choice) texts[choice.index] += choice.delta.content ?? ''
    if (choice?.finish_reason)
      ended.add((chunk as OpenAI.ChatCompletionChunk & Extra).openledger.receipt_id)
  }
  assert.deepEqual([texts, ended.size], [texts.map(() => 'Hello world'), 3])
  assert.equal(last?.usage?.total_tokens, 3 * (PROMPT_TOKENS + 2))
})

test('n answers that one has too little money for are none, and nothing stays held', async () => {
  const poor = await signIn(edge)
  const most = BigInt(20 + 2 * 32 + 8) * BASE_PRICE // what one answer may cost, and a little more
  await prepay(chain, poor.address, most)
  const ask = (n: number) =>
    client(poor).completions.create({
      model: BASE.name,
      prompt: 'Once upon a time...',
      max_tokens: 8,
      n,
    })
  assert.equal((await refusal(() => ask(3))).status, 402)
  assert.equal((await ask(1)).choices[0]!.text, 'Hello world')
})

/** Makes the worker lie in one of its next receipts. */
function lieInReceipt(which: number): void {
  let receipts = 0
  worker.behave({
    receipt: (honest) => (receipts++ === which ? { ...honest, fee: honest.fee + 1n } : honest),
  })
}

test('one of several answers that fails is missing; the others are given and paid for', async () => {
  const owed = async () => (await holds()).filter(({ kind }) => kind === 'owed').length
  const before = await owed()
  lieInReceipt(1)
  const answer = await client().chat.completions.create({ model, messages, n: 3 })
  assert.equal(answer.choices.length, 2)
  assert.equal(answer.usage!.total_tokens, 2 * (PROMPT_TOKENS + 2))
  lieInReceipt(0)
  let ended = 0
  const error = await refusal(async () => {
    const options = { model, messages, n: 3, stream: true } as const
    for await (const chunk of await client().chat.completions.create(options))
      if (chunk.choices[0]?.finish_reason) ended++
  })
  assert.match(error.message, /receipt/i)
  assert.equal(ended, 2)
  assert.equal(await owed(), before + 4)
  assert.equal((await holds()).filter(({ kind }) => kind === 'held').length, 0)
})

test('an option that cannot be honoured is refused by name', async () => {
  const cases: [object, string][] = [
    [{ n: 17 }, 'n'],
    [{ tools: [{ type: 'function', function: { name: 'f' } }] }, 'tools'],
    [{ response_format: { type: 'json_object' } }, 'response_format'],
    [{ top_logprobs: 3 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ frequency_penalty: 2.5 }, 'frequency_penalty'],
    [{ logit_bias: { word: 1 } }, 'logit_bias.word'],
    [{ unheard_of: 1 }, 'unheard_of'],
    [{ max_tokens: 100_000 }, 'max_tokens'],
    [{ temperature: 3 }, 'temperature'],
    [{ messages: [] }, 'messages'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'messages.0.content',
    ],
  ]
  for (const [options, param] of cases) {
    const error = await refusal(() =>
      client().chat.completions.create({ model, messages, ...options } as never),
    )
    assert.deepEqual([error.status, error.param], [400, param], error.message)
  }
})

test('unknown, revoked and unfunded requests and those that no worker can take have their own status', async () => {
  const ask = (name: string, by = payer) =>
    refusal(() => client(by).chat.completions.create({ model: name, messages }))
  for (const name of [
    'nothing',
    `${BASE.name}:nobody/nothing`,
    `${model}@sha256-${'0'.repeat(64)}`,
    '?',
  ])
    assert.equal((await ask(name)).status, 404, name)
  const poor = await signIn(edge)
  const unpaid = await ask(model, poor)
  assert.deepEqual([unpaid.status, unpaid.code], [402, 'insufficient_quota'])
  const keyless = await edge.fetch('/v1/chat/completions', {
    method: 'POST',
    body: JSON.stringify({ model, messages }),
  })
  assert.equal(keyless.status, 401)

  const env = (await edge.worker.getEnv()) as unknown as { DB: D1Database }
  await env.DB.prepare('UPDATE workers SET seen_at = 1').run()
  const alone = await ask(model)
  assert.equal(alone.status, 503)
  assert.ok(Number(alone.headers.get('retry-after')) > 0)
  assert.deepEqual(
    (await holds()).filter(({ kind }) => kind === 'held'),
    [],
  )
})

test('a worker that is down is passed over; when all are, the request costs nothing', async () => {
  const dead = { url: 'http://127.0.0.1:9', address: `0x${'99'.repeat(20)}` } as const
  await registerGpuWorker(edge, dead, BASE)
  const answer = await client().chat.completions.create({ model, messages })
  assert.equal(answer.choices[0]!.message.content, 'Hello world')
  const env = (await edge.worker.getEnv()) as unknown as { DB: D1Database }
  await env.DB.prepare('UPDATE workers SET seen_at = 1 WHERE address <> ?').bind(dead.address).run()
  const error = await refusal(() => client().chat.completions.create({ model, messages }))
  assert.equal(error.status, 503)
  await env.DB.prepare('DELETE FROM workers WHERE address = ?').bind(dead.address).run()
  assert.deepEqual(
    (await holds()).filter(({ kind }) => kind === 'held'),
    [],
  )
})

test('a worker with the adapter is asked first, and one that fails before its first text is passed over', async () => {
  const other = await startGpuWorker(domain(), terms)
  const announce = async ({ url, address }: GpuWorker, change: Partial<WorkerLoad>) => {
    const load = { capacity: 4, active: 0, waiting: 0, resident: [], draining: false, ...change }
    const hello = { address, url, device: 'a test', bases: [BASE], load }
    const { status } = await edge.fetch('/v1/workers', {
      method: 'POST',
      headers: workerHeaders,
      body: JSON.stringify(hello),
    })
    assert.equal(status, 200)
  }
  const asked = async () => {
    const before = [worker.requests.length, other.requests.length] as const
    const answer = await client().chat.completions.create({ model, messages })
    assert.equal(answer.choices[0]!.message.content, 'Hello world')
    return [worker.requests.length - before[0], other.requests.length - before[1]]
  }
  await announce(worker, {})
  await announce(other, { resident: [adapter.digest] })
  assert.deepEqual(await asked(), [0, 1])
  await announce(other, { resident: [adapter.digest], active: 4, waiting: 1 })
  assert.deepEqual(await asked(), [1, 0])

  await announce(other, { resident: [adapter.digest] })
  other.behave({ dieAfter: 0 })
  assert.deepEqual(await asked(), [1, 1])
  other.behave({ error: { code: 'inference/failed', message: 'because' } })
  assert.deepEqual(await asked(), [1, 1])
  // What is wrong with the request is no better elsewhere, and text that has gone out is not said twice.
  const asks = worker.requests.length
  other.behave({ error: { code: 'model/context-exceeded', message: 'too long' } })
  assert.equal((await refusal(asked)).status, 400)
  other.behave({ dieAfter: 1, pause: () => new Promise((resolve) => setTimeout(resolve, 100)) })
  assert.equal((await refusal(asked)).status, 502)
  assert.equal(worker.requests.length, asks)

  await announce(other, { draining: true, resident: [adapter.digest] })
  assert.deepEqual(await asked(), [1, 0])
  await other.stop()
  const env = (await edge.worker.getEnv()) as unknown as { DB: D1Database }
  await env.DB.prepare('DELETE FROM workers WHERE address = ?').bind(other.address).run()
})

test('what the worker refuses has the status that it means, streaming or not', async () => {
  const cases: [string, number][] = [
    ['model/digest-mismatch', 502],
    ['model/context-exceeded', 400],
    ['chain/unavailable', 503],
    ['something else', 502],
  ]
  for (const [code, status] of cases)
    for (const stream of [false, true]) {
      worker.behave({ error: { code, message: 'because' } })
      const error = await refusal(() =>
        client().chat.completions.create({ model, messages, stream }),
      )
      assert.equal(error.status, status, code)
      assert.equal(await holdOf(lastRequest().requestId), undefined)
    }
})

test('a receipt that lies is refused and nothing is paid', async () => {
  const stranger = generatePrivateKey()
  const lies: Record<string, Parameters<GpuWorker['behave']>[0]> = {
    'a fee too high': { receipt: (r) => ({ ...r, fee: r.fee + 1n }) },
    'parts that do not sum to the fee': {
      receipt: (r) => ({ ...r, unattributed: r.unattributed + 1n }),
    },
    'another split': {
      receipt: (r) => ({ ...r, platform: r.platform - 1n, unattributed: r.unattributed + 1n }),
    },
    'another payer': { receipt: (r) => ({ ...r, payer: owner.address }) },
    'another request': { receipt: (r) => ({ ...r, requestId: keccak('another') }) },
    'another adapter': { receipt: (r) => ({ ...r, adapter: keccak('another') }) },
    'another owner': { receipt: (r) => ({ ...r, modelOwner: payer.address }) },
    'another answer': { receipt: (r) => ({ ...r, outputHash: keccak('another') }) },
    'more tokens than it said': {
      receipt: (r) => ({ ...r, completionTokens: r.completionTokens + 1 }),
    },
    'other parameters': { receipt: (r) => ({ ...r, paramsHash: keccak('another') }) },
    'a cluster twice': {
      receipt: (r) => ({ ...r, rows: [...r.rows, { ...r.rows[0]!, amount: 0n }] }),
    },
    'a time long gone': { receipt: (r) => ({ ...r, time: r.time - 4_000n }) },
    'a signature of other content': {
      signed: (s) => ({ ...s, receipt: { ...s.receipt, queryHash: keccak('x') } }),
    },
    'the signature of somebody else': {
      resign: (receipt) => sign(stranger, receipt, domain()),
    },
    'no signature': { signed: (s) => ({ ...s, signature: `0x${'00'.repeat(65)}` }) },
  }
  const before = await holds()
  for (const [lie, behaviour] of Object.entries(lies)) {
    worker.behave(behaviour)
    const error = await refusal(() => client().chat.completions.create({ model, messages }))
    assert.deepEqual([error.status, error.code], [502, 'receipt_refused'], lie)
  }
  assert.deepEqual(await holds(), before)
})

test('a worker that dies in the middle ends the stream with an error, and nothing is charged', async () => {
  for (const dieAfter of [1, 2]) {
    worker.behave({
      dieAfter,
      pause: () => new Promise((resolve) => setTimeout(resolve, 100)), // what was said arrives
    })
    const seen: string[] = []
    const error = await refusal(async () => {
      for await (const chunk of await client().chat.completions.create({
        model,
        messages,
        stream: true,
      }))
        seen.push(chunk.choices[0]!.delta.content ?? '')
    })
    assert.match(error.message, /broke off|without a receipt/)
    assert.equal(seen.join(''), 'Hello world'.slice(0, dieAfter === 1 ? 5 : 11))
    await eventually(async () => (await holdOf(lastRequest().requestId)) === undefined)
  }
})

const NUMBERS = Array.from({ length: 20 }, (_, i) => ` ${i}`)
/** Begins a streamed answer of twenty texts and goes away after the first one. */
async function leaveEarly(behaviour: Behaviour): Promise<Hex> {
  worker.behave({ texts: NUMBERS, ...behaviour })
  const stream = await client().chat.completions.create({ model, messages, stream: true })
  for await (const chunk of stream) if (chunk.choices[0]!.delta.content) break
  const { requestId } = lastRequest()
  assert.equal((await holdOf(requestId))?.kind, 'held')
  stream.controller.abort()
  return requestId
}

test('a caller who goes away in the middle pays for what there was of the answer', async () => {
  const requestId = await leaveEarly({
    pause: () => new Promise((resolve) => setTimeout(resolve, 100)),
  })
  const owed = await eventually(async () => {
    const hold = await holdOf(requestId)
    return hold?.kind === 'owed' && hold
  })
  const { receipt } = (await (
    await edge.fetch(`/v1/receipts/rcp_${requestId.slice(2)}`)
  ).json()) as { receipt: { completionTokens: number; fee: string } }
  assert.equal(owed.wei, receipt.fee)
  assert.ok(receipt.completionTokens >= 1 && receipt.completionTokens < NUMBERS.length)
})

test('a caller who goes away from a worker that cannot end early pays nothing', async () => {
  const released = Promise.withResolvers<void>()
  const requestId = await leaveEarly({
    finishes: false,
    pause: (sent) =>
      sent < 10 ? new Promise((resolve) => setTimeout(resolve, 50)) : released.promise,
  })
  await eventually(async () => (await holdOf(requestId)) === undefined)
  released.resolve()
})

test('a caller who goes away when all text is there still pays for it', async () => {
  const attribution = Promise.withResolvers<void>()
  worker.behave({ attribute: () => attribution.promise })
  const stream = await client().chat.completions.create({ model, messages, stream: true })
  let text = ''
  for await (const chunk of stream) {
    text += chunk.choices[0]!.delta.content ?? ''
    if (text === 'Hello world') break
  }
  stream.controller.abort()
  await new Promise((resolve) => setTimeout(resolve, 500))
  attribution.resolve()
  const { requestId } = lastRequest()
  await eventually(async () => (await holdOf(requestId))?.kind === 'owed')
})

test('an answer that retrieves cites what was quoted to the model, and the receipt pays it', async () => {
  const ask = (datanets: string[]) =>
    edge.fetch('/v1/chat/completions', {
      method: 'POST',
      headers: payer.headers,
      body: JSON.stringify({ model, messages, retrieval: { datanets, top_k: 3 } }),
    })
  const response = await ask([datanet.id, `${datanet.id}@1`])
  assert.equal(response.status, 200)
  const { openledger } = (await response.json()) as {
    openledger: { receipt_id: string; citations: Record<string, unknown>[] }
  }
  const version = { id: datanet.id, version: 1, root: datanet.root, manifest: datanet.manifest }
  assert.deepEqual(worker.requests.at(-1)?.retrieval, { versions: [version, version], topK: 3 })

  const { receipt } = (await (
    await edge.fetch(`/v1/receipts/${openledger.receipt_id}`)
  ).json()) as {
    receipt: { fee: string; retrieval: string; citations: { amount: string }[] }
  }
  assert.equal(BigInt(receipt.retrieval), BigInt(receipt.fee) / 10n)
  assert.deepEqual(receipt.citations, [
    { ...cited, datanet: datanet.root, amount: receipt.retrieval },
  ])
  assert.deepEqual(openledger.citations, [
    {
      record: cited.record,
      contributor: cited.contributor,
      datanet: datanet.id,
      version: 1,
      text: 'a quoted record',
      amount: receipt.retrieval,
    },
  ])
  const texts = (await (
    await edge.fetch(`/v1/receipts/${openledger.receipt_id}/texts`, { headers: payer.headers })
  ).json()) as { input: unknown }
  assert.deepEqual(texts.input, QUOTED) // what a validator computes the gradient of

  for (const [datanets, status] of [
    [[`${datanet.id}@9`], 404],
    [['dn_unknown'], 404],
    [['nonsense'], 400],
    [[], 400],
  ] as const)
    assert.equal((await ask([...datanets])).status, status, datanets.join())
})

test('a citation of another Datanet version than those asked for is refused', async () => {
  worker.behave({
    receipt: (receipt) => ({
      ...receipt,
      citations: receipt.citations.map((one) => ({ ...one, datanet: keccak('another') })),
    }),
  })
  const response = await edge.fetch('/v1/chat/completions', {
    method: 'POST',
    headers: payer.headers,
    body: JSON.stringify({ model, messages, retrieval: { datanets: [datanet.id] } }),
  })
  assert.equal(response.status, 502)
  assert.match(await response.text(), /another Datanet version/)
})

test('a revoked model answers 410 within seconds', async () => {
  const anvil = createTestClient({ mode: 'anvil', transport: http(chain.rpcUrl) })
    .extend(publicActions)
    .extend(walletActions)
  await anvil.impersonateAccount({ address: owner.address })
  await anvil.setBalance({ address: owner.address, value: parseEther('1') })
  const hash = await anvil.sendTransaction({
    account: owner.address,
    chain: null,
    to: chain.contracts.modelRegistry,
    data: encodeFunctionData({
      abi: modelRegistryAbi,
      functionName: 'revoke',
      args: [adapter.digest],
    }),
  })
  await anvil.waitForTransactionReceipt({ hash })
  const error = await eventually(async () => {
    try {
      await client().chat.completions.create({ model, messages })
      return null
    } catch (thrown) {
      return thrown as APIError
    }
  })
  assert.deepEqual([error.status, error.code], [410, 'model_revoked'])
})

/** The error that the OpenAI client makes of a refusal. */
async function refusal(call: () => Promise<unknown>): Promise<APIError & { headers: Headers }> {
  try {
    await call()
  } catch (error) {
    assert.ok(error instanceof APIError, String(error))
    return error as APIError & { headers: Headers }
  }
  throw new Error('the call was not refused')
}
