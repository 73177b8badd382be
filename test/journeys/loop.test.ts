import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import OpenAI from 'openai'
import test, { after, before } from 'node:test'
import { ApiError, createClient, until } from '#client/openledger.ts'
import type { ReceiptProof } from '#client/schema.ts'
import { verifyReceipt } from '#gpu-worker/validator/verify-receipt.ts'
import { auditEpochs } from '#gpu-worker/validator/watch.ts'
import { adapterManifest } from '#protocol/wire.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { segmentsOf, type Manifest } from '#protocol/segments.ts'
import { withdrawalTypedData } from '#protocol/revocations.ts'
import { CHAIN_ID } from '#stack/chain.ts'
import { askModels, type Asked } from '#stack/sample/ask.ts'
import type { Cast } from '#stack/sample/cast.ts'
import { buildDatanet, type PublishedVersion } from '#stack/sample/datanet.ts'
import { fineTune, type TunedModel } from '#stack/sample/fine-tune.ts'
import { settle } from '#stack/sample/settle.ts'
import { MODEL_DIR } from '#stack/gpu-worker.ts'
import { openledger, valueOf } from '../support/command.ts'
import { flipBit, r2FileOf } from '../support/edge-files.ts'
import {
  checkingOf,
  newPerson,
  smallPlan,
  startTestStack,
  testCast,
  type TestStack,
} from '../support/stack.ts'

/** The whole loop over the real parts, then what a user can do wrong with it. The tests build on each other. */

const plan = smallPlan(12)
let it: TestStack
let cast: Cast
let version: PublishedVersion
let model: TunedModel
let answers: Asked[]

before(async () => {
  it = await startTestStack(21_100)
})
after(() => it?.stop())

const question = { role: 'user' as const, content: 'What does the MIT License say about warranty?' }
const refusedAs = (status: number, type: string) => (error: unknown) => {
  assert.ok(error instanceof ApiError, String(error))
  assert.equal(error.status, status, error.message)
  assert.ok(error.is(type), error.problem?.type)
  assert.equal(typeof error.problem?.error.message, 'string')
  return true
}

test('records of eight contributors become version 1 of a Datanet', async () => {
  cast = await testCast(it.stack, plan)
  version = await buildDatanet(cast, plan)
  assert.equal(version.number, 1)
})

test('a job trains an adapter whose loss on held-out records falls, and registers it', async () => {
  model = await fineTune(cast, plan, version)
  assert.match(model.name, /^openledger-5m:0x[0-9a-f]{40}\/licence-clauses$/)
})

test('the tuned model and the bare base answer, streaming and not, each with a signed receipt', async () => {
  ;({ answers } = await askModels(cast, plan, { version, model }))
  const [first] = answers
  assert.equal(first?.answer.fingerprint, model.digest)
})

test('receipts settle, verify against the chain, pay a contributor exactly, and match the ledger', async () => {
  await settle(cast, answers)
})

test('a receipt of which one wei, one word or the proof is another one’s does not verify', async () => {
  const [first, second] = answers
  const signed = await cast.consumer.client.receipt(first!.receipt.id)
  const settledAt = (id: string) => cast.consumer.client.receiptProof(id)
  const checking = checkingOf(it.stack)
  const failing = async (
    view: SignedReceipt,
    more: { outputText?: string; settled?: ReceiptProof },
  ) => {
    const checks = await verifyReceipt(checking, view, more)
    return [...new Set(checks.filter(({ holds }) => !holds).map(({ name }) => name))]
  }
  const settled = await settledAt(signed.id)
  assert.deepEqual(await failing(signed, { settled, outputText: first!.answer.text }), [])
  assert.deepEqual(await failing(signed, { outputText: `${first!.answer.text} ` }), ['answer'])
  assert.deepEqual(await failing(signed, { settled: { ...settled, proof: [keccak('x')] } }), [
    'proof',
  ])
  const { receipt } = signed
  const moved = {
    ...signed,
    receipt: { ...receipt, platform: receipt.platform + 1n, stakers: receipt.stakers - 1n },
  }
  assert.deepEqual(await failing(moved, { settled }), ['signature', 'shares', 'proof'])
  const dearer = {
    ...signed,
    receipt: { ...receipt, fee: receipt.fee + 1n },
    signature: second!.receipt.signature,
  }
  assert.deepEqual(await failing(dearer, {}), ['signature', 'sums', 'price', 'shares'])
})

test('what the DA layer lost of an epoch is read from the edge, and missed when it is nowhere', async () => {
  const audit = () => auditEpochs(checkingOf(it.stack))
  const audited = await audit()
  assert.ok(audited.every(({ report }) => report.source === 'da' && report.findings.length === 0))
  const { da } = it.stack.dirs
  const manifest = audited[0]!.report.dataHash.slice(2)
  const { segments } = JSON.parse(readFileSync(join(da, manifest), 'utf8')) as Manifest
  const [receipts] = segmentsOf(segments, 'receipts')
  for (const name of [manifest, receipts!.hash.slice(2)]) {
    const repairDa = flipBit(join(da, name))
    const fromEdge = (await audit()).filter(({ report }) => report.source === 'edge')
    assert.equal(fromEdge.length, 1)
    assert.deepEqual(fromEdge[0]!.report.findings, [])
    const repairEdge = flipBit(r2FileOf(it.stack, `epochs/${name}`))
    const missed = (await audit()).filter(({ report }) => report.source === null)
    assert.deepEqual(
      missed.flatMap(({ report }) => report.findings.map((finding) => finding.name)),
      ['available'],
    )
    repairDa()
    repairEdge()
  }
})

test('the openledger command asks, verifies, shows rewards and validates from a terminal', async () => {
  const { edge, chain, da } = it.stack.urls
  const env = {
    OPENLEDGER_EDGE: edge,
    OPENLEDGER_RPC: chain,
    OPENLEDGER_DA: da,
    OPENLEDGER_API_KEY: cast.consumer.apiKey,
  }
  const run = async <T>(...args: string[]) => {
    const said = await openledger([...args, '--json'], env)
    return { ...valueOf<T>(said), exitCode: said.status }
  }
  const chat = ['chat', '--model', model.name, '--max-tokens', '8', question.content]
  const asked = await run<{ text: string; receiptId: string }>(...chat)
  assert.equal(asked.exitCode, 0)
  assert.ok(asked.text.length > 0)

  const said = (await openledger(['receipt', asked.receiptId], env)).stdout
  assert.match(said, /\(base pool\)|no record stands out/)
  assert.match(said, /OPEN, (open|batched|submitted|settled|safe|final)/)

  const verified = await run<{ holds: boolean; checks: { name: string; holds: boolean }[] }>(
    'receipt',
    'verify',
    asked.receiptId,
    '--model',
    MODEL_DIR,
  )
  assert.deepEqual([verified.exitCode, verified.holds], [0, true])
  const names = verified.checks.map(({ name }) => name)
  for (const name of ['signature', 'shares', 'scores', 'omission', 'spans'])
    assert.ok(names.includes(name), name)

  const { address } = cast.contributors[0]!
  const rewards = await run<{ account: string }>('rewards', '--account', address)
  assert.equal(rewards.exitCode, 0)
  const state = join(it.stack.dirs.logs, 'watch.sqlite')
  const watched = await run<{ reports: { epoch: number; findings: unknown[] }[] }>(
    'watch',
    '--once',
    '--state',
    state,
  )
  assert.equal(watched.exitCode, 0)
  assert.ok(watched.reports.length > 0)
  assert.ok(watched.reports.every(({ findings }) => findings.length === 0))
  const again = await run<typeof watched>('watch', '--once', '--state', state)
  const seen = new Set(watched.reports.map(({ epoch }) => epoch))
  assert.ok(again.reports.every(({ epoch }) => !seen.has(epoch))) // it goes on where it was
})

test('a record that its contributor takes back is paid no more, says so, and both receipts verify', async () => {
  const { edge, chain, da } = it.stack.urls
  const [first] = answers
  const [{ record, contributor } = assert.fail('nobody was paid')] = first!.receipt.receipt.rows
  const owner = cast.contributors.find(({ address }) => address === contributor)!
  const { data } = (await (
    await fetch(
      `${edge}/v1/datanets/${version.datanetId}/versions/${version.number}/rows?limit=100`,
    )
  ).json()) as { data: { record: Hex; metadata: { openledger: { contribution: string } } }[] }
  const { contribution } = data.find((row) => row.record === record)!.metadata.openledger
  const env = {
    OPENLEDGER_EDGE: edge,
    OPENLEDGER_RPC: chain,
    OPENLEDGER_DA: da,
    OPENLEDGER_API_KEY: owner.apiKey,
  }
  const run = async (...args: string[]) =>
    valueOf<object>(await openledger([...args, '--json'], env))
  const { datanetRegistry } = it.stack.contracts
  for await (const { added } of owner.client.withdraw(contribution, {
    records: [record],
    sign: (records) =>
      owner.wallet.signTypedData(
        withdrawalTypedData(records, { chainId: CHAIN_ID, datanetRegistry }),
      ),
  }))
    assert.equal(added, 1)

  await new Promise((resolve) => setTimeout(resolve, 4_000)) // workers know the log as of 3 s ago
  const { client } = cast.consumer
  const answer = await client.chat({
    model: model.name,
    messages: [{ role: 'user', content: first!.question }],
    max_tokens: 80,
    temperature: 0,
  })
  assert.equal(answer.text, first!.answer.text)
  const { receipt } = await client.receipt(answer.receiptId)
  assert.ok(receipt.rows.every((row) => row.record !== record))
  const reasonIn = async (id: string) =>
    (await (await fetch(`${edge}/v1/receipts/${id}/records/${record}`)).json()) as {
      reason: string
      evidence: { influence: string; spans: unknown[] } | null
    }
  const why = await reasonIn(answer.receiptId)
  assert.equal(why.reason, 'revoked')
  assert.ok(BigInt(why.evidence!.influence) > 0n && why.evidence!.spans.length > 0)
  assert.equal((await reasonIn(first!.receipt.id)).reason, 'paid')
  for (const id of [answer.receiptId, first!.receipt.id]) {
    const verified = await run('receipt', 'verify', id, '--model', MODEL_DIR)
    assert.equal((verified as { holds: boolean }).holds, true, JSON.stringify(verified))
  }
})

test('OpenAI’s own client works with nothing but another base URL and key', async () => {
  const openai = new OpenAI({ baseURL: `${it.stack.urls.edge}/v1`, apiKey: cast.consumer.apiKey })
  const whole = await openai.chat.completions.create({
    model: model.name,
    messages: [question],
    max_tokens: 16,
    temperature: 0,
  })
  const stream = await openai.chat.completions.create({
    model: model.name,
    messages: [question],
    max_tokens: 16,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  })
  let text = ''
  let tokens = 0
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    tokens = chunk.usage?.total_tokens ?? tokens
  }
  assert.equal(text, whole.choices[0]?.message.content)
  assert.equal(tokens, whole.usage?.total_tokens)
  const models = await openai.models.list()
  assert.ok(models.data.some(({ id }) => id === model.name))
})

test('an unknown model is 404 and holds no money', async () => {
  const { client } = cast.consumer
  const before = await restingBalance()
  for (const name of ['gpt-4', 'openledger-5m:0x00/none', `openledger-5m@sha256-${'0'.repeat(64)}`])
    await assert.rejects(
      client.chat({ model: name, messages: [question] }),
      refusedAs(404, 'model/not-found'),
    )
  assert.equal(await restingBalance(), before)
})

test('a caller without funds is refused with 402 before a token is made', async () => {
  const { client } = await newPerson(it.stack)
  await assert.rejects(
    client.chat({ model: model.name, messages: [question] }),
    refusedAs(402, 'funds/insufficient'),
  )
})

test('a wrong key is 401, and so is a worker’s route without the worker’s token', async () => {
  const stranger = createClient({
    baseUrl: it.stack.urls.edge,
    apiKey: `ol_live_${'x'.repeat(32)}`,
  })
  await assert.rejects(stranger.account(), refusedAs(401, 'auth/invalid-key'))
  await assert.rejects(
    stranger.chat({ model: model.name, messages: [question] }),
    refusedAs(401, 'auth/invalid-key'),
  )
  const put = await fetch(`${it.stack.urls.edge}/v1/blobs/${'0'.repeat(64)}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${cast.consumer.apiKey}` },
    body: 'x',
  })
  assert.equal(put.status, 401)
  const generate = await fetch(`${it.stack.urls.worker}/generate`, { method: 'POST', body: '{}' })
  assert.equal(generate.status, 401)
})

test('records into an unknown Datanet are 404 and nothing is kept of them', async () => {
  const { client } = cast.consumer
  await assert.rejects(
    client.contribute('dn_00000000000000000000000000', {
      body: '{"text":"some words"}\n',
      type: 'application/x-ndjson',
      metadata: plan.metadata,
    }),
    refusedAs(404, 'datanet/not-found'),
  )
})

test('a tampered adapter on the worker’s disk is noticed, fetched again, and answers as before', async () => {
  const [{ answer: expected } = assert.fail('nothing was asked')] = answers
  const weights = await weightsOf(model)
  flipBit(cachedFile(weights))
  await restartWorker()
  const answer = await cast.consumer.client.chat({
    model: model.name,
    messages: [{ role: 'user', content: answers[0]!.question }],
    max_tokens: 80,
    temperature: 0,
  })
  assert.equal(answer.text, expected.text)
  assert.equal(answer.fingerprint, model.digest)
})

test('an adapter whose bytes in R2 are not those on chain is 502, never served, and holds no money', async () => {
  const { client } = cast.consumer
  const weights = await weightsOf(model)
  await it.stack.parts['gpu-worker'].stop()
  flipBit(cachedFile(weights))
  const repair = flipBit(r2FileOf(it.stack, `sha256/${weights.slice(2)}`))
  await it.stack.parts['gpu-worker'].start()
  await workerIsBack()
  const before = await restingBalance()
  await assert.rejects(
    client.chat({ model: model.name, messages: [question] }),
    refusedAs(502, 'model/digest-mismatch'),
  )
  assert.equal(await restingBalance(), before)
  repair()
  const { fingerprint } = await client.chat({
    model: model.name,
    messages: [question],
    max_tokens: 4,
  })
  assert.equal(fingerprint, model.digest)
})

/** What the consumer has when nothing is held: a receipt on its way to the chain moves money from held to drawn. */
async function restingBalance(): Promise<bigint> {
  const { balance } = await until(
    () => cast.consumer.client.account(),
    ({ balance: { held, deposited, available } }) => held === 0n && deposited === available,
  )
  return balance.available
}

/** Hash of the adapter's weights, from its manifest. */
async function weightsOf({ name }: TunedModel): Promise<Hex> {
  const { openledger } = await cast.consumer.client.model(name)
  const manifest = openledger.adapter?.manifest
  const response = await fetch(`${it.stack.urls.edge}/v1/blobs/${manifest}`, {
    headers: { authorization: `Bearer ${it.stack.secrets.workerToken}` },
  })
  const { files } = adapterManifest.parse(await response.json())
  return files['adapter_model.safetensors'].sha256
}

/** The worker's copy of a blob, wherever under its state it keeps them. */
function cachedFile(sha256: Hex): string {
  const { worker } = it.stack.dirs
  const found = readdirSync(worker, { recursive: true, encoding: 'utf8' }).find((path) =>
    path.endsWith(sha256.slice(2)),
  )
  assert.ok(found, `the worker has no copy of ${sha256}`)
  assert.ok(existsSync(join(worker, found)))
  return join(worker, found)
}

async function restartWorker(): Promise<void> {
  await it.stack.parts['gpu-worker'].stop()
  await it.stack.parts['gpu-worker'].start()
  await workerIsBack()
}

/** Until the edge knows the worker again, requests are 503; the client waits them out. */
const workerIsBack = () =>
  cast.consumer.client.chat({ model: model.base, messages: [question], max_tokens: 1 })
