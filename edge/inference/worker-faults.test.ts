import assert from 'node:assert/strict'
import test, { after, before, beforeEach } from 'node:test'
import type { APIError } from 'openai'
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
import { CLOCK_SECONDS } from '#protocol/receipt.ts'
import type { WorkerLoad } from '#protocol/wire.ts'
import { BASE } from '../testing/adapter.ts'
import {
  registerGpuWorker,
  workerHeaders,
  type Behaviour,
  type GpuWorker,
} from '../testing/gpu-worker.ts'
import { eventually } from '../testing/harness.ts'
import { refusal, startInference, type Inference } from '../testing/inference.ts'
import { sign } from '../testing/receipts.ts'
import { signIn } from '../testing/wallet.ts'

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

test('unknown, revoked and unfunded requests and those that no worker can take have their own status', async () => {
  const { edge, payer, model, client, holds } = stack
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
  const { edge, model, client, holds } = stack
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
  const { edge, worker, adapter, model, client } = stack
  const other = await stack.startWorker()
  await registerGpuWorker(edge, other, BASE)
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
  const { worker, model, client, holdOf, lastRequest } = stack
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

test('when the workers are full the caller hears when to come back, the soonest of them, and pays nothing', async () => {
  const { edge, worker, model, client, holds } = stack
  const other = await stack.startWorker()
  await registerGpuWorker(edge, other, BASE)
  const ask = (stream: boolean) =>
    client().chat.completions.create({ model, messages, stream }, { maxRetries: 0 })
  // Every worker refuses this payer; one will have room for it sooner.
  worker.behave({ refuses: { status: 429, retryAfter: 17 } })
  other.behave({ refuses: { status: 429, retryAfter: 9 } })
  for (const stream of [false, true]) {
    const error = await refusal(() => ask(stream))
    assert.deepEqual([error.status, error.headers.get('retry-after')], [429, '9'])
  }
  // Full for everybody: the service is, not the payer's share of it.
  for (const one of [worker, other]) one.behave({ refuses: { status: 503, retryAfter: 4 } })
  const full = await refusal(() => ask(false))
  assert.deepEqual([full.status, full.headers.get('retry-after')], [503, '4'])
  assert.deepEqual(
    (await holds()).filter(({ kind }) => kind === 'held'),
    [],
  )
  // One that has room is found.
  other.behave({})
  assert.equal((await client().chat.completions.create({ model, messages })).choices.length, 1)
  await other.stop()
  const env = (await edge.worker.getEnv()) as unknown as { DB: D1Database }
  await env.DB.prepare('DELETE FROM workers WHERE address = ?').bind(other.address).run()
})

test('a receipt that lies is refused and nothing is paid', async () => {
  const { owner, payer, worker, model, client, holds } = stack
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
    'a time to come': { receipt: (r) => ({ ...r, time: r.time + CLOCK_SECONDS + 60n }) },
    'a signature of other content': {
      signed: (s) => ({ ...s, receipt: { ...s.receipt, queryHash: keccak('x') } }),
    },
    'the signature of somebody else': {
      resign: (receipt) =>
        sign(stranger, receipt, {
          chainId: 901612,
          settlement: stack.chain.contracts.attributionSettlement,
        }),
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

test('a receipt that pays what was revoked long before is refused; a worker may not know it yet of the last minutes', async () => {
  const { edge, owner, worker, model, client } = stack
  worker.behave({})
  const { DB } = (await edge.worker.getEnv()) as unknown as { DB: D1Database }
  const revoke = (secondsAgo: number) =>
    DB.prepare(
      `INSERT INTO revocations (seq, record, contributor, contribution_id, reason, time, head)
       VALUES (1, ?1, ?2, 'ctr_test', 'revoked', ?3, ?1) ON CONFLICT (seq) DO UPDATE SET time = excluded.time`,
    )
      .bind(keccak('r'), owner.address, Math.floor(Date.now() / 1_000) - secondsAgo)
      .run()
  const ask = () => client().chat.completions.create({ model, messages })
  try {
    await revoke(10)
    assert.equal((await ask()).choices.length, 1)
    await revoke(Number(CLOCK_SECONDS) + 10)
    const error = await refusal(ask)
    assert.deepEqual([error.status, error.code], [502, 'receipt_refused'])
    assert.match(error.message, /was revoked at/)
  } finally {
    await DB.prepare('DELETE FROM revocations').run()
  }
})

test('a worker that dies in the middle ends the stream with an error, and nothing is charged', async () => {
  const { worker, model, client, holdOf, lastRequest } = stack
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
  const { worker, model, client, holdOf, lastRequest } = stack
  worker.behave({ texts: NUMBERS, ...behaviour })
  const stream = await client().chat.completions.create({ model, messages, stream: true })
  for await (const chunk of stream) if (chunk.choices[0]!.delta.content) break
  const { requestId } = lastRequest()
  assert.equal((await holdOf(requestId))?.kind, 'held')
  stream.controller.abort()
  return requestId
}

test('a caller who goes away in the middle pays for what there was of the answer', async () => {
  const { edge, holdOf } = stack
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
  const { holdOf } = stack
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
  const { worker, model, client, holdOf, lastRequest } = stack
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

test('a revoked model answers 410 within seconds', async () => {
  const { chain, owner, adapter, model, client } = stack
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
