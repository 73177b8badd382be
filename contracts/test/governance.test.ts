import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { encodeFunctionData, parseEther, parseEventLogs } from 'viem'
import { openGovernorAbi } from '#contracts/open-governor.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { votingOpenAbi } from '#contracts/voting-open.ts'
import { PARAMETER_BOUNDARY, parameterKey, ruleOf } from '#protocol/parameters.ts'
import { deployContracts, type Contracts } from '../script/deploy.ts'
import { CHAIN_ID, devAccount, startAnvil } from './anvil.ts'

const [deployer, voter] = [devAccount(0), devAccount(1)]
const FOR = 1
const settings = {
  votingDelay: 10n,
  votingPeriod: 100n,
  lateQuorumExtension: 10n,
  timelockDelay: 50n,
  proposalThreshold: parseEther('1'),
  minimumSupply: parseEther('10'),
}

let chain: Awaited<ReturnType<typeof startAnvil>>
let contracts: Contracts

before(async () => {
  chain = await startAnvil()
  contracts = await deployContracts({
    rpcUrl: chain.rpcUrl,
    chainId: CHAIN_ID,
    deployerKey: deployer.key,
    operator: deployer.address,
    submitter: deployer.address,
    governor: settings,
  })
})
after(() => chain.stop())

async function send(data: { to: `0x${string}`; data: `0x${string}`; value?: bigint }) {
  const hash = await chain.client.sendTransaction({ ...data, account: voter.account, chain: null })
  const receipt = await chain.client.waitForTransactionReceipt({ hash })
  assert.equal(receipt.status, 'success')
  return receipt
}

async function pass(seconds: bigint): Promise<void> {
  await chain.client.increaseTime({ seconds: Number(seconds) })
  await chain.client.mine({ blocks: 1 })
}

test('what was deployed is governed by votes: a threshold is proposed, voted, queued and executed', async () => {
  const { openGovernor, votingOpen, parameters } = contracts
  const governor = { to: openGovernor, abi: openGovernorAbi } as const
  const wrap = encodeFunctionData({ abi: votingOpenAbi, functionName: 'deposit' })
  await send({ to: votingOpen, data: wrap, value: parseEther('20') })
  await pass(1n)
  const change = encodeFunctionData({
    abi: parametersAbi,
    functionName: 'set',
    args: [parameterKey('attribution.significance'), 5_000n],
  })
  const proposed = await send({
    ...governor,
    data: encodeFunctionData({
      abi: openGovernorAbi,
      functionName: 'propose',
      args: [[parameters], [0n], [change], 'Ask for five deviations'],
    }),
  })
  const [event] = parseEventLogs({
    abi: openGovernorAbi,
    eventName: 'ProposalCreated',
    logs: proposed.logs,
  })
  const id = event!.args.proposalId
  await pass(settings.votingDelay + 1n)
  await send({
    ...governor,
    data: encodeFunctionData({
      abi: openGovernorAbi,
      functionName: 'castVote',
      args: [id, FOR],
    }),
  })
  await pass(settings.votingPeriod + 1n)
  const byId = (functionName: 'queue' | 'execute') =>
    encodeFunctionData({ abi: openGovernorAbi, functionName, args: [id] })
  await send({ ...governor, data: byId('queue') })
  await assert.rejects(
    chain.client.call({ ...governor, data: byId('execute'), account: voter.address }),
  )
  await pass(settings.timelockDelay)
  await send({ ...governor, data: byId('execute') })
  const threshold = () =>
    chain.client.readContract({
      address: parameters,
      abi: parametersAbi,
      functionName: 'get',
      args: [parameterKey('attribution.significance')],
    })
  assert.equal(await threshold(), 4_000n, 'known before it is in force')
  await pass(BigInt(ruleOf('attribution.significance').delay + PARAMETER_BOUNDARY))
  assert.equal(await threshold(), 5_000n)
})
