import { encodeFunctionData } from 'viem'
import { keccak, lowerCase, type Hex } from '#protocol/bytes.ts'
import { MAX_RECEIPTS } from '#protocol/epoch.ts'
import { CLOCK_SECONDS } from '#protocol/receipt.ts'
import { encodeManifest, type Segment } from '#protocol/segments.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { callBatch, CALLS_PER_BATCH, chainClient } from '../chain/client.ts'
import { enqueueTransaction, transactionStatus } from '../chain/enqueue.ts'
import { sendRevocations } from '../datanets/revocation-calls.ts'
import { log } from '../log.ts'
import type { Settings } from '../env.ts'
import { buildEpoch, receiptDomain, tallyOf, treasuriesOf, type Settlement } from './build-epoch.ts'
import { putData } from './da.ts'
import { keepPart, partBytes } from './epoch-files.ts'
import type { EpochStore } from './epoch-store.ts'
import type { EpochRow, EpochState } from './epoch-tables.ts'

/**
 * The steps an epoch takes to the chain. A step is entered again after a crash, so each effect is idempotent: files by
 * hash, dispersals noted one by one, the transaction by its outbox key. A step that throws is tried again later.
 */

/** AttributionSettlement.MAX_DRAWS; an epoch has at most one draw per payer. */
const MAX_DRAWS = 1_000
const CLOCK_MS = Number(CLOCK_SECONDS) * 1_000
const POLL_MS = 1_000 // the EVENTS queue tells sooner; this is for messages it lost

/** Outbox key of an epoch's transaction: a disabled epoch's number is submitted again with another file. */
export const epochTxKey = ({ epoch, data_hash }: Pick<EpochRow, 'epoch' | 'data_hash'>) =>
  `epoch:${epoch}:${data_hash}`

/** Closes the next epoch over the waiting receipts, as many as one may have. */
export async function takeNextEpoch({ settings, store }: Settlement): Promise<void> {
  const lastEpoch = store.lastEpoch()
  const disabled = store.disabled()
  if (disabled) throw new Error(`epoch ${disabled.epoch} is disabled and not undone yet`)
  const onChain = await lastEpochOnChain(settings)
  if (onChain !== lastEpoch)
    throw new Error(`the chain is at epoch ${onChain}, the receipts are at ${lastEpoch}`)
  const receipts = Math.min(settings.EPOCH_MAX_RECEIPTS, MAX_RECEIPTS)
  store.take({ receipts, payers: MAX_DRAWS }, Date.now())
}

type Step = (settlement: Settlement, row: EpochRow) => Promise<void>

/** How an epoch gets to the chain; what follows is in standing.ts. */
export const STEPS = {
  taken: buildEpoch,

  built: async ({ env, settings, store }, { epoch }) => {
    for (const { hash, commitment } of store.segments(epoch))
      if (commitment === null) {
        const bytes = await partBytes(env, { hash })
        store.setCommitment(epoch, hash, await putData(settings.DA_URL, bytes))
      }
    const segments = store.segments(epoch).map(({ commitment, ...segment }): Segment => {
      if (commitment === null) throw new Error(`segment ${segment.hash} is not stored`)
      return { ...segment, commitment }
    })
    const about = { ...receiptDomain(settings), epoch, treasuries: treasuriesOf(settings) }
    const manifest = encodeManifest({ ...about, segments })
    const dataHash = keccak(manifest)
    await keepPart(env.BLOBS, dataHash, manifest)
    const commitment = await putData(settings.DA_URL, manifest)
    advance(store, epoch, 'stored', { data_hash: dataHash, commitment })
  },

  stored: async ({ env, settings, store }, row) => {
    // What its receipts left out as revoked has to be so on chain before: `IReceiptChallenges.challengeOmission`.
    const revoking = await sendRevocations({ env, settings }, row.built_at + CLOCK_MS)
    if (revoking > 0)
      return store.set(row.epoch, {
        next_at: Date.now() + POLL_MS,
        error: `waits for ${revoking} revocations to be on chain`,
      })
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
          args: [submission, store.drawsOf(row.epoch)],
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
async function rebuild(settlement: Settlement, row: EpochRow, reason: string): Promise<void> {
  const { store } = settlement
  log('error', { during: 'settlement', epoch: row.epoch, refused: reason })
  const payer = /^InsufficientBalance\((0x[0-9a-f]{40}),/i.exec(reason)?.[1]
  store.unbuild(row.epoch, await tallyOf(settlement, row.epoch))
  if (!payer) throw new Error(`the chain refused epoch ${row.epoch}: ${reason}`)
  store.setInsolvent(lowerCase(payer as Hex), Date.now())
}

/**
 * Payers that were set aside and have deposited since take part again. Looks at as many as one request to the chain takes,
 * those after `after`; returns after which to look next, and so gets to all of them in turn. One whose balance cannot be
 * read waits for its next turn.
 */
export async function readmitSolvent(
  { settings, store }: Settlement,
  after: Hex | null,
): Promise<Hex | null> {
  const payers = store.insolvent(CALLS_PER_BATCH, after)
  if (payers.length === 0) return null
  const calls = payers.map((payer) => ({
    to: settings.CONTRACTS.inferenceVault,
    data: encodeFunctionData({ abi: inferenceVaultAbi, functionName: 'balanceOf', args: [payer] }),
  }))
  const balances = await callBatch(settings, calls, 'latest')
  for (const [i, payer] of payers.entries()) {
    const balance = balances[i]
    if (typeof balance === 'string' && BigInt(balance) >= store.owedBy(payer))
      store.setSolvent(payer)
  }
  const failed = balances.filter((balance) => balance instanceof Error)
  if (failed.length > 0)
    log('warn', { during: 'settlement', unread: failed.length, error: failed[0] })
  return payers.length < CALLS_PER_BATCH ? null : (payers.at(-1) ?? null)
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
