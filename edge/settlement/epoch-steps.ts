import { encodeFunctionData } from 'viem'
import type { Hex } from '#protocol/bytes.ts'
import {
  buildEpoch,
  creditsByAccount,
  encodeEpoch,
  epochCredits,
  epochRoots,
  MAX_EPOCH_BYTES,
  type EpochFile,
} from '#protocol/epoch.ts'
import { CLOCK_SECONDS, type ReceiptDomain, type SignedReceipt } from '#protocol/receipt.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { chainClient } from '../chain/client.ts'
import { enqueueTransaction, transactionStatus } from '../chain/enqueue.ts'
import { sendRevocations } from '../datanets/revocation-calls.ts'
import { log } from '../log.ts'
import type { Env, Settings } from '../env.ts'
import { putData } from './da.ts'
import { epochBytes, keepEpochFile, readEpochFile, readPresence } from './epoch-files.ts'
import type { EpochStore } from './epoch-store.ts'
import type { EpochRow, EpochState } from './epoch-tables.ts'

/**
 * The steps an epoch takes to the chain, one external effect each. A step is entered again after a crash, so each
 * effect is idempotent: files by hash, the transaction by its outbox key. A step that throws is tried again later.
 */
export type Settlement = { env: Env; settings: Settings; store: EpochStore }

/** AttributionSettlement.MAX_DRAWS; an epoch has at most one draw per payer. */
const MAX_DRAWS = 1_000
const CLOCK_MS = Number(CLOCK_SECONDS) * 1_000
const POLL_MS = 1_000 // the EVENTS queue tells sooner; this is for messages it lost

export const receiptDomain = ({ CHAIN_ID, CONTRACTS }: Settings): ReceiptDomain => ({
  chainId: CHAIN_ID,
  settlement: CONTRACTS.attributionSettlement,
})

/** Outbox key of an epoch's transaction: a disabled epoch's number is submitted again with another file. */
export const epochTxKey = ({ epoch, data_hash }: Pick<EpochRow, 'epoch' | 'data_hash'>) =>
  `epoch:${epoch}:${data_hash}`

/** Closes the next epoch over the waiting receipts, as many as its file and its transaction can carry. */
export async function buildNextEpoch(settlement: Settlement): Promise<void> {
  const { env, settings, store } = settlement
  const lastEpoch = store.lastEpoch()
  const disabled = store.disabled()
  if (disabled) throw new Error(`epoch ${disabled.epoch} is disabled and not undone yet`)
  const onChain = await lastEpochOnChain(settings)
  if (onChain !== lastEpoch)
    throw new Error(`the chain is at epoch ${onChain}, the receipts are at ${lastEpoch}`)
  for (let bytes = MAX_EPOCH_BYTES; ;) {
    const receipts = store.take({
      limit: settings.EPOCH_MAX_RECEIPTS,
      payers: MAX_DRAWS,
      bytes,
    })
    const [first] = receipts
    if (!first) return
    const file = await epochOf(settlement, receipts)
    const encoded = encodeEpoch(file)
    const excess = encoded.length - MAX_EPOCH_BYTES
    if (excess > 0 && receipts.length === 1)
      throw new Error(`epoch ${file.epoch} with one receipt is ${excess} bytes too long`)
    if (excess > 0) {
      // The payouts and presence tables take their place too.
      bytes -= excess
      continue
    }
    const built = epochRoots(file, encoded)
    await keepEpochFile(env.BLOBS, built.dataHash, encoded)
    return store.build(file, built, first.receipt.paramsHash, Date.now())
  }
}

async function epochOf(
  { env, settings, store }: Settlement,
  receipts: SignedReceipt[],
): Promise<EpochFile> {
  const roots = [...new Set(receipts.flatMap(({ receipt }) => receipt.datanets))].toSorted()
  const presence = await Promise.all(
    roots.map((root) => {
      const manifest = store.manifestOf(root)
      if (!manifest) throw new Error(`no manifest of Datanet version ${root}`)
      return readPresence(env.BLOBS, root, manifest)
    }),
  )
  return buildEpoch(store.payouts(), {
    ...receiptDomain(settings),
    epoch: store.lastEpoch() + 1,
    // The contract's TREASURY and STAKING: a credit to anybody else is provably wrong.
    treasuries: {
      platform: settings.CONTRACTS.openTimelock,
      stakers: settings.CONTRACTS.validatorStaking,
    },
    receipts,
    presence,
  })
}

type Step = (settlement: Settlement, row: EpochRow) => Promise<void>

/** How an epoch gets to the chain; what follows is in standing.ts. */
export const STEPS = {
  built: async ({ env, settings, store }, { epoch, data_hash }) => {
    const commitment = await putData(settings.DA_URL, await epochBytes(env.BLOBS, data_hash))
    advance(store, epoch, 'stored', { commitment })
  },

  stored: async ({ env, settings, store }, row) => {
    // What its receipts left out as revoked has to be so on chain before: `IReceiptChallenges.challengeOmission`.
    const revoking = await sendRevocations({ env, settings }, row.built_at + CLOCK_MS)
    if (revoking > 0)
      return store.set(row.epoch, {
        next_at: Date.now() + POLL_MS,
        error: `waits for ${revoking} revocations to be on chain`,
      })
    const file = await readEpochFile(env.BLOBS, row.data_hash)
    const submission = {
      epoch: BigInt(row.epoch),
      receiptsRoot: row.receipts_root,
      creditsRoot: row.credits_root,
      payoutsRoot: row.payouts_root,
      receipts: row.receipts,
      credits: row.credits,
      payouts: row.payouts,
      total: BigInt(row.total),
      dataHash: row.data_hash,
      commitment: row.commitment ?? '0x',
      paramsHash: row.params_hash,
    } as const
    await enqueueTransaction(
      { env, settings },
      {
        key: epochTxKey(row),
        to: settings.CONTRACTS.attributionSettlement,
        data: encodeFunctionData({
          abi: attributionSettlementAbi,
          functionName: 'submitEpoch',
          args: [submission, file.draws],
        }),
        value: 0n,
      },
    )
    advance(store, row.epoch, 'submitted', {})
  },

  submitted: async (settlement, row) => {
    const { env, settings, store } = settlement
    const transaction = await transactionStatus({ env, settings }, epochTxKey(row))
    if (transaction.status === 'unknown') return advance(store, row.epoch, 'stored', {})
    if (transaction.status !== 'success' && transaction.status !== 'reverted')
      return store.set(row.epoch, { next_at: Date.now() + POLL_MS, error: transaction.error })
    const settled = await epochOnChain(settings, row.epoch)
    if (settled?.dataHash === row.data_hash)
      return advance(store, row.epoch, 'settled', {
        tx_hash: transaction.txHash,
        block_number: transaction.blockNumber,
        active_at: settled.activeAt * 1_000,
        settled_at: Date.now(),
      })
    if (transaction.status === 'success')
      throw new Error(`the chain does not show epoch ${row.epoch}`)
    await rebuild(settlement, row, transaction.reason ?? 'reverted')
  },
} satisfies Partial<Record<EpochState, Step>>

/** Whether an epoch in this state is on its way to the chain. */
export const isStep = (state: EpochState): state is keyof typeof STEPS => state in STEPS

const advance = (
  store: EpochStore,
  epoch: number,
  state: EpochState,
  values: Parameters<EpochStore['set']>[1],
) => store.set(epoch, { ...values, state, tries: 0, next_at: 0, error: null })

/**
 * The chain refused the epoch and a final revert cannot take effect any more: its receipts wait for a new epoch of
 * the same number. A payer who cannot pay is set aside, so that nobody else waits for it.
 */
async function rebuild({ env, store }: Settlement, row: EpochRow, reason: string): Promise<void> {
  log('error', { during: 'settlement', epoch: row.epoch, refused: reason })
  const file = await readEpochFile(env.BLOBS, row.data_hash)
  const payer = /^InsufficientBalance\((0x[0-9a-f]{40}),/i.exec(reason)?.[1]
  store.unbuild(row.epoch, creditsByAccount(epochCredits(file)))
  if (!payer) throw new Error(`the chain refused epoch ${row.epoch}: ${reason}`)
  store.setInsolvent(payer.toLowerCase() as Hex, Date.now())
}

/** Payers that were set aside and have deposited since take part again. */
export async function readmitSolvent({ settings, store }: Settlement): Promise<void> {
  for (const payer of store.insolvent()) {
    const balance = await chainClient(settings).readContract({
      address: settings.CONTRACTS.inferenceVault,
      abi: inferenceVaultAbi,
      functionName: 'balanceOf',
      args: [payer],
    })
    if (balance >= store.owedBy(payer)) store.setSolvent(payer)
  }
}

/** Which head of the chain a read is made at. */
export type HeadTag = 'latest' | 'safe' | 'finalized'

/** Number of the newest epoch that stands on chain. */
export const lastEpochOnChain = async (
  settings: Settings,
  blockTag: HeadTag = 'latest',
): Promise<number> =>
  Number(
    await chainClient(settings).readContract({
      address: settings.CONTRACTS.attributionSettlement,
      abi: attributionSettlementAbi,
      functionName: 'lastEpoch',
      blockTag,
    }),
  )

/** An epoch's record on chain; null when there is none. */
export async function epochOnChain(
  settings: Settings,
  epoch: number,
  blockTag: HeadTag = 'latest',
) {
  const record = await chainClient(settings).readContract({
    address: settings.CONTRACTS.attributionSettlement,
    abi: attributionSettlementAbi,
    functionName: 'epochs',
    args: [BigInt(epoch)],
    blockTag,
  })
  return record.activeAt === 0 ? null : record
}
