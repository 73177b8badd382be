import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createWalletClient, http, parseEther, publicActions } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import type { Hex } from '#protocol/bytes.ts'
import { BASE, BASE_PRICE, baseOwner, prepay, registerBase } from '../testing/adapter.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import { registerGpuWorker, startGpuWorker, type GpuWorker } from '../testing/gpu-worker.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { testParameters } from '../testing/receipts.ts'
import { signIn } from '../testing/wallet.ts'
import type { Env } from '../env.ts'

// Anvil's third account: rich, and nobody else's in these tests.
const voter = privateKeyToAccount(
  '0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a',
)
const CHANGED = 5_000n

let chain: Chain
let postgres: Postgres
let worker: GpuWorker
let edge: Edge
before(async () => {
  ;[chain, postgres] = await Promise.all([
    startChain({
      votingDelay: 1n,
      votingPeriod: 12n,
      lateQuorumExtension: 1n,
      timelockDelay: 2n,
      proposalThreshold: parseEther('1'),
      minimumSupply: parseEther('10'),
    }),
    startPostgres(),
  ])
  await registerBase(chain)
  edge = await startEdge({ ...chain.vars, INDEX_SECONDS: '1', EPOCH_SECONDS: '3600' })
  const { INDEXER } = (await edge.worker.getEnv()) as unknown as Env
  await INDEXER.getByName('chain').poke()
})
after(async () => {
  await edge?.harness.close()
  await worker?.stop()
  await Promise.all([postgres?.stop(), chain?.stop()])
})

type Call = { to: Hex; data: Hex }
async function send(call: Call, value = 0n): Promise<void> {
  const wallet = createWalletClient({ account: voter, transport: http(chain.rpcUrl) }).extend(
    publicActions,
  )
  const hash = await wallet.sendTransaction({ ...call, value, chain: null })
  const { status } = await wallet.waitForTransactionReceipt({ hash })
  assert.equal(status, 'success')
}

const get = async <T>(path: string): Promise<T> => {
  const response = await edge.fetch(path)
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`)
  return (await response.json()) as T
}
const propose = (parameter: string, value: string) =>
  edge.fetch('/v1/governance/proposals', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ description: `Set ${parameter}`, changes: [{ parameter, value }] }),
  })

type Proposal = {
  id: string
  state: string
  votes: { for: string; quorum: string }
  actions: { contract: string; change: { parameter: string; value: string } | null }[]
  calls: Record<'vote_for' | 'queue' | 'execute', Call>
}
type Parameters = {
  params_hash: Hex
  values: Record<string, { value: string; proposed: { value: string; state: string }[] }>
}

test('a change that is out of bounds or of nothing is refused by name', async () => {
  for (const [parameter, value] of [
    ['attribution.significance', '999999'],
    ['attribution.nonsense', '1'],
  ] as const) {
    const response = await propose(parameter, value)
    assert.equal(response.status, 400)
    assert.match(await response.text(), new RegExp(parameter.replace('.', '\\.')))
  }
  assert.equal((await edge.fetch('/v1/governance/proposals/123')).status, 404)
})

test('the attribution threshold is proposed, voted, queued and executed from the API, and rules the next receipts', async () => {
  const account = voter.address.toLowerCase()
  const { calls } = await get<{ calls: { wrap: Call } }>(`/v1/governance/voters/${account}`)
  await send(calls.wrap, parseEther('20'))
  const { votes } = await get<{ votes: string }>(`/v1/governance/voters/${account}`)
  assert.equal(votes, parseEther('20').toString())

  const drafted = await propose('attribution.significance', CHANGED.toString())
  const { propose: call } = (await drafted.json()) as { propose: Call }
  await new Promise((resolve) => setTimeout(resolve, 1_500)) // votes count from the block before
  await send(call)
  const reaches = async (state: string): Promise<Proposal> => {
    let seen: Proposal | undefined
    try {
      return await eventually(async () => {
        seen = (await get<{ data: Proposal[] }>('/v1/governance/proposals')).data[0]
        return seen?.state === state && seen
      }, 30_000)
    } catch {
      throw new Error(`the proposal is not ${state} but ${seen?.state}`)
    }
  }
  const active = await reaches('active')
  assert.deepEqual(active.actions[0]!.change, {
    parameter: 'attribution.significance',
    value: CHANGED.toString(),
  })
  const during = await get<Parameters>('/v1/parameters')
  assert.equal(during.values['attribution.significance']!.proposed[0]!.state, 'active')
  await send(active.calls.vote_for)
  const succeeded = await reaches('succeeded')
  assert.equal(succeeded.votes.for, parseEther('20').toString())
  await send(succeeded.calls.queue)
  const queued = await reaches('queued')
  await eventually(async () => {
    try {
      await send(queued.calls.execute)
      return true
    } catch {
      return false // its delay is not over yet
    }
  })
  await reaches('executed')
  const values = { ...testParameters(), 'attribution.significance': CHANGED }
  const inForce = await eventually(async () => {
    const now = await get<Parameters>('/v1/parameters')
    return now.values['attribution.significance']!.value === CHANGED.toString() && now
  })
  assert.deepEqual(inForce.values['attribution.significance']!.proposed, [])

  worker = await startGpuWorker(
    { chainId: 901612, settlement: chain.contracts.attributionSettlement },
    () => ({ modelOwner: baseOwner, pricePerToken: BASE_PRICE, values }),
  )
  await registerGpuWorker(edge, worker, BASE)
  const payer = await signIn(edge)
  await prepay(chain, payer.address, parseEther('1'))
  const answered = await edge.fetch('/v1/completions', {
    method: 'POST',
    headers: { ...payer.headers, 'content-type': 'application/json' },
    body: JSON.stringify({ model: BASE.name, prompt: 'Once', max_tokens: 8 }),
  })
  assert.equal(answered.status, 200, await answered.clone().text())
  const { openledger } = (await answered.json()) as { openledger: { receipt_id: string } }
  const { receipt } = await get<{ receipt: { paramsHash: Hex } }>(
    `/v1/receipts/${openledger.receipt_id}`,
  )
  assert.equal(receipt.paramsHash, inForce.params_hash)
})
