import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { encodeFunctionData, parseEther, type Abi } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import type { Hex } from '#protocol/bytes.ts'
import { demand, type Demanded } from '#protocol/challenge.ts'
import { receiptLeaf } from '#protocol/ledgers.ts'
import { verifyOrdered } from '#protocol/merkle.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { decodeManifest, segmentsOf } from '#protocol/segments.ts'
import type { Env } from '../env.ts'
import { RICH_KEY } from '../testing/chain.ts'
import { eventually } from '../testing/harness.ts'
import { PATIENT_MS, startSettlement, type Settlement } from '../testing/settlement.ts'
import { epochKey } from './epoch-files.ts'
import type { EpochRow } from './epoch-tables.ts'

/** Epochs of several segments: here a segment carries two receipts. */

let it: Settlement
let payer: Hex
before(async () => {
  it = await startSettlement({ SEGMENT_BYTES: '4000', EPOCH_SECONDS: '3' })
  payer = it.newAddress()
  await it.deposit(payer, parseEther('1'))
})
after(() => it?.stop())

const blobs = async () => ((await it.edge.worker.getEnv()) as unknown as Env).BLOBS
const newest = async () =>
  (await it.sqlite<EpochRow>('SELECT * FROM epoch ORDER BY epoch DESC LIMIT 1'))[0]!
const manifestOf = async ({ data_hash: hash }: EpochRow) => {
  const object = await (await blobs()).get(epochKey(hash))
  return decodeManifest(new Uint8Array(await object!.arrayBuffer()), hash)
}
const puts = () => it.da.passed.filter(({ path }) => path.startsWith('/put')).length

/** Takes five receipts into one epoch, as far as it is safe. */
async function settleFive(): Promise<{ receipts: SignedReceipt[]; row: EpochRow }> {
  const owner = it.newAddress()
  const receipts = await Promise.all(Array.from({ length: 5 }, () => it.newReceipt(payer, owner)))
  await it.append(...receipts)
  await it.done(...receipts)
  const row = await newest()
  assert.equal(row.receipts, receipts.length, 'all are in one epoch')
  return { receipts, row }
}

test('each segment is dispersed once, however often the layer is full or the Worker dies', async () => {
  const before = puts()
  it.da.fault((path) =>
    path.startsWith('/put') && puts() === before + 2 ? { status: 503 } : 'pass',
  )
  const owner = it.newAddress()
  const receipts = await Promise.all(Array.from({ length: 5 }, () => it.newReceipt(payer, owner)))
  await it.append(...receipts)
  const stuck = await eventually(async () => {
    const row = await newest()
    return row?.state === 'built' && row.tries > 0 && row
  }, PATIENT_MS)
  const stored = await it.sqlite<{ n: number }>(
    'SELECT COUNT(*) AS n FROM segment WHERE epoch = ? AND commitment IS NOT NULL',
    stuck.epoch,
  )
  assert.equal(stored[0]!.n, 2)
  await it.restart()
  it.da.fault(() => 'pass')
  await it.poke()
  await it.done(...receipts)
  const row = await newest()
  const { segments } = await manifestOf(row)
  assert.equal(segmentsOf(segments, 'receipts').length, 3)
  assert.equal(puts() - before, segments.length + 1, 'each segment and the manifest')
  await it.assertBalanced()
})

test('every receipt of several segments has its proof, and its answer in the archive', async () => {
  const { receipts, row } = await settleFive()
  for (const { receipt } of receipts) {
    const path = `/v1/receipts/rcp_${receipt.requestId.slice(2)}`
    const shown = await it.json(`${path}/proof`)
    const { index, count, root, proof, spent } = shown as {
      index: number
      count: number
      root: Hex
      proof: Hex[]
      spent: string
    }
    const domain = { chainId: 901612, settlement: it.chain.contracts.attributionSettlement }
    const leaf = receiptLeaf(receipt, BigInt(spent), domain)
    assert.equal(root, row.receipts_root)
    assert.ok(verifyOrdered(root, leaf, { index, count, proof }))
  }
  await eventually(async () => (await newest()).state === 'final', PATIENT_MS)
  for (const { receipt, signature } of receipts) {
    const view = await it.json(`/v1/receipts/rcp_${receipt.requestId.slice(2)}`)
    assert.deepEqual([view['status'], view['signature']], ['final', signature])
  }
})

test('what our own copies lose, the data-availability layer still has', async () => {
  const { receipts, row } = await settleFive()
  const { segments } = await manifestOf(row)
  await eventually(async () => (await newest()).state === 'final', PATIENT_MS)
  const bucket = await blobs()
  for (const hash of [row.data_hash, ...segments.map((segment) => segment.hash)])
    await bucket.delete(epochKey(hash))
  const view = await it.json(`/v1/receipts/rcp_${receipts[4]!.receipt.requestId.slice(2)}`)
  assert.equal(view['signature'], receipts[4]!.signature)
})

test('what is demanded from the last segment of an epoch is shown', async () => {
  await it.govern('settlement.window', 600n)
  await it.govern('challenge.answerTime', 200n)
  const { row } = await settleFive()
  const bond = PARAMETERS['challenge.bond'].value
  const wanted: Demanded[] = [
    { kind: 'receipt', index: 4, position: 0 },
    { kind: 'credit', index: row.credits - 1, position: 0 },
    { kind: 'payout', index: row.payouts - 1, position: 0 },
    { kind: 'indexRow', index: 4, position: 7 }, // a bare base lists no row: that is shown
  ]
  const contract = { address: it.chain.contracts.epochChallenges, abi: epochChallengesAbi } as const
  for (const one of wanted) {
    const { functionName, args } = demand(row.epoch, one, bond)
    await it.send({
      to: contract.address,
      data: encodeFunctionData({ abi: epochChallengesAbi as Abi, functionName, args }),
      value: bond,
    })
  }
  const operator = privateKeyToAddress(RICH_KEY)
  const owed = () => it.anvil.readContract({ ...contract, functionName: 'owed', args: [operator] })
  await it.poke()
  await eventually(async () => (await owed()) === bond * BigInt(wanted.length), PATIENT_MS)
})
