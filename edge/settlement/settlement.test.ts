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
import {
  PARAMETERS,
  parameterKey,
  type ParameterName,
  type ParameterValues,
} from '#protocol/parameters.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { startDaServer } from '#stack/da-server.ts'
import type { Account } from '../accounts/account.ts'
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
const PLATFORM: Hex = `0x${'0a'.repeat(20)}`
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
  await poke()
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

/** Sends as the operator, who governs in these tests, between two transactions of the chain writer. */
async function operatorSends(call: { to: Hex; data: Hex }): Promise<void> {
  const hash = await anvil().sendTransaction({ ...call, account: rich, chain: null })
  const { status } = await anvil().waitForTransactionReceipt({ hash })
  assert.equal(status, 'success')
}

const govern = (name: ParameterName, value: bigint) =>
  operatorSends({
    to: chain.contracts.parameters,
    data: encodeFunctionData({
      abi: parametersAbi,
      functionName: 'set',
      args: [parameterKey(name), value],
    }),
  })

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

/** Does what the scheduled sweep does for objects without an alarm. */
async function poke(): Promise<void> {
  const { INDEXER, RECEIPTS } = (await edge.worker.getEnv()) as unknown as Env
  await INDEXER.getByName('chain').poke()
  await RECEIPTS.getByName('epochs').poke()
}

const sqlite = async <T>(query: string, ...values: unknown[]): Promise<T[]> =>
  (await (
    await edge.worker.getDurableObjectStorage('RECEIPTS', { name: 'epochs' })
  ).exec(query, ...values)) as T[]

/** Wei that the account of these receipts still owes. */
async function owed(): Promise<bigint> {
  const account = ((await edge.worker.getEnv()) as unknown as Env).ACCOUNT.getByName('acct_test')
  return (await (account as unknown as DurableObjectStub<Account>).committed()).owed
}

const done = (...receipts: SignedReceipt[]) =>
  eventually(async () => {
    const [open] = await sqlite<{ n: number }>(
      `SELECT COUNT(*) AS n FROM receipt LEFT JOIN epoch USING (epoch)
       WHERE request_id IN (SELECT value FROM json_each(?)) AND coalesce(state, 'open') NOT IN ('safe', 'final')`,
      JSON.stringify(receipts.map(({ receipt }) => receipt.requestId)),
    )
    return open?.n === 0
  }, patient)

const json = async (path: string): Promise<Record<string, unknown>> => {
  const response = await edge.fetch(path)
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`)
  return (await response.json()) as Record<string, unknown>
}

/** Every epoch is in the ledger, and it has no wei more or less than the chain. */
async function assertBalanced(): Promise<void> {
  const found = await eventually(async () => {
    const [now, last] = [await json('/v1/ledger/reconciliation'), await lastEpoch()]
    return now['epoch'] === last && now
  })
  assert.equal(found['balanced'], true, JSON.stringify(found))
}

const lastEpoch = async () =>
  Number(
    await anvil().readContract({
      address: chain.contracts.attributionSettlement,
      abi: attributionSettlementAbi,
      functionName: 'lastEpoch',
    }),
  )

const sumOf = (receipts: SignedReceipt[], part: 'fee' | 'model' | 'platform') =>
  receipts.reduce((sum, { receipt }) => sum + receipt[part], 0n)

/** The Worker dies and starts again on the same storage. */
async function restart(): Promise<void> {
  await edge.harness.update((options) => ({ ...options }))
  await eventually(async () => (await edge.fetch('/health').catch(() => null))?.ok)
}

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
    for (let i = 0; i < 3; i++) await poke()
    await done(...batch)
    ;[da, rpc].forEach((proxy) => proxy.fault(() => 'pass'))
    assert.equal(await balanceOf(payer), parseEther('1') - sumOf(all, 'fee'), name)
  }
  await assertBalanced()
  const epochs = await sqlite<EpochRow>('SELECT * FROM epoch')
  assert.equal(epochs.length, await lastEpoch())
  assert.ok(epochs.every(({ state }) => state === 'safe' || state === 'final'))
})

test('a ledger that is down is caught up with later, and holds no epoch up', async () => {
  const [payer, owner] = [newAddress(), newAddress()]
  await deposit(payer, parseEther('1'))
  await postgres.query('ALTER TABLE chain_head RENAME TO hidden')
  const receipt = await newReceipt(payer, owner)
  await append(receipt)
  await done(receipt)
  assert.equal((await edge.fetch('/v1/ledger/reconciliation')).status, 503)
  await postgres.query('ALTER TABLE hidden RENAME TO chain_head')
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
  await govern('attribution.topK', 17n)
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
    proposed: [],
  })
  await assertBalanced()
  assert.ok(BigInt((await json(`/v1/rewards/${PLATFORM}`))['cumulative'] as string) > 0n)
})

test('a disabled epoch is refunded, undone and settled again without its faulty receipt', async () => {
  const [payer, owner] = [newAddress(), newAddress()]
  await deposit(payer, parseEther('1'))
  const [honest, faulty] = [await newReceipt(payer, owner), await newReceipt(payer, owner)]
  await govern('settlement.window', 600n)
  await append(honest, faulty)
  await done(honest, faulty)
  assert.equal(await balanceOf(payer), parseEther('1') - sumOf([honest, faulty], 'fee'))

  await (await batcher()).refuse(faulty.receipt.requestId, 'a score that its vectors do not have')
  const [{ epoch: disabled }] = (await sqlite<EpochRow>(
    'SELECT MAX(epoch) AS epoch FROM epoch',
  )) as [EpochRow]
  await operatorSends({
    to: chain.contracts.attributionSettlement,
    data: encodeFunctionData({
      abi: attributionSettlementAbi,
      functionName: 'disable',
      args: [BigInt(disabled)],
    }),
  })
  await govern('settlement.window', 2n)
  await poke()
  await eventually(async () => (await owed()) === honest.receipt.fee, patient)
  // Dies while its refund is on its way.
  await restart()
  await poke()
  const status = async ({ receipt }: SignedReceipt) =>
    (await json(`/v1/receipts/rcp_${receipt.requestId.slice(2)}`))['status']
  await eventually(async () => (await status(faulty)) === 'refused', patient)
  await done(honest)
  assert.equal(await balanceOf(payer), parseEther('1') - honest.receipt.fee)
  assert.equal((await json(`/v1/rewards/${owner}`))['cumulative'], honest.receipt.model.toString())
  await assertBalanced()
  assert.equal(await owed(), 0n)
})

test('the nightly comparison is kept, and names the account that a wei is missing from', async () => {
  const payer = newAddress()
  await deposit(payer, 5n)
  const newest = async () =>
    (
      await postgres.query<{ balanced: boolean; report: { differences: { payers: object[] } } }>(
        'SELECT balanced, report FROM reconciliation ORDER BY id DESC LIMIT 1',
      )
    )[0]!
  const posted = () =>
    postgres.query(`SELECT FROM ledger_account WHERE kind = 'payer' AND address = $1`, payer)
  await eventually(async () => (await posted()).length === 1)
  await edge.worker.scheduled({ cron: '17 3 * * *' })
  assert.equal((await newest()).balanced, true)
  // A wei that the ledger moved and the chain did not.
  await postgres.query(
    `WITH moved AS (INSERT INTO ledger_transaction (kind, natural_key, block, details)
       VALUES ('deposit', 'forged', 1, '{}') RETURNING id)
     INSERT INTO ledger_entry (transaction_id, account_id, amount)
     SELECT moved.id, a.id, CASE kind WHEN 'payer' THEN 1 ELSE -1 END FROM moved, ledger_account a
     WHERE a.address = $1 AND kind = 'payer' OR a.id = (SELECT min(id) FROM ledger_account WHERE kind = 'outside')`,
    payer,
  )
  await edge.worker.scheduled({ cron: '17 3 * * *' })
  const found = await newest()
  assert.equal(found.balanced, false)
  assert.deepEqual(found.report.differences.payers, [
    { account: payer, ledger: '6', chain: '5', difference: '1' },
  ])
})

const SENDS = 'eth_sendRawTransaction'
type Decide = Parameters<Proxy['fault']>[0]
const timesOf = (part: string, n: number, fault: ReturnType<Decide>): Decide => {
  let left = n
  return (_path, body) => (body.includes(part) && left-- > 0 ? fault : 'pass')
}
const times = (n: number, fault: ReturnType<Decide>): Decide => timesOf('', n, fault)
