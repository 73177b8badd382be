import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError, until } from '#client/openledger.ts'
import type { ReceiptStatus } from '#protocol/receipt.ts'
import type { Person } from '#stack/sample/cast.ts'
import { BASE_MODEL } from '#stack/sample/fine-tune.ts'
import { auditEpochs } from '#gpu-worker/validator/watch.ts'
import { checkingOf, newPerson, startTestStack, type TestStack } from '../support/stack.ts'

/**
 * kill -9 of the edge, and of the edge and the chain together, while a receipt is at each stop of its way. After each, the
 * receipt is in exactly one epoch, and ledger, vault and chain agree to the wei.
 */

const CATCH_UP = { timeoutMs: 180_000 }
const ORDER: ReceiptStatus[] = ['open', 'batched', 'submitted', 'settled', 'safe', 'final']

let it: TestStack
let person: Person
const receiptIds: string[] = []
before(async () => {
  it = await startTestStack(21_300)
  person = await newPerson(it.stack, '10')
})
after(() => it?.stop())

async function ask(): Promise<string> {
  const { receiptId } = await person.client.chat({
    model: BASE_MODEL,
    messages: [{ role: 'user', content: 'What is a licence?' }],
    max_tokens: 4,
  })
  receiptIds.push(receiptId)
  return receiptId
}

/** Null for 503: a chain that was killed comes back with a few blocks less than the ledger has read. */
const unlessAway = <T>(answer: Promise<T>): Promise<T | null> =>
  answer.catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 503) return null
    throw error
  })

/** Every receipt is in exactly one epoch that anyone can derive again, and no wei is missing anywhere. */
async function assertSettledOnce(): Promise<void> {
  const { client } = person
  for (const id of receiptIds)
    await until(
      () => client.receipt(id),
      ({ status }) => status === 'final',
      CATCH_UP,
    )
  const audited = await auditEpochs(checkingOf(it.stack))
  assert.deepEqual(
    audited.flatMap(({ report }) => report.findings),
    [],
  )
  const found = audited.flatMap(({ file }) =>
    (file?.receipts ?? []).map(({ receipt }) => `rcp_${receipt.requestId.slice(2)}`),
  )
  assert.deepEqual(found.toSorted(), receiptIds.toSorted())
  await until(
    () => unlessAway(client.reconciliation()),
    (found) => found !== null && found.balanced && found.epoch === found.chain.last_epoch,
    CATCH_UP,
  )
  await until(
    () => unlessAway(client.account()),
    (account) => account?.balance.held === 0n,
    CATCH_UP,
  )
}

for (const stop of ORDER.slice(0, -1))
  test(`an edge that is killed while a receipt is ${stop} settles it exactly once`, async () => {
    const id = await ask()
    const { status } = await until(
      () => person.client.receipt(id),
      (receipt) => ORDER.indexOf(receipt.status) >= ORDER.indexOf(stop),
      { ...CATCH_UP, everyMs: 10 },
    )
    console.log(`# killed while ${status}`)
    it.stack.parts.edge.signal('SIGKILL')
    await sleep(100)
    await it.stack.parts.edge.untilReady()
    await assertSettledOnce()
  })

for (const stop of ['batched', 'submitted', 'settled'] satisfies ReceiptStatus[])
  test(`an edge and a chain that are killed while a receipt is ${stop} settle it exactly once`, async () => {
    const id = await ask()
    await until(
      () => person.client.receipt(id),
      (receipt) => ORDER.indexOf(receipt.status) >= ORDER.indexOf(stop),
      { ...CATCH_UP, everyMs: 10 },
    )
    const { edge, chain } = it.stack.parts
    edge.signal('SIGKILL')
    chain.signal('SIGKILL')
    await sleep(100)
    await chain.untilReady()
    await edge.untilReady()
    await assertSettledOnce()
  })
