import assert from 'node:assert/strict'
import test, { after, before, beforeEach } from 'node:test'
import { createTestClient, encodeFunctionData, http, publicActions, walletActions } from 'viem'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { Env } from '../env.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { startProxy, type Proxy } from '../testing/proxy.ts'

const PAYER_WALLET = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8' // anvil's second account
const SAFE_BLOCKS = 4 // anvil's --slots-in-an-epoch: safe is so many blocks behind, final twice as many

let chain: Chain
let rpc: Proxy
let postgres: Postgres
let edge: Edge
before(async () => {
  ;[chain, postgres] = await Promise.all([startChain(), startPostgres()])
  rpc = await startProxy(chain.rpcUrl)
  edge = await startEdge({ ...chain.vars, RPC_URL: rpc.url, INDEX_SECONDS: '1' })
  await poke()
})
beforeEach(async () => {
  rpc?.fault(() => 'pass')
  await reaches('following')
})
after(async () => {
  await edge?.harness.close()
  await rpc?.stop()
  await Promise.all([postgres?.stop(), chain?.stop()])
})

const anvil = () =>
  createTestClient({ mode: 'anvil', transport: http(chain.rpcUrl), cacheTime: 0 })
    .extend(publicActions)
    .extend(walletActions)

async function poke(): Promise<void> {
  await ((await edge.worker.getEnv()) as unknown as Env).INDEXER.getByName('chain').poke()
}

type ChainState = {
  state: string
  error: string | null
  heads: { latest: number; safe: number; final: number }
  posted: number
}
type ChainEvent = { event: string; status: string; block_number: number; tx_hash: Hex }

const json = async <T>(path: string): Promise<T> => {
  const response = await edge.fetch(path)
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`)
  return (await response.json()) as T
}
const state = () => json<ChainState>('/v1/chain')
const eventsOf = async (account: Hex) =>
  (await json<{ data: ChainEvent[] }>(`/v1/chain/events?account=${account}`)).data

let counter = 0
const newAddress = (): Hex => `0x${(++counter).toString(16).padStart(40, 'd')}`

/** Pays one wei into the vault for an account. */
async function deposit(account: Hex): Promise<{ hash: Hex; block: number }> {
  const hash = await anvil().sendTransaction({
    account: PAYER_WALLET,
    chain: null,
    to: chain.contracts.inferenceVault,
    value: 1n,
    data: encodeFunctionData({ abi: inferenceVaultAbi, functionName: 'deposit', args: [account] }),
  })
  const { blockNumber } = await anvil().waitForTransactionReceipt({ hash })
  return { hash, block: Number(blockNumber) }
}

/** Prepaid wei of an account in the ledger. */
async function prepaid(account: Hex): Promise<number> {
  const [row] = await postgres.query<{ wei: number }>(
    `SELECT coalesce(sum(amount), 0)::int AS wei FROM ledger_entry JOIN ledger_account a ON a.id = account_id
     WHERE kind = 'payer' AND address = $1`,
    account,
  )
  return row!.wei
}

const statusOf = (account: Hex, status: string) =>
  eventually(async () => {
    const [event] = await eventsOf(account)
    return event?.status === status && event
  })

const ask = async <T>(method: string, params: unknown[]): Promise<T> =>
  (await anvil().request({ method, params } as never)) as T

/** Replaces the newest blocks by empty ones, and drops what was in them. */
async function reorg(depth: number, hash: Hex): Promise<void> {
  await ask('anvil_reorg', [depth, []])
  await anvil().dropTransaction({ hash })
}

test('a deposit is pending in its block, credited when that is safe, and then final', async () => {
  const account = newAddress()
  const { hash, block } = await deposit(account)
  const pending = await statusOf(account, 'pending')
  assert.deepEqual([pending.tx_hash, pending.block_number], [hash, block])
  assert.equal(await prepaid(account), 0)
  await statusOf(account, 'safe')
  await eventually(async () => (await prepaid(account)) === 1)
  assert.ok((await state()).posted >= block)
  await statusOf(account, 'final')
  const events = await json<{ data: ChainEvent[]; has_more: boolean }>(
    '/v1/chain/events?contract=inferenceVault&event=Deposited&limit=1',
  )
  assert.equal(events.data.length, 1)
})

test('a reorg takes back what was pending, and what is mined again is credited once', async () => {
  const account = newAddress()
  const { hash, block } = await deposit(account)
  await statusOf(account, 'pending')
  const raw = await ask<Hex>('eth_getRawTransactionByHash', [hash])
  const depth = Number(await anvil().getBlockNumber()) - block + 1
  await reorg(depth, hash)
  await eventually(async () => (await eventsOf(account)).length === 0)
  await anvil().sendRawTransaction({ serializedTransaction: raw })
  await statusOf(account, 'safe')
  await eventually(async () => (await prepaid(account)) === 1)
})

test('a reorg below the safe head reverses what was credited', async () => {
  const account = newAddress()
  const { hash, block } = await deposit(account)
  await eventually(async () => (await prepaid(account)) === 1)
  const depth = Number(await anvil().getBlockNumber()) - block + 1
  assert.ok(depth > SAFE_BLOCKS)
  await reorg(depth, hash)
  await eventually(async () => (await prepaid(account)) === 0)
  assert.deepEqual(await eventsOf(account), [])
  const rows = await postgres.query(
    `SELECT FROM ledger_transaction t JOIN ledger_transaction r ON r.natural_key = t.id::text
     WHERE t.details ->> 'account' = $1 AND r.kind = 'reversal'`,
    account,
  )
  assert.equal(rows.length, 1, 'taken back by a posting of its own, not erased')
})

test('a node of another chain is not believed', async () => {
  rpc.fault((_path, body) => (body.includes('eth_chainId') ? answered('0x1') : 'pass'))
  const found = await reaches('wrong-chain')
  assert.match(found.error!, /serves chain 1, not 901612/)
  const { latest } = (await state()).heads
  await new Promise((resolve) => setTimeout(resolve, 2_500))
  assert.equal((await state()).heads.latest, latest)
})

test('a node that is away is waited for, and nothing is missed meanwhile', async () => {
  const account = newAddress()
  rpc.fault(() => 'lose-request')
  await reaches('unreachable')
  await deposit(account)
  rpc.fault(() => 'pass')
  await eventually(async () => (await prepaid(account)) === 1)
})

test('logs that do not belong to their block are not believed', async () => {
  const account = newAddress()
  const logs = await ask<Record<string, unknown>[]>('eth_getLogs', [
    { address: chain.contracts.inferenceVault, fromBlock: '0x0', toBlock: 'latest' },
  ])
  // An old deposit that pretends to be in every range that is asked for.
  rpc.fault((_path, body) => {
    const asked = JSON.parse(body) as { method: string; params: [{ fromBlock?: Hex }] }
    if (asked.method !== 'eth_getLogs') return 'pass'
    return answered([{ ...logs[0]!, blockNumber: asked.params[0].fromBlock }])
  })
  const found = await reaches('inconsistent')
  assert.match(found.error!, /is not of block/)
  rpc.fault(() => 'pass')
  await deposit(account)
  await eventually(async () => (await prepaid(account)) === 1)
})

test('logs that a node leaves out are asked for again', async () => {
  const account = newAddress()
  rpc.fault((_path, body) =>
    body.includes('eth_getLogs') && body.includes('fromBlock') ? answered([]) : 'pass',
  )
  await deposit(account)
  const found = await reaches('inconsistent')
  assert.match(found.error!, /were left out/)
  rpc.fault(() => 'pass')
  await eventually(async () => (await prepaid(account)) === 1)
})

test('a node that has fallen behind denies nothing', async () => {
  const account = newAddress()
  await deposit(account)
  await statusOf(account, 'pending')
  const behind = Number(await anvil().getBlockNumber()) - 2
  const old = await ask('eth_getBlockByNumber', [`0x${behind.toString(16)}`, false])
  const stale = reaches('stale')
  rpc.fault((_path, body) =>
    /eth_getBlockByNumber","params":\["latest"/.test(body) ? answered(old) : 'pass',
  )
  await stale
  rpc.fault(() => 'pass')
  await eventually(async () => (await prepaid(account)) === 1)
})

test('a node that allows few blocks at a time is asked for fewer', async () => {
  const account = newAddress()
  let [refused, most] = [0, 0]
  rpc.fault((_path, body) => {
    const asked = JSON.parse(body) as { method: string; params: [{ fromBlock: Hex; toBlock: Hex }] }
    if (asked.method !== 'eth_getLogs' || !asked.params[0].fromBlock) return 'pass'
    const blocks = Number(asked.params[0].toBlock) - Number(asked.params[0].fromBlock) + 1
    if (blocks <= 3) {
      most = Math.max(most, blocks)
      return 'pass'
    }
    refused++
    const error = { code: -32005, message: 'query exceeds max block range 3' }
    return { status: 200, body: JSON.stringify({ jsonrpc: '2.0', id: 1, error }) }
  })
  await anvil().mine({ blocks: 20 })
  await deposit(account)
  await eventually(async () => (await prepaid(account)) === 1)
  rpc.fault(() => 'pass')
  assert.ok(refused > 0)
  assert.ok(most > 1, 'no fewer than it allows')
})

test('an indexer that dies goes on where it was', async () => {
  const accounts = [newAddress(), newAddress()]
  await deposit(accounts[0]!)
  await edge.harness.update((options) => ({ ...options }))
  await deposit(accounts[1]!)
  await poke()
  for (const account of accounts) await eventually(async () => (await prepaid(account)) === 1)
})

const answered = (result: unknown) => ({
  status: 200,
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, result }),
})
/** Waits until the index is in a state. */
async function reaches(name: string): Promise<ChainState> {
  let now: ChainState | undefined
  try {
    return await eventually(async () => (now = await state()).state === name && now, 30_000)
  } catch {
    throw new Error(`the index is not ${name} but ${now?.state}: ${now?.error}`)
  }
}
