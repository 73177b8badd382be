import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { keccak, lowerCase, type Hex } from '#protocol/bytes.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { withdrawalTypedData } from '#protocol/revocations.ts'
import { withdrawalCall, type RevocationCall } from '../datanets/revocation-calls.ts'
import { eventually } from '../testing/harness.ts'
import { PATIENT_MS, startSettlement, sumOf, type Settlement } from '../testing/settlement.ts'
import { inboxName, type EpochRow, type EpochState } from './epoch-tables.ts'

/**
 * A crash between an effect and the note of it: the object comes back in the state before, and has the effect again.
 * The state is written back by hand, because no signal hits that moment; test/journeys/settlement.test.ts kills for real.
 */

let it: Settlement
let payer: Hex
const owner: Hex = `0x${'ab'.repeat(20)}`
const all: SignedReceipt[] = []
before(async () => {
  it = await startSettlement()
  payer = it.newAddress()
  await it.deposit(payer, parseEther('1'))
})
after(() => it?.stop())

const newest = async (): Promise<EpochRow> =>
  (await it.sqlite<EpochRow>('SELECT * FROM epoch ORDER BY epoch DESC LIMIT 1'))[0]!

/** Takes two receipts to an epoch that is in a block; its row. */
async function settle(): Promise<EpochRow> {
  const batch = [await it.newReceipt(payer, owner), await it.newReceipt(payer, owner)]
  all.push(...batch)
  const { epoch: last = 0 } = (await newest()) ?? {}
  await it.append(...batch)
  return eventually(async () => {
    const row = await newest()
    return row && row.epoch > last && row.state === 'settled' && row
  }, PATIENT_MS)
}

/** Every receipt so far was drawn once, in as many epochs as the chain has, and every wei is accounted for. */
async function assertSettledOnce(): Promise<void> {
  await it.done(...all)
  assert.equal(await it.balanceOf(payer), parseEther('1') - sumOf(all, 'fee'))
  assert.equal((await newest()).epoch, await it.lastEpoch())
  assert.equal(await it.owed(), 0n)
  await it.assertBalanced()
}

for (const state of ['built', 'stored', 'submitted', 'settled'] satisfies EpochState[])
  test(`an epoch that finds itself ${state} again has its effect once`, async () => {
    const { epoch, tx_hash: hash } = await settle()
    const sent = it.rpc.passed.filter(({ body }) => body.includes('eth_sendRawTransaction')).length
    await it.sqlite('UPDATE epoch SET state = ?, next_at = 0 WHERE epoch = ?', state, epoch)
    await it.restart()
    await it.poke()
    await assertSettledOnce()
    const row = (await it.sqlite<EpochRow>('SELECT * FROM epoch WHERE epoch = ?', epoch))[0]!
    assert.equal(row.tx_hash, hash)
    const now = it.rpc.passed.filter(({ body }) => body.includes('eth_sendRawTransaction')).length
    assert.equal(now, sent, 'nothing was sent again')
  })

test('an inbox that forgot that the batcher has its receipts hands them over for nothing', async () => {
  const receipt = await it.newReceipt(payer, owner)
  const inbox = async (query: string, ...values: unknown[]) =>
    (await (
      await it.edge.worker.getDurableObjectStorage('INBOXES', {
        name: inboxName(receipt.receipt.requestId),
      })
    ).exec(query, ...values)) as Record<string, unknown>[]
  const empty = () =>
    eventually(async () => (await inbox('SELECT * FROM receipt')).length === 0, PATIENT_MS)
  await it.append(receipt)
  const rows = await inbox('SELECT * FROM receipt')
  assert.ok(rows.length > 0, 'it is stored before it is answered for')
  all.push(receipt)
  await assertSettledOnce()
  await eventually(async () => (await it.status(receipt)) === 'final', PATIENT_MS)
  assert.deepEqual(
    await it.sqlite('SELECT * FROM receipt'),
    [],
    'what is final lies in the archive',
  )
  for (const row of rows)
    await inbox(
      `INSERT INTO receipt (${Object.keys(row).join()}) VALUES (${Object.keys(row)
        .map(() => '?')
        .join()})`,
      ...Object.values(row),
    )
  await it.restart()
  await it.poke()
  await empty()
  // The same once more, as a row that the batcher has not seen: the request is known, even from the archive.
  await it.toInbox(receipt)
  await empty()
  assert.deepEqual(await it.sqlite('SELECT * FROM receipt'), [])
  await assertSettledOnce()
})

test('an epoch that a reorg takes off the chain is sent again, once', async () => {
  const row = await settle()
  const receipt = all.at(-1)!
  assert.equal(await it.status(receipt), 'settled')
  const depth = Number(await it.anvil.getBlockNumber()) - row.block_number! + 1
  await it.anvil.request({ method: 'anvil_reorg', params: [depth, []] } as never)
  await it.anvil.dropTransaction({ hash: row.tx_hash! })
  assert.equal(await it.lastEpoch(), row.epoch - 1, 'the chain does not have it any more')
  await assertSettledOnce()
  const again = await eventually(async () => {
    const now = await newest()
    return now.state === 'final' && now
  }, PATIENT_MS)
  assert.deepEqual([again.epoch, again.tx_hash], [row.epoch, row.tx_hash], 'the same transaction')
  const mined = await it.anvil.getTransactionReceipt({ hash: again.tx_hash! })
  assert.equal(Number(mined.blockNumber), again.block_number)
})

test('an epoch comes after the revocations that its receipts may have heeded, whatever is reorganised', async () => {
  const { DB } = (await it.edge.worker.getEnv()) as unknown as { DB: D1Database }
  const write = ({ id, data }: RevocationCall) =>
    DB.prepare('INSERT INTO revocation_calls (id, data, created_at) VALUES (?1, ?2, ?3)')
      .bind(id, data, Date.now())
      .run()
  const { datanetRegistry, attributionSettlement } = it.chain.contracts
  const wallet = privateKeyToAccount(generatePrivateKey())
  const contributor = lowerCase(wallet.address)
  const record = keccak('record')
  const typed = withdrawalTypedData([record], { chainId: 901_612, datanetRegistry })
  const call = withdrawalCall(contributor, [record], await wallet.signTypedData(typed))
  // One that the chain refuses holds the epoch back.
  const refused = withdrawalCall(payer, [record], await wallet.signTypedData(typed))
  await write(call)
  await write(refused)
  const [receipt, last] = [await it.newReceipt(payer, owner), await it.lastEpoch()]
  all.push(receipt)
  await it.append(receipt)
  await eventually(
    async () => /waits for 1 revocations/.test(String((await newest())?.error)),
    PATIENT_MS,
  )
  assert.equal(await it.lastEpoch(), last)
  await DB.prepare('DELETE FROM revocation_calls WHERE id = ?').bind(refused.id).run()
  const row = await eventually(async () => {
    const now = await newest()
    return now.epoch > last && now.state === 'settled' && now
  }, PATIENT_MS)

  const revokedAt = () =>
    it.anvil.readContract({
      address: datanetRegistry,
      abi: datanetRegistryAbi,
      functionName: 'revokedAt',
      args: [contributor, record],
    })
  const submittedAt = () =>
    it.anvil.readContract({
      address: attributionSettlement,
      abi: attributionSettlementAbi,
      functionName: 'submittedAt',
      args: [BigInt(row.epoch)],
    })
  const assertInOrder = async () => {
    const [revoked, submitted] = [await revokedAt(), await submittedAt()]
    assert.ok(revoked > 0n && revoked <= submitted, `${revoked}, ${submitted}`)
  }
  await assertInOrder()
  const { tx_hash: hash, block_number: block } = (await DB.prepare(
    'SELECT tx_hash, block_number FROM revocation_calls WHERE id = ?',
  )
    .bind(call.id)
    .first<{ tx_hash: Hex; block_number: number }>())!
  const depth = Number(await it.anvil.getBlockNumber()) - block + 1
  await it.anvil.request({ method: 'anvil_reorg', params: [depth, []] } as never)
  for (const gone of [hash, row.tx_hash!]) await it.anvil.dropTransaction({ hash: gone })
  await assertSettledOnce()
  await assertInOrder()
})

test('a node of another chain settles nothing, and is said to be one', async () => {
  const receipt = await it.newReceipt(payer, owner)
  all.push(receipt)
  it.rpc.fault((_path, body) =>
    body.includes('eth_chainId') ? { status: 200, body: answered(body, '0x1') } : 'pass',
  )
  const last = await it.lastEpoch()
  await it.append(receipt)
  await eventually(async () => (await it.json('/v1/chain'))['state'] === 'wrong-chain', PATIENT_MS)
  await new Promise((resolve) => setTimeout(resolve, 5_000)) // several epochs
  assert.ok(['open', 'batched', 'submitted'].includes(String(await it.status(receipt))))
  assert.equal(await it.lastEpoch(), last)
  it.rpc.fault(() => 'pass')
  await assertSettledOnce()
})

/** A node's answer of `result` to every request of a body, which is one or a batch. */
function answered(body: string, result: string): string {
  const asked = JSON.parse(body) as { id: number } | { id: number }[]
  const reply = ({ id }: { id: number }) => ({ jsonrpc: '2.0', id, result })
  return JSON.stringify(Array.isArray(asked) ? asked.map(reply) : reply(asked))
}
