import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { parseEther } from 'viem'
import type { SignedReceipt } from '#protocol/receipt.ts'
import {
  SENDS,
  startSettlement,
  sumOf,
  times,
  timesOf,
  type Settlement,
} from '../testing/settlement.ts'
import type { EpochRow } from './epoch-tables.ts'

let it: Settlement
before(async () => {
  it = await startSettlement()
})
after(() => it?.stop())

test('whatever is lost or dies on the way, every receipt is settled exactly once', async () => {
  const [payer, owner] = [it.newAddress(), it.newAddress()]
  await it.deposit(payer, parseEther('1'))
  const all: SignedReceipt[] = []
  const faults: [string, () => void][] = [
    ['the DA layer is full', () => it.da.fault(times(3, { status: 503 }))],
    ['the DA layer takes it, the answer is lost', () => it.da.fault(times(1, 'lose-answer'))],
    [
      'the chain takes it, the answer is lost',
      () => it.rpc.fault(timesOf(SENDS, 2, 'lose-answer')),
    ],
    ['the chain never hears of it', () => it.rpc.fault(timesOf(SENDS, 2, 'lose-request'))],
    ['the chain is away', () => it.rpc.fault(times(20, 'lose-request'))],
  ]
  for (const [name, arm] of faults) {
    const batch = [await it.newReceipt(payer, owner), await it.newReceipt(payer, owner)]
    all.push(...batch)
    arm()
    await it.append(...batch, batch[0]!)
    // Dies in the middle, at whatever step the fault has it, and is woken more often than it needs.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    await it.restart()
    for (let i = 0; i < 3; i++) await it.poke()
    await it.done(...batch)
    ;[it.da, it.rpc].forEach((proxy) => proxy.fault(() => 'pass'))
    assert.equal(await it.balanceOf(payer), parseEther('1') - sumOf(all, 'fee'), name)
  }
  await it.assertBalanced()
  const epochs = await it.sqlite<EpochRow>('SELECT * FROM epoch')
  assert.equal(epochs.length, await it.lastEpoch())
  assert.ok(epochs.every(({ state }) => state === 'safe' || state === 'final'))
})

test('a ledger that is down is caught up with later, and holds no epoch up', async () => {
  const [payer, owner] = [it.newAddress(), it.newAddress()]
  await it.deposit(payer, parseEther('1'))
  await it.postgres.query('ALTER TABLE chain_head RENAME TO hidden')
  const receipt = await it.newReceipt(payer, owner)
  await it.append(receipt)
  await it.done(receipt)
  assert.equal((await it.edge.fetch('/v1/ledger/reconciliation')).status, 503)
  await it.postgres.query('ALTER TABLE hidden RENAME TO chain_head')
  await it.assertBalanced()
})

test('a request that has a receipt takes no other one', async () => {
  const payer = it.newAddress()
  await it.deposit(payer, parseEther('1'))
  const [first, second] = [
    await it.newReceipt(payer, it.newAddress()),
    await it.newReceipt(payer, it.newAddress()),
  ]
  await it.append(first, first)
  const forged = { ...second, receipt: { ...second.receipt, requestId: first.receipt.requestId } }
  // The inbox refuses it as long as it has the first; after that the batcher does.
  // (The harness loses what an error of an object says.)
  await it.append(forged).catch(() => undefined)
  await it.done(first)
  assert.equal(await it.balanceOf(payer), parseEther('1') - first.receipt.fee)
  await new Promise((resolve) => setTimeout(resolve, 3_000)) // more than an epoch
  const view = await it.json(`/v1/receipts/rcp_${first.receipt.requestId.slice(2)}`)
  assert.equal(view['signature'], first.signature)
  await it.assertBalanced()
})
