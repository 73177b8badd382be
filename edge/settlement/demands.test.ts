import test, { after, before } from 'node:test'
import { encodeFunctionData, parseEther, type Abi } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import { demand, type Demanded } from '#protocol/challenge.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import { RICH_KEY } from '../testing/chain.ts'
import { eventually } from '../testing/harness.ts'
import { PATIENT_MS, startSettlement, type Settlement } from '../testing/settlement.ts'

let it: Settlement
before(async () => {
  it = await startSettlement()
})
after(() => it?.stop())

test('what is demanded of an epoch is shown in time, and whoever demanded it pays for that', async () => {
  const [payer, owner] = [it.newAddress(), it.newAddress()]
  await it.deposit(payer, parseEther('1'))
  await it.govern('settlement.window', 600n)
  await it.govern('challenge.answerTime', 200n)
  const receipt = await it.newReceipt(payer, owner)
  await it.append(receipt)
  await it.done(receipt)
  const contract = { address: it.chain.contracts.epochChallenges, abi: epochChallengesAbi } as const
  const bond = PARAMETERS['challenge.bond'].value
  const wanted: Demanded[] = [
    { kind: 'receipt', index: 0, position: 0 },
    { kind: 'credit', index: 0, position: 0 },
    { kind: 'payout', index: 0, position: 0 },
    { kind: 'indexRow', index: 0, position: 7 }, // a bare base lists no row: that is shown
  ]
  const epoch = await it.lastEpoch()
  for (const one of wanted) {
    const { functionName, args } = demand(epoch, one, bond)
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
