import assert from 'node:assert/strict'
import test, { after, before, beforeEach } from 'node:test'
import type OpenAI from 'openai'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { BASE, BASE_PRICE, prepay } from '../testing/adapter.ts'
import { EXPLANATION, PROMPT_TOKENS, QUOTED } from '../testing/gpu-worker.ts'
import { CITED, refusal, startInference, type Inference } from '../testing/inference.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

let stack: Inference
before(async () => {
  stack = await startInference()
})
after(() => stack?.stop())
beforeEach(async () => {
  stack.worker.behave({})
  await stack.announce()
})
const messages = [{ role: 'user' as const, content: 'Hi' }]

type Extra = {
  openledger: { receipt_id: string; adapter_digest: Hex | null; attribution?: unknown }
}

async function receiptView(id: string, by?: SignedIn): Promise<Record<string, unknown>> {
  const { edge } = stack
  const response = await edge.fetch(`/v1/receipts/${id}`, by && { headers: by.headers })
  assert.equal(response.status, 200)
  return (await response.json()) as Record<string, unknown>
}

test('the OpenAI client gets an answer in one piece, paid for and with a receipt', async () => {
  const { owner, payer, adapter, model, client, holdOf, lastRequest } = stack
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

test('sentences are told apart when they are asked for', async () => {
  const { model, client, lastRequest } = stack
  for (const attribution of ['sentences', 'full'] as const) {
    const { openledger } = (await client().chat.completions.create({
      model,
      messages,
      ...({ attribution } as object),
    })) as OpenAI.ChatCompletion & Extra
    assert.deepEqual(openledger.attribution, EXPLANATION)
    assert.equal(lastRequest().sentences, attribution === 'sentences')
  }
})

test('the OpenAI client streams, with the receipt and the usage at the end', async () => {
  const { model, client } = stack
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
  const { client, lastRequest } = stack
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
  const { payer, adapter, model, client, lastRequest } = stack
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
    sentences: false,
    maxTokens: 7,
    temperature: 0,
    topP: 0.5,
    topK: 0,
    seed: 3,
    stop: ['\n'],
  })
})

test('n answers are n requests to the workers, each with a seed, a receipt and a price of its own', async () => {
  const { worker, model, client, holdOf } = stack
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
  const { chain, edge, client } = stack
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
  const { worker } = stack
  let receipts = 0
  worker.behave({
    receipt: (honest) => (receipts++ === which ? { ...honest, fee: honest.fee + 1n } : honest),
  })
}

test('one of several answers that fails is missing; the others are given and paid for', async () => {
  const { model, client, holds } = stack
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
  const { model, client } = stack
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

test('an answer that retrieves cites what was quoted to the model, and the receipt pays it', async () => {
  const { edge, payer, worker, datanet, model } = stack
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
    { ...CITED, datanet: datanet.root, amount: receipt.retrieval },
  ])
  assert.deepEqual(openledger.citations, [
    {
      record: CITED.record,
      contributor: CITED.contributor,
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
  const { edge, payer, worker, datanet, model } = stack
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
