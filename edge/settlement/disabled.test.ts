import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { encodeFunctionData, parseEther } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { eventually } from '../testing/harness.ts'
import { PATIENT_MS, startSettlement, sumOf, type Settlement } from '../testing/settlement.ts'
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
