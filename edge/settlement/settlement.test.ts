import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import {
  createTestClient,
  encodeFunctionData,
  http,
  parseEther,
  publicActions,
  walletActions,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from 'viem/accounts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { PARAMETERS, parameterKey, type ParameterValues } from '#protocol/parameters.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { startDaServer } from '#stack/da-server.ts'
import type { Env } from '../env.ts'
import { RICH_KEY, startChain, type Chain } from '../testing/chain.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { startProxy, type Proxy } from '../testing/proxy.ts'
import { receiptOf, sign, testParameters } from '../testing/receipts.ts'
import type { EpochRow } from './epoch-store.ts'
import type { ReceiptBatcher } from './receipt-batcher.ts'

const WORKER_KEY = generatePrivateKey()
const worker = privateKeyToAddress(WORKER_KEY).toLowerCase() as Hex
const PRICE = 10n ** 12n
const patient = 90_000

let chain: Chain
let rpc: Proxy
let da: Proxy
let daServer: Server
let daDir: string
let postgres: Postgres
let edge: Edge
before(async () => {
  ;[chain, postgres] = await Promise.all([startChain(), startPostgres()])
  rpc = await startProxy(chain.rpcUrl)
  daDir = mkdtempSync(join(tmpdir(), 'openledger-da-'))
  daServer = await startDaServer(daDir, 0)
  da = await startProxy(`http://127.0.0.1:${(daServer.address() as AddressInfo).port}`)
  edge = await startEdge({ ...chain.vars, RPC_URL: rpc.url, DA_URL: da.url, EPOCH_SECONDS: '1' })
})
after(async () => {
  await edge?.harness.close()
  await Promise.all([rpc?.stop(), da?.stop()])
  daServer?.close()
  await Promise.all([postgres?.stop(), chain?.stop()])
  if (daDir) rmSync(daDir, { recursive: true })
})

const anvil = () =>
  createTestClient({ mode: 'anvil', transport: http(chain.rpcUrl), cacheTime: 0 })
    .extend(publicActions)
    .extend(walletActions)
const rich = privateKeyToAccount(RICH_KEY)

async function send(call: { to: Hex; data: Hex; value?: bigint }): Promise<void> {
  // The operator's key is the chain writer's while an epoch is on its way, so others pay with an account of their own.
  const from = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8'
  const hash = await anvil().sendTransaction({ ...call, account: from, chain: null })
  const receipt = await anvil().waitForTransactionReceipt({ hash })
  assert.equal(receipt.status, 'success')
}

const deposit = (payer: Hex, value: bigint) =>
  send({
    to: chain.contracts.inferenceVault,
    data: encodeFunctionData({ abi: inferenceVaultAbi, functionName: 'deposit', args: [payer] }),
    value,
  })

const balanceOf = (payer: Hex) =>
  anvil().readContract({
    address: chain.contracts.inferenceVault,
    abi: inferenceVaultAbi,
    functionName: 'balanceOf',
    args: [payer],
  })

let counter = 0
const newAddress = (): Hex => `0x${(++counter).toString(16).padStart(40, 'c')}`

/** A receipt for the bare base model: the model's owner and the treasuries earn, no Datanet is needed. */
async function newReceipt(
  payer: Hex,
  modelOwner: Hex,
  values: ParameterValues = testParameters(),
): Promise<SignedReceipt> {
  const said = {
    requestId: keccak(`request ${++counter}`),
    payer,
    base: keccak('base'),
    modelOwner,
    pricePerToken: PRICE,
    promptTokens: 10 + (counter % 7),
    completionTokens: 20,
    output: 'text',
    values,
  }
  return sign(WORKER_KEY, receiptOf(said, worker), {
    chainId: 901612,
    settlement: chain.contracts.attributionSettlement,
  })
}

const batcher = async () =>
  ((await edge.worker.getEnv()) as unknown as Env).RECEIPTS.getByName(
    'epochs',
  ) as unknown as DurableObjectStub<ReceiptBatcher>

async function append(...receipts: SignedReceipt[]): Promise<void> {
  for (const signed of receipts)
    await (
      await batcher()
    ).append({
      signed,
      explanation: { rows: [], unattributed: 0, attributionMs: 0 },
      accountId: 'acct_test',
      manifests: [],
    })
}

const sqlite = async <T>(query: string, ...values: unknown[]): Promise<T[]> =>
  (await (
    await edge.worker.getDurableObjectStorage('RECEIPTS', { name: 'epochs' })
  ).exec(query, ...values)) as T[]

const done = (...receipts: SignedReceipt[]) =>
  eventually(async () => {
    const [open] = await sqlite<{ n: number }>(
      `SELECT COUNT(*) AS n FROM receipt LEFT JOIN epoch USING (epoch)
       WHERE request_id IN (SELECT value FROM json_each(?)) AND coalesce(state, 'open') <> 'done'`,
      JSON.stringify(receipts.map(({ receipt }) => receipt.requestId)),
    )
    return open?.n === 0
  }, patient)

const json = async (path: string): Promise<Record<string, unknown>> => {
  const response = await edge.fetch(path)
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`)
  return (await response.json()) as Record<string, unknown>
}

async function assertBalanced(): Promise<void> {
  const found = await eventually(async () => {
    const now = await json('/v1/ledger/reconciliation')
    const chainSide = now['chain'] as { last_epoch: number }
    return chainSide.last_epoch === now['epoch'] && now
  })
  assert.equal(found['balanced'], true, JSON.stringify(found))
}

const sumOf = (receipts: SignedReceipt[], part: 'fee' | 'model' | 'platform') =>
  receipts.reduce((sum, { receipt }) => sum + receipt[part], 0n)

/** The Worker dies and starts again on the same storage. */
const restart = () => edge.harness.update((options) => ({ ...options }))

test('receipts become an epoch on chain, in the ledger and in the claims of those who earned', async () => {
  const [alice, owner] = [newAddress(), newAddress()]
  await deposit(alice, parseEther('1'))
  const receipts = [await newReceipt(alice, owner), await newReceipt(alice, owner)]
  await append(...receipts)
  const id = `rcp_${receipts[0]!.receipt.requestId.slice(2)}`
  assert.equal((await json(`/v1/receipts/${id}`))['status'], 'open')
  await done(...receipts)

  assert.equal(await balanceOf(alice), parseEther('1') - sumOf(receipts, 'fee'))
  await assertBalanced()
  const final = await eventually(async () => {
    const view = await json(`/v1/receipts/${id}`)
    return view['status'] === 'final' && view
  })
  assert.equal(final['explanation'], undefined, 'explanations are for the payer only')
  const proof = await json(`/v1/receipts/${id}/proof`)
  const onChain = await anvil().readContract({
    address: chain.contracts.attributionSettlement,
    abi: attributionSettlementAbi,
    functionName: 'epochs',
    args: [BigInt(proof['epoch'] as number)],
  })
  assert.equal(proof['root'], onChain.receiptsRoot)

  const rewards = await json(`/v1/rewards/${owner}`)
  assert.equal(rewards['claimable'], sumOf(receipts, 'model').toString())
  await send(rewards['claim'] as { to: Hex; data: Hex })
  assert.equal(await anvil().getBalance({ address: owner }), sumOf(receipts, 'model'))
  const afterwards = await json(`/v1/rewards/${owner}`)
  assert.equal(afterwards['claimable'], '0')
  assert.equal(afterwards['claimed'], sumOf(receipts, 'model').toString())
  assert.equal(afterwards['claim'], null)
  await assertBalanced()
})

test('whatever is lost or dies on the way, every receipt is settled exactly once', async () => {
  const [payer, owner] = [newAddress(), newAddress()]
  await deposit(payer, parseEther('1'))
  const all: SignedReceipt[] = []
  const faults: [string, () => void][] = [
    ['the DA layer is full', () => da.fault(times(3, { status: 503 }))],
    ['the DA layer takes it, the answer is lost', () => da.fault(times(1, 'lose-answer'))],
    ['the chain takes it, the answer is lost', () => rpc.fault(timesOf(SENDS, 2, 'lose-answer'))],
    ['the chain never hears of it', () => rpc.fault(timesOf(SENDS, 2, 'lose-request'))],
    ['the chain is away', () => rpc.fault(times(20, 'lose-request'))],
  ]
  for (const [name, arm] of faults) {
    const batch = [await newReceipt(payer, owner), await newReceipt(payer, owner)]
    all.push(...batch)
    arm()
    await append(...batch, batch[0]!)
    // Dies in the middle, at whatever step the fault has it, and is woken more often than it needs.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    await restart()
    for (let i = 0; i < 3; i++) await (await batcher()).poke()
    await done(...batch)
    ;[da, rpc].forEach((proxy) => proxy.fault(() => 'pass'))
    assert.equal(await balanceOf(payer), parseEther('1') - sumOf(all, 'fee'), name)
  }
  await assertBalanced()
  const epochs = await sqlite<EpochRow>('SELECT * FROM epoch')
  const settled = await anvil().readContract({
    address: chain.contracts.attributionSettlement,
    abi: attributionSettlementAbi,
    functionName: 'lastEpoch',
  })
  assert.equal(epochs.length, Number(settled))
  assert.ok(epochs.every(({ state }) => state === 'done'))
})

test('a ledger that is down is caught up with later', async () => {
  const [payer, owner] = [newAddress(), newAddress()]
  await deposit(payer, parseEther('1'))
  await postgres.db.exec('ALTER TABLE ledger_transaction RENAME TO hidden')
  const receipt = await newReceipt(payer, owner)
  await append(receipt)
  await eventually(async () => {
    const [row] = await sqlite<EpochRow>(
      `SELECT * FROM epoch WHERE state = 'settled' AND error IS NOT NULL`,
    )
    return row?.error?.includes('ledger_transaction')
  }, patient)
  assert.equal((await edge.fetch('/v1/ledger/reconciliation')).status, 503)
  await postgres.db.exec('ALTER TABLE hidden RENAME TO ledger_transaction')
  await done(receipt)
  await assertBalanced()
})

test('a request that has a receipt takes no other one', async () => {
  const payer = newAddress()
  await deposit(payer, parseEther('1'))
  const [first, second] = [
    await newReceipt(payer, newAddress()),
    await newReceipt(payer, newAddress()),
  ]
  await append(first, first)
  const forged = { ...second, receipt: { ...second.receipt, requestId: first.receipt.requestId } }
  await assert.rejects(append(forged))
  await done(first)
  assert.equal(await balanceOf(payer), parseEther('1') - first.receipt.fee)
})

test('who cannot pay any more is set aside and holds nobody up, and is settled after a deposit', async () => {
  const [poor, solvent, owner] = [newAddress(), newAddress(), newAddress()]
  await deposit(solvent, parseEther('1'))
  const [unpaid, paid] = [await newReceipt(poor, owner), await newReceipt(solvent, owner)]
  await append(unpaid, paid)
  await done(paid)
  assert.equal(await balanceOf(solvent), parseEther('1') - paid.receipt.fee)
  const state = (await json('/v1/ledger/reconciliation'))['settlement'] as { insolvent: Hex[] }
  assert.deepEqual(state.insolvent, [poor])
  await deposit(poor, parseEther('1'))
  await (await batcher()).poke()
  await done(unpaid)
  assert.equal(await balanceOf(poor), parseEther('1') - unpaid.receipt.fee)
  await assertBalanced()
})

test('receipts made under different governed numbers go into different epochs', async () => {
  const [payer, owner] = [newAddress(), newAddress()]
  await deposit(payer, parseEther('1'))
  const before = await newReceipt(payer, owner)
  const key = parameterKey('attribution.topK')
  const hash = await anvil().sendTransaction({
    account: rich,
    chain: null,
    to: chain.contracts.parameters,
    data: encodeFunctionData({ abi: parametersAbi, functionName: 'set', args: [key, 17n] }),
  })
  await anvil().waitForTransactionReceipt({ hash })
  const after = await newReceipt(payer, owner, { ...testParameters(), 'attribution.topK': 17n })
  await append(before, after)
  await done(before, after)
  const rows = await sqlite<{ epoch: number; params_hash: Hex }>(
    'SELECT e.epoch, e.params_hash FROM receipt r JOIN epoch e USING (epoch) WHERE payer = ? ORDER BY seq',
    payer,
  )
  assert.deepEqual(
    rows.map(({ params_hash }) => params_hash),
    [before.receipt.paramsHash, after.receipt.paramsHash],
  )
  assert.notEqual(rows[0]!.epoch, rows[1]!.epoch)
  const governed = (await json('/v1/parameters')) as { params_hash: Hex; values: object }
  assert.equal(governed.params_hash, after.receipt.paramsHash)
  assert.deepEqual((governed.values as Record<string, object>)['attribution.topK'], {
    value: '17',
    min: PARAMETERS['attribution.topK'].min.toString(),
    max: PARAMETERS['attribution.topK'].max.toString(),
    default: PARAMETERS['attribution.topK'].value.toString(),
  })
  await assertBalanced()
  assert.ok(
    BigInt((await json(`/v1/rewards/${chain.contracts.openTimelock}`))['cumulative'] as string) >
      0n,
  )
})

const SENDS = 'eth_sendRawTransaction'
type Decide = Parameters<Proxy['fault']>[0]
const timesOf = (part: string, n: number, fault: ReturnType<Decide>): Decide => {
  let left = n
  return (_path, body) => (body.includes(part) && left-- > 0 ? fault : 'pass')
}
const times = (n: number, fault: ReturnType<Decide>): Decide => timesOf('', n, fault)
