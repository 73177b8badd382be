import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import {
  createTestClient,
  encodeFunctionData,
  http,
  publicActions,
  walletActions,
  type TransactionReceipt,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from 'viem/accounts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { keccak, lowerCase, type Hex } from '#protocol/bytes.ts'
import { parameterKey, type ParameterName, type ParameterValues } from '#protocol/parameters.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { startDaServer } from '#stack/da-server.ts'
import type { Account } from '../accounts/account.ts'
import type { Env } from '../env.ts'
import { INBOXES as COUNT, inboxName } from '../settlement/epoch-tables.ts'
import type { ReceiptBatcher } from '../settlement/receipt-batcher.ts'
import type { ReceiptInbox } from '../settlement/receipt-inbox.ts'
import { RICH_KEY, startChain } from './chain.ts'
import { eventually, startEdge } from './harness.ts'
import { startPostgres } from './postgres.ts'
import { startProxy, type Proxy } from './proxy.ts'
import { receiptOf, sign, testParameters } from './receipts.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const WORKER_KEY = generatePrivateKey()
const worker = lowerCase(privateKeyToAddress(WORKER_KEY))
const PRICE = 10n ** 14n // one answer pays for sending a claim
/** What a settlement takes on a busy machine, at most. */
export const PATIENT_MS = 90_000
/** The account that the receipts of a test are for. */
const ACCOUNT = 'acct_test'

export type Settlement = Awaited<ReturnType<typeof startSettlement>>

/**
 * An edge with epochs of a second, a chain, a DA server and a ledger; chain and DA server behind proxies that lose what
 * a test says. End it with `stop`.
 */
export async function startSettlement(vars: Record<string, string> = {}) {
  const [chain, postgres] = await Promise.all([startChain(), startPostgres()])
  const rpc = await startProxy(chain.rpcUrl)
  const daServer = await startDaServer(scratchFolder(), 0)
  const da = await startProxy(`http://127.0.0.1:${(daServer.address() as AddressInfo).port}`)
  const edge = await startEdge({
    ...chain.vars,
    RPC_URL: rpc.url,
    DA_URL: da.url,
    EPOCH_SECONDS: '1',
    ...vars,
  })

  const anvil = createTestClient({ mode: 'anvil', transport: http(chain.rpcUrl), cacheTime: 0 })
    .extend(publicActions)
    .extend(walletActions)
  const env = async () => (await edge.worker.getEnv()) as unknown as Env
  const succeeded = async (hash: Hex): Promise<TransactionReceipt> => {
    const receipt = await anvil.waitForTransactionReceipt({ hash })
    assert.equal(receipt.status, 'success')
    return receipt
  }

  /** Sends as somebody: the operator's key is the chain writer's while an epoch is on its way. */
  const send = async (call: { to: Hex; data: Hex; value?: bigint }) => {
    const from = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8'
    await succeeded(await anvil.sendTransaction({ ...call, account: from, chain: null }))
  }
  /** Sends as the operator, who governs in these tests, between two transactions of the chain writer. */
  const operatorSends = async (call: { to: Hex; data: Hex }) => {
    const account = privateKeyToAccount(RICH_KEY)
    await succeeded(await anvil.sendTransaction({ ...call, account, chain: null }))
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
    anvil.readContract({
      address: chain.contracts.inferenceVault,
      abi: inferenceVaultAbi,
      functionName: 'balanceOf',
      args: [payer],
    })
  const lastEpoch = async () =>
    Number(
      await anvil.readContract({
        address: chain.contracts.attributionSettlement,
        abi: attributionSettlementAbi,
        functionName: 'lastEpoch',
      }),
    )

  let counter = 0
  const newAddress = (): Hex => `0x${(++counter).toString(16).padStart(40, 'c')}`
  /** A receipt for the bare base model: the model's owner and the treasuries earn, no Datanet is needed. */
  const newReceipt = (
    payer: Hex,
    modelOwner: Hex,
    values: ParameterValues = testParameters(),
  ): Promise<SignedReceipt> => {
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
    (await env()).RECEIPTS.getByName('epochs') as unknown as DurableObjectStub<ReceiptBatcher>
  const account = async () =>
    (await env()).ACCOUNT.getByName(ACCOUNT) as unknown as DurableObjectStub<Account>
  const toInbox = async (signed: SignedReceipt) => {
    const inbox = (await env()).INBOXES.getByName(inboxName(signed.receipt.requestId))
    await (inbox as unknown as DurableObjectStub<ReceiptInbox>).append({
      signed,
      explanation: { rows: [], unattributed: 0, attributionMs: 0 },
      accountId: ACCOUNT,
      manifests: [],
      answer: { windows: [], givenAt: 0 },
    })
  }
  /** Keeps receipts and what is owed for them, as the inference route does. */
  const append = async (...receipts: SignedReceipt[]) => {
    for (const signed of receipts) {
      await toInbox(signed)
      await (await account()).owe(signed.receipt.requestId, signed.receipt.fee)
    }
  }
  /** Does what the scheduled sweep does for objects without an alarm. */
  const poke = async () => {
    const { INDEXER, INBOXES, RECEIPTS } = await env()
    await INDEXER.getByName('chain').poke()
    for (let i = 0; i < COUNT; i++) await INBOXES.getByName(String(i)).poke()
    await RECEIPTS.getByName('epochs').poke()
  }
  const sqlite = async <T>(query: string, ...values: unknown[]): Promise<T[]> =>
    (await (
      await edge.worker.getDurableObjectStorage('RECEIPTS', { name: 'epochs' })
    ).exec(query, ...values)) as T[]
  /** Wei that the account of these receipts still owes. */
  const owed = async (): Promise<bigint> => (await (await account()).committed()).owed

  const json = async (path: string): Promise<Record<string, unknown>> => {
    const response = await edge.fetch(path)
    assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`)
    return (await response.json()) as Record<string, unknown>
  }
  const status = async ({ receipt }: SignedReceipt) =>
    (await json(`/v1/receipts/rcp_${receipt.requestId.slice(2)}`))['status']
  /** Waits until receipts are safe, and their debts released. */
  const done = async (...receipts: SignedReceipt[]) => {
    for (const receipt of receipts)
      await eventually(
        async () => ['safe', 'final'].includes(String(await status(receipt))),
        PATIENT_MS,
      )
  }
  /** Every epoch is in the ledger, and it has no wei more or less than the chain. */
  const assertBalanced = async () => {
    const found = await eventually(async () => {
      const [now, last] = [await json('/v1/ledger/reconciliation'), await lastEpoch()]
      return now['epoch'] === last && now
    }, PATIENT_MS)
    assert.equal(found['balanced'], true, JSON.stringify(found))
  }
  /** The Worker dies and starts again on the same storage. */
  const restart = async () => {
    await edge.harness.update((options) => ({ ...options }))
    await eventually(async () => (await edge.fetch('/health').catch(() => null))?.ok)
  }
  const stop = async () => {
    await edge.harness.close()
    await Promise.all([rpc.stop(), da.stop()])
    daServer.close()
    await Promise.all([postgres.stop(), chain.stop()])
  }

  await poke()
  return {
    chain,
    rpc,
    da,
    postgres,
    edge,
    anvil,
    send,
    operatorSends,
    govern,
    deposit,
    balanceOf,
    lastEpoch,
    newAddress,
    newReceipt,
    batcher,
    toInbox,
    append,
    poke,
    sqlite,
    owed,
    json,
    status,
    done,
    assertBalanced,
    restart,
    stop,
  }
}

/** What the receipts pay of a kind. */
export const sumOf = (receipts: SignedReceipt[], part: 'fee' | 'model' | 'platform') =>
  receipts.reduce((sum, { receipt }) => sum + receipt[part], 0n)

type Decide = Parameters<Proxy['fault']>[0]

/** A fault for the first `n` requests whose body has `part`. */
export const timesOf = (part: string, n: number, fault: ReturnType<Decide>): Decide => {
  let left = n
  return (_path, body) => (body.includes(part) && left-- > 0 ? fault : 'pass')
}

/** A fault for the first `n` requests. */
export const times = (n: number, fault: ReturnType<Decide>): Decide => timesOf('', n, fault)

/** The call that sends a transaction. */
export const SENDS = 'eth_sendRawTransaction'
