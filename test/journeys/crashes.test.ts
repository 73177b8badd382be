import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import test, { after, before } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ApiError,
  createClient,
  until,
  type JobEvent,
  type ReceiptView,
} from '#client/openledger.ts'
import type { Cast } from '#stack/sample/cast.ts'
import { buildDatanet, type PublishedVersion } from '#stack/sample/datanet.ts'
import { BASE_MODEL } from '#stack/sample/fine-tune.ts'
import { hasCheckpoint } from '../support/edge-files.ts'
import {
  checkingOf,
  smallPlan,
  startTestStack,
  testCast,
  type TestStack,
} from '../support/stack.ts'
import { auditEpochs } from '#gpu-worker/validator/watch.ts'

/**
 * kill -9 of every part in the middle of its work. One timeline: a job trains throughout, so that what one part does
 * while another is dead is tested too. The tests build on each other.
 */

const CHAIN_DOWN_MS = 60_000
const CATCH_UP = { timeoutMs: 120_000 }

const plan = smallPlan(20)
let it: TestStack
let cast: Cast
let version: PublishedVersion
/** Events of the job, as they come, from before the first crash to its end. */
const events: JobEvent[] = []
let jobId = ''
let jobEnded: Promise<void>
/** Every receipt of this file. */
const receiptIds: string[] = []

before(async () => {
  it = await startTestStack(21_200)
  cast = await testCast(it.stack, plan)
  version = await buildDatanet(cast, plan)
})
after(() => it?.stop())

const steps = (among: JobEvent[]) => among.flatMap(({ data }) => data?.step ?? [])

/** A short answer of the base model; its receipt's id is remembered. */
async function ask(): Promise<ReceiptView> {
  const { client } = cast.consumer
  const { receiptId } = await client.chat({
    model: BASE_MODEL,
    messages: [{ role: 'user', content: 'What is a licence?' }],
    max_tokens: 4,
  })
  receiptIds.push(receiptId)
  return client.receipt(receiptId)
}

const settled = async () => {
  for (const id of receiptIds)
    await until(
      () => cast.consumer.client.receipt(id),
      ({ status }) => status === 'final',
      CATCH_UP,
    )
}

/** Every receipt is in exactly one epoch, nobody paid twice, and ledger, vault and chain agree. */
async function assertSettledOnce(): Promise<void> {
  const audited = await auditEpochs(checkingOf(it.stack))
  assert.deepEqual(
    audited.flatMap(({ report }) => report.findings),
    [],
  )
  const found = audited.flatMap(({ file }) =>
    (file?.receipts ?? []).map(({ receipt }) => receipt.requestId),
  )
  assert.deepEqual(
    found.map((requestId) => `rcp_${requestId.slice(2)}`).toSorted(),
    receiptIds.toSorted(),
  )
  await until(
    () => cast.consumer.client.reconciliation(),
    ({ balanced, epoch, chain }) => balanced && epoch === chain.last_epoch,
    CATCH_UP,
  )
  await until(
    async () => (await cast.consumer.client.account()).balance,
    ({ held }) => held === 0n,
    CATCH_UP,
  )
}

test('a gpu-worker that is killed in training resumes from its checkpoint', async () => {
  const { client } = cast.consumer
  const job = await client.createJob({
    model: BASE_MODEL,
    datanets: [{ id: version.datanetId, version: version.number }],
    suffix: 'survivor',
    hyperparameters: { epochs: 12, sequenceLength: 96, rank: 4 },
  })
  jobId = job.id
  jobEnded = (async () => {
    for await (const event of client.jobEvents(jobId)) events.push(event)
  })()
  await until(async () => hasCheckpoint(it.stack, jobId), Boolean, CATCH_UP)
  it.stack.parts['gpu-worker'].signal('SIGKILL')
  // What the killed one had reported may arrive after its death: only what follows the resumption counts.
  const resumption = () =>
    events.findIndex(({ message }) => /resumed from the checkpoint after step/.test(message))
  const later = () => (resumption() < 0 ? [] : steps(events.slice(resumption())))
  await until(
    async () => later(),
    (done) => done.length > 0,
    CATCH_UP,
  )
  const [at] = /\d+$/.exec(events[resumption()]?.message ?? '') ?? []
  assert.ok(Number(at) > 0, 'it resumed at no step')
  assert.ok(Math.min(...later()) > Number(at), 'it did a step again')
  assert.ok(events.some(({ message }) => /attempt 2/.test(message)))
})

test('an edge that is killed right after a receipt settles it exactly once', async () => {
  const receipt = await ask()
  it.stack.parts.edge.signal('SIGKILL')
  await sleep(100)
  await it.stack.parts.edge.untilReady()
  // What the dead one left behind lies in the state folder, where the next start deletes it.
  assert.ok(readdirSync(it.stack.dirs.tmp).length > 1)
  assert.ok(['open', 'batched', 'submitted'].includes(receipt.status))
  await settled()
  await assertSettledOnce()
})

test('an edge that is killed between an epoch’s file and its transaction settles it exactly once', async () => {
  const { id } = await ask()
  await until(
    () => cast.consumer.client.receipt(id),
    ({ status }) => status !== 'open',
    { everyMs: 20 },
  )
  it.stack.parts.edge.signal('SIGKILL')
  await sleep(100)
  await it.stack.parts.edge.untilReady()
  await settled()
  await assertSettledOnce()
})

test('with the chain dead for a minute, callers are told to come back and records are still taken', async () => {
  await ask()
  const { chain } = it.stack.parts
  chain.signal('SIGKILL')
  await chain.stop()
  const down = Date.now()
  const { apiKey, client } = cast.consumer
  const impatient = createClient({ baseUrl: it.stack.urls.edge, apiKey, retryForMs: 0 })
  await sleep(3_000) // longer than the edge trusts what it last read
  await assert.rejects(
    impatient.chat({ model: BASE_MODEL, messages: [{ role: 'user', content: 'Hello' }] }),
    (error: unknown) =>
      error instanceof ApiError && error.status === 503 && error.is('chain/unavailable'),
  )
  const { id } = await client.contribute(version.datanetId, {
    type: 'application/x-ndjson',
    body: `${JSON.stringify({ text: 'A record that came while the chain was dead, and was not lost.' })}\n`,
    metadata: plan.metadata,
  })
  await sleep(CHAIN_DOWN_MS - (Date.now() - down))
  await chain.start()
  const contribution = await until(
    () => client.contribution(id),
    ({ status }) => status === 'anchored',
    CATCH_UP,
  )
  assert.equal(contribution.counts?.accepted, 1)
})

test('after the chain is back every receipt is settled exactly once', async () => {
  await ask()
  await settled()
  await assertSettledOnce()
})

test('the job that lived through it all ends as a registered model', async () => {
  await jobEnded
  const { status, fine_tuned_model: name, error } = await cast.consumer.client.job(jobId)
  assert.equal(status, 'succeeded', error?.message)
  const { openledger } = await cast.consumer.client.model(name!)
  assert.equal(openledger.adapter?.job_id, jobId)
})
