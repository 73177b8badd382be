import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { encodeFunctionData, parseEther, type Abi } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { receiptChallengesAbi } from '#contracts/receipt-challenges.ts'
import { challengeModel } from '#protocol/challenge.ts'
import { RICH_KEY } from '../testing/chain.ts'
import { eventually } from '../testing/harness.ts'
import { PATIENT_MS, startSettlement, sumOf, type Settlement } from '../testing/settlement.ts'
import type { Env } from '../env.ts'
import type { Hex } from '#protocol/bytes.ts'
import { decodeManifest, readEpoch } from '#protocol/segments.ts'
import { epochKey } from './epoch-files.ts'
import type { EpochRow } from './epoch-tables.ts'

let it: Settlement
before(async () => {
  it = await startSettlement()
})
after(() => it?.stop())

test('a disabled epoch is refunded, undone and settled again without its faulty receipt', async () => {
  const [payer, owner] = [it.newAddress(), it.newAddress()]
  await it.deposit(payer, parseEther('1'))
  const [honest, faulty] = [await it.newReceipt(payer, owner), await it.newReceipt(payer, owner)]
  await it.govern('settlement.window', 600n)
  await it.append(honest, faulty)
  await it.done(honest, faulty)
  assert.equal(await it.balanceOf(payer), parseEther('1') - sumOf([honest, faulty], 'fee'))

  await (
    await it.batcher()
  ).refuse(faulty.receipt.requestId, 'a score that its vectors do not have')
  const [{ epoch: disabled }] = (await it.sqlite<EpochRow>(
    'SELECT MAX(epoch) AS epoch FROM epoch',
  )) as [EpochRow]
  await it.operatorSends({
    to: it.chain.contracts.attributionSettlement,
    data: encodeFunctionData({
      abi: attributionSettlementAbi,
      functionName: 'disable',
      args: [BigInt(disabled)],
    }),
  })
  await it.govern('settlement.window', 2n)
  await it.poke()
  await eventually(async () => (await it.owed()) === honest.receipt.fee, PATIENT_MS)
  // Dies while its refund is on its way.
  await it.restart()
  await it.poke()
  await eventually(async () => (await it.status(faulty)) === 'refused', PATIENT_MS)
  await it.done(honest)
  assert.equal(await it.balanceOf(payer), parseEther('1') - honest.receipt.fee)
  assert.equal(
    (await it.json(`/v1/rewards/${owner}`))['cumulative'],
    honest.receipt.model.toString(),
  )
  await it.assertBalanced()
  assert.equal(await it.owed(), 0n)
})

test('a receipt that a challenge proves wrong is refused, and the others are settled again', async () => {
  const [payer, owner] = [it.newAddress(), it.newAddress()]
  await it.deposit(payer, parseEther('1'))
  const [honest, faulty] = [await it.newReceipt(payer, owner), await it.newReceipt(payer, owner)]
  await it.govern('settlement.window', 600n)
  await it.append(honest, faulty)
  // Challenged as soon as it is on chain: it need not have been safe before.
  const epoch = await eventually(async () => {
    const [row] = await it.sqlite<EpochRow>('SELECT * FROM epoch ORDER BY epoch DESC LIMIT 1')
    return row?.state === 'settled' && row
  }, PATIENT_MS)
  const { BLOBS } = (await it.edge.worker.getEnv()) as unknown as Env
  const bytesOf = async (hash: Hex) =>
    new Uint8Array(await (await BLOBS.get(epochKey(hash)))!.arrayBuffer())
  const manifest = decodeManifest(await bytesOf(epoch.data_hash), epoch.data_hash)
  const file = await readEpoch(manifest, ({ hash }) => bytesOf(hash))
  const receipt = file.receipts.findIndex(
    (signed) => signed.receipt.requestId === faulty.receipt.requestId,
  )
  const { functionName, args } = challengeModel({ file, receipt }) // no chain knows this base model
  await it.send({
    to: it.chain.contracts.receiptChallenges,
    data: encodeFunctionData({ abi: receiptChallengesAbi as Abi, functionName, args }),
  })
  await it.send({
    to: it.chain.contracts.attributionSettlement,
    data: encodeFunctionData({
      abi: attributionSettlementAbi,
      functionName: 'bond',
      args: [privateKeyToAddress(RICH_KEY)],
    }),
    value: parseEther('100'),
  })
  await it.govern('settlement.window', 2n)
  await it.poke()
  await eventually(async () => (await it.status(faulty)) === 'refused', PATIENT_MS)
  await it.done(honest)
  assert.equal(await it.balanceOf(payer), parseEther('1') - honest.receipt.fee)
  await it.assertBalanced()
  assert.equal(await it.owed(), 0n)
})
