import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import {
  createTestClient,
  encodeFunctionData,
  encodeFunctionResult,
  http,
  publicActions,
  walletActions,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { parameterKey } from '#protocol/parameters.ts'
import type { Env } from '../env.ts'
import { RICH_KEY, startChain, type Chain } from '../testing/chain.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { startProxy, type Proxy } from '../testing/proxy.ts'
import type { Attempt, OutboxEntry, OutboxRow } from './outbox.ts'
import type { ChainWriter } from './writer.ts'

const operator = privateKeyToAccount(RICH_KEY)
const name = operator.address.toLowerCase()
let chain: Chain
let proxy: Proxy
let edge: Edge
before(async () => {
  chain = await startChain()
  proxy = await startProxy(chain.rpcUrl)
  edge = await startEdge({ ...chain.vars, RPC_URL: proxy.url })
})
after(async () => {
  await edge?.harness.close()
  await proxy?.stop()
  await chain?.stop()
})

const anvil = () =>
  createTestClient({ mode: 'anvil', transport: http(chain.rpcUrl), cacheTime: 0 })
    .extend(publicActions)
    .extend(walletActions)

const writer = async () =>
  ((await edge.worker.getEnv()) as unknown as Env).CHAIN.getByName(
    name,
  ) as unknown as DurableObjectStub<ChainWriter>
const enqueue = async (entry: OutboxEntry) => (await writer()).enqueue(entry)

type Row = Pick<OutboxRow, 'status' | 'final' | 'reason' | 'error' | 'tx_hash' | 'block_number'>

const storage = () => edge.worker.getDurableObjectStorage('CHAIN', { name })
const query = async (sql: string, ...values: string[]) => (await storage()).exec(sql, ...values)
const row = async (key: string): Promise<Row> =>
  ((await query('SELECT * FROM outbox WHERE key = ?', key)) as Row[])[0]!
/** What was signed for it, the newest first. */
const attemptsOf = async (key: string) =>
  (await query('SELECT max_fee, tip FROM attempt WHERE key = ? ORDER BY rowid DESC', key)) as Pick<
    Attempt,
    'max_fee' | 'tip'
  >[]
/** How a transaction ended: in a block, or refused before it was sent. */
const outcome = (key: string) =>
  eventually(async () => {
    const now = await row(key)
    return (now.status === 'success' || (now.status === 'reverted' && now.final === 1)) && now
  }, 40_000)

let counter = 0
/** A deposit of one wei for an address of its own: what it did shows in one balance. */
function depositOf(key: string): { account: Hex; entry: OutboxEntry } {
  const account: Hex = `0x${(++counter).toString(16).padStart(40, 'a')}`
  const data = encodeFunctionData({
    abi: inferenceVaultAbi,
    functionName: 'deposit',
    args: [account],
  })
  return { account, entry: { key, to: chain.contracts.inferenceVault, data, value: '1' } }
}
/** Registers a base model; the governed fee is due. */
const registrationOf = (key: string, digest: Hex): OutboxEntry => {
  const data = encodeFunctionData({
    abi: modelRegistryAbi,
    functionName: 'registerBase',
    args: [digest, operator.address, 7n, `0x${'01'.repeat(32)}`],
  })
  return { key, to: chain.contracts.modelRegistry, data, value: 'fee.model' }
}
const deposited = (account: Hex) =>
  anvil().readContract({
    address: chain.contracts.inferenceVault,
    abi: inferenceVaultAbi,
    functionName: 'balanceOf',
    args: [account],
  })

/** The node's answer. */
const says = (result: string) => ({
  status: 200,
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, result }),
})
/** All that was sent was sent long ago. */
const age = async () => query('UPDATE attempt SET signed_at = 0')
const sends = (body: string) => body.includes('eth_sendRawTransaction')
/** The Worker dies and starts again on the same storage. */
const restart = () => edge.harness.update((options) => ({ ...options }))

test('a transaction takes effect once, however often its key is asked for', async () => {
  const { account, entry } = depositOf('test:once')
  const stub = await writer()
  await Promise.all([stub.enqueue(entry), stub.enqueue(entry), stub.enqueue(entry)])
  const done = await outcome(entry.key)
  assert.equal(done.status, 'success')
  await stub.enqueue(entry)
  await stub.poke()
  // Callers ask again and again how it stands, and an epoch's call is long.
  assert.ok(!JSON.stringify(await stub.status(entry.key)).includes(entry.data))
  assert.equal(await stub.dataOf(entry.key), entry.data)
  const receipt = await anvil().getTransactionReceipt({ hash: done.tx_hash! })
  assert.equal(Number(receipt.blockNumber), done.block_number)
  assert.equal(await deposited(account), 1n)
})

test('a key that is taken refuses another transaction', async () => {
  const { account, entry } = depositOf('test:taken')
  const stub = await writer()
  await stub.enqueue(entry)
  await assert.rejects(async () => stub.enqueue({ ...entry, value: '2' }))
  await outcome(entry.key)
  assert.equal(await deposited(account), 1n)
})

test('many at once are mined in the order they came', async () => {
  const all = Array.from({ length: 20 }, (_, i) => depositOf(`test:order-${i}`))
  const stub = await writer()
  for (const { entry } of all) await stub.enqueue(entry)
  const done: Row[] = []
  for (const { entry } of all) done.push(await outcome(entry.key))
  const nonces = await Promise.all(
    done.map(async ({ tx_hash }) => (await anvil().getTransaction({ hash: tx_hash! })).nonce),
  )
  assert.deepEqual(
    nonces,
    nonces.toSorted((a, b) => a - b),
  )
  for (const { account } of all) assert.equal(await deposited(account), 1n)
})

test('a lost request, a lost answer and a death in between still make one transaction', async () => {
  for (const fault of ['lose-request', 'lose-answer'] as const) {
    const { account, entry } = depositOf(`test:${fault}`)
    let lost = 0
    proxy.fault((_path, body) => (sends(body) && ++lost <= 2 ? fault : 'pass'))
    await enqueue(entry)
    await eventually(async () => lost > 0)
    await restart()
    await (await writer()).poke()
    assert.equal((await outcome(entry.key)).status, 'success')
    proxy.fault(() => 'pass')
    assert.equal(await deposited(account), 1n)
  }
})

test('a chain that is away for a while is waited for', async () => {
  const { account, entry } = depositOf('test:away')
  proxy.fault(() => 'lose-request')
  await enqueue(entry)
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  assert.equal((await row(entry.key)).status, 'queued')
  await restart()
  proxy.fault(() => 'pass')
  await (await writer()).poke()
  await outcome(entry.key)
  assert.equal(await deposited(account), 1n)
})

test('a transaction that would revert is refused with the contract’s own words, and its key can be used again', async () => {
  const key = 'test:revert'
  await enqueue(registrationOf(key, ZERO_HASH))
  const refused = await outcome(key)
  assert.equal(refused.status, 'reverted')
  assert.equal(refused.reason, 'ZeroValue()')
  assert.equal(refused.final, 1)
  const { account, entry } = depositOf(key)
  await enqueue(entry)
  assert.equal((await outcome(key)).status, 'success')
  assert.equal(await deposited(account), 1n)
})

test('the governed fee that was simulated is sent along, whatever is read in between', async () => {
  const [keys, numbers] = await anvil().readContract({
    address: chain.contracts.parameters,
    abi: parametersAbi,
    functionName: 'all',
  })
  const raised = numbers.map((n, i) => (keys[i] === parameterKey('fee.model') ? n + 1n : n))
  const result = encodeFunctionResult({
    abi: parametersAbi,
    functionName: 'all',
    result: [keys, raised],
  })
  let simulated = false
  proxy.fault(async (_path, body) => {
    if (body.includes('eth_estimateGas')) {
      simulated = true
      await new Promise((resolve) => setTimeout(resolve, 3_500)) // parameters are kept for 3 s
    }
    return simulated && body.toLowerCase().includes(chain.contracts.parameters.toLowerCase())
      ? says(result)
      : 'pass'
  })
  const digest: Hex = `0x${'ab'.repeat(32)}`
  const entry = registrationOf('test:fee', digest)
  await enqueue(entry)
  assert.equal((await outcome(entry.key)).status, 'success')
  proxy.fault(() => 'pass')
  const base = await anvil().readContract({
    address: entry.to,
    abi: modelRegistryAbi,
    functionName: 'baseOf',
    args: [digest],
  })
  assert.equal(base.pricePerToken, 7n)
})

test('what a reorg takes off the chain is sent again, with the same bytes', async () => {
  const { account, entry } = depositOf('test:reorg')
  await enqueue(entry)
  const first = await outcome(entry.key)
  // Replaces the newest blocks by empty ones; a node drops what was in them.
  const depth = Number(await anvil().getBlockNumber()) - first.block_number! + 1
  await anvil().request({ method: 'anvil_reorg', params: [depth, []] } as never)
  await anvil().dropTransaction({ hash: first.tx_hash! })
  const again = await eventually(async () => {
    await (await writer()).poke()
    const now = await row(entry.key)
    if (now.status !== 'success') return null
    const receipt = await anvil()
      .getTransactionReceipt({ hash: now.tx_hash! })
      .catch(() => null)
    return receipt && receipt.blockNumber === BigInt(now.block_number!) && now
  }, 30_000)
  assert.equal(again.tx_hash, first.tx_hash)
  assert.equal(await deposited(account), 1n)
})

test('a count of nonces that lags behind the receipts gives no nonce out twice', async () => {
  const first = depositOf('test:counted')
  await enqueue(first.entry)
  const { tx_hash } = await outcome(first.entry.key)
  const { nonce } = await anvil().getTransaction({ hash: tx_hash! })
  const stale = says(`0x${nonce.toString(16)}`)
  proxy.fault((_path, body) => (body.includes('eth_getTransactionCount') ? stale : 'pass'))
  const second = depositOf('test:lagging')
  await enqueue(second.entry)
  assert.equal((await outcome(second.entry.key)).status, 'success')
  proxy.fault(() => 'pass')
  assert.equal(await deposited(second.account), 1n)
})

test('a nonce that somebody else used up with the same key is not waited for', async () => {
  const { account, entry } = depositOf('test:foreign')
  // Its bytes never reach the chain, and their nonce is used by a transfer.
  proxy.fault((_path, body) => (sends(body) ? 'lose-request' : 'pass'))
  await enqueue(entry)
  await eventually(async () => (await row(entry.key)).status === 'sent')
  const hash = await anvil().sendTransaction({
    account: operator,
    chain: null,
    to: operator.address,
    value: 0n,
  })
  await anvil().waitForTransactionReceipt({ hash })
  proxy.fault(() => 'pass')
  await query('UPDATE outbox SET lost = 1000 WHERE key = ?', entry.key)
  assert.equal((await outcome(entry.key)).status, 'success')
  assert.equal(await deposited(account), 1n)
})

test('a transaction that is stuck is outbid by a dearer one with the same nonce', async () => {
  const { account, entry } = depositOf('test:stuck')
  let raws = 0
  proxy.fault((_path, body) => (sends(body) && ++raws <= 1 ? 'lose-request' : 'pass'))
  await enqueue(entry)
  await eventually(async () => raws === 1)
  await query('UPDATE attempt SET signed_at = 0, block = -1000 WHERE key = ?', entry.key)
  assert.equal((await outcome(entry.key)).status, 'success')
  const attempts = await attemptsOf(entry.key)
  assert.equal(attempts.length, 2)
  assert.ok(BigInt(attempts[0]!.tip) * 100n >= BigInt(attempts[1]!.tip) * 110n)
  assert.equal(await deposited(account), 1n)
})

test('what has a budget waits for a price that fits, and holds nobody up', async () => {
  const [dear, plain] = [depositOf('test:budget'), depositOf('test:no-budget')]
  const price = (wei: bigint) =>
    proxy.fault((_path, body) =>
      body.includes('eth_maxPriorityFeePerGas') ? says(`0x${wei.toString(16)}`) : 'pass',
    )
  price(20n * 10n ** 9n)
  const budget = (5n * 10n ** 14n).toString() // a deposit takes some 45,000 gas
  await enqueue({ ...dear.entry, budget })
  await enqueue(plain.entry)
  assert.equal((await outcome(plain.entry.key)).status, 'success')
  const waiting = await row(dear.entry.key)
  assert.equal(waiting.status, 'queued')
  assert.match(waiting.error!, /^it would cost \d+ wei, and may cost 500000000000000$/)
  price(10n ** 9n)
  assert.equal((await outcome(dear.entry.key)).status, 'success')
  proxy.fault(() => 'pass')
  assert.equal(await deposited(dear.account), 1n)
})

test('what a rollup takes for L1 data and its operator counts as cost', async () => {
  const { account, entry } = depositOf('test:rollup')
  // An oracle that answers 10^15 wei to every question.
  const oracle = '0x420000000000000000000000000000000000000F'
  const answer: Hex = `0x7f${(10n ** 15n).toString(16).padStart(64, '0')}60005260206000f3`
  await anvil().setCode({ address: oracle, bytecode: answer })
  await enqueue({ ...entry, budget: (10n ** 15n).toString() })
  const waiting = await eventually(async () => {
    const now = await row(entry.key)
    return now.error !== null && now
  })
  const [, cost] = /^it would cost (\d+) wei/.exec(waiting.error!)!
  assert.ok(BigInt(cost!) > 2n * 10n ** 15n)
  await anvil().setCode({ address: oracle, bytecode: '0x' })
  assert.equal((await outcome(entry.key)).status, 'success')
  assert.equal(await deposited(account), 1n)
})

/** Blocks come only when they are asked for, in which gas costs what is said, and then by themselves again. */
async function withoutBlocks(
  run: (mine: (baseFeePerGas: bigint, blocks: number) => Promise<void>) => Promise<void>,
): Promise<void> {
  await anvil().setIntervalMining({ interval: 0 })
  try {
    await run(async (baseFeePerGas, blocks) => {
      for (let i = 0; i < blocks; i++) {
        await anvil().setNextBlockBaseFeePerGas({ baseFeePerGas })
        await anvil().mine({ blocks: 1 })
      }
    })
  } finally {
    await anvil().setIntervalMining({ interval: 1 })
  }
}

test('when the price rises, the oldest is outbid at its nonce, up to the cap, and those behind it follow', async () => {
  const all = Array.from({ length: 3 }, (_, i) => depositOf(`test:rise-${i}`))
  const [first] = all
  const GWEI = 10n ** 9n
  await withoutBlocks(async (mine) => {
    for (const { entry } of all) await enqueue(entry)
    await eventually(async () => {
      const now = await Promise.all(all.map(({ entry }) => row(entry.key)))
      return now.every(({ status }) => status === 'sent')
    })
    // Beyond what may be offered: there is one dearer attempt, at the cap, and no more.
    await mine(200n * GWEI, 6)
    await age()
    await eventually(async () => (await attemptsOf(first!.entry.key)).length === 2)
    const [capped] = await attemptsOf(first!.entry.key)
    assert.equal(BigInt(capped!.max_fee), 100n * GWEI)
    await mine(200n * GWEI, 6)
    await age()
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    assert.equal((await attemptsOf(first!.entry.key)).length, 2)
    assert.equal((await row(first!.entry.key)).status, 'sent')
    // A price that the cap covers, and the first offer did not.
    await eventually(async () => {
      await mine(50n * GWEI, 1)
      return (await row(first!.entry.key)).status === 'success'
    })
  })
  for (const { account, entry } of all) {
    assert.equal((await outcome(entry.key)).status, 'success')
    assert.equal(await deposited(account), 1n)
  }
})

test('a gap that a node’s pool lost is filled, and those behind it are mined', async () => {
  const all = Array.from({ length: 3 }, (_, i) => depositOf(`test:gap-${i}`))
  await withoutBlocks(async () => {
    for (const { entry } of all) await enqueue(entry)
    const sent = await eventually(async () => {
      const [now] = (await query(
        `SELECT hash FROM attempt WHERE key = ? AND (SELECT count(*) FROM outbox WHERE status = 'sent') = 3`,
        all[0]!.entry.key,
      )) as { hash: Hex }[]
      return now
    })
    await anvil().dropTransaction({ hash: sent.hash })
  })
  for (const { account, entry } of all) {
    assert.equal((await outcome(entry.key)).status, 'success')
    assert.equal(await deposited(account), 1n)
  }
})
