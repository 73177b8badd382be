import { encodeFunctionData } from 'viem'
import { segmentsOf } from '#protocol/segments.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { receiptChallengesAbi } from '#contracts/receipt-challenges.ts'
import { chainClient } from '../chain/client.ts'
import { enqueueTransaction, transactionStatus } from '../chain/enqueue.ts'
import { readLogs } from '../chain/ranges.ts'
import { log } from '../log.ts'
import type { Settings } from '../env.ts'
import { archiveAnswers } from './archive.ts'
import { tallyOf, type Settlement } from './build-epoch.ts'
import { epochOnChain, epochTxKey, lastEpochOnChain, type HeadTag } from './epoch-steps.ts'
import type { EpochRow } from './epoch-tables.ts'

/**
 * What becomes of epochs that are in a block. They stand in a row: when the newest that the chain has is ours, so are
 * all before it, and those after it are gone or disabled. So a few reads tell about all of them, however many are
 * within their window.
 */

/** Debts are released this long after the draw is safe: balances are read from caches younger than that. */
const RELEASE_AFTER_MS = 3_000

/** Moves settled epochs to safe and safe ones to final, and undoes what the chain has disabled. Idempotent. */
export async function followEpochs(settlement: Settlement): Promise<void> {
  await settledToSafe(settlement)
  await finalOrDisabled(settlement)
  await undoDisabled(settlement)
}

async function settledToSafe({ env, settings, store }: Settlement): Promise<void> {
  const settled = store.inState('settled')
  if (settled.length === 0) return
  const standing = await newestOurs(settings, settled, 'safe')
  const now = Date.now()
  for (const row of settled) {
    const sent = await transactionStatus({ env, settings }, epochTxKey(row))
    if (row.epoch > standing) {
      // Not yet; or a reorg took its block, after which the chain refused it: then its submission says what follows.
      if (sent.status === 'reverted')
        store.set(row.epoch, { state: 'submitted', next_at: 0, safe_at: null })
    } else if (row.safe_at === null) store.set(row.epoch, { safe_at: now })
    else if (now >= row.safe_at + RELEASE_AFTER_MS) {
      for (const [accountId, debts] of store.debts(row.epoch))
        await env.ACCOUNT.getByName(accountId).release(debts.map(({ requestId }) => requestId))
      store.set(row.epoch, {
        state: 'safe',
        tx_hash: sent.txHash,
        block_number: sent.blockNumber,
      })
    }
  }
}

/**
 * What the finalized chain has is final once it can be claimed against. What it lacks although its transaction is final was
 * disabled, maybe before it ever was safe.
 */
async function finalOrDisabled(settlement: Settlement): Promise<void> {
  const { env, settings, store } = settlement
  const safe = store.inState('safe')
  const rows = [...safe, ...store.inState('settled')]
  if (rows.length === 0) return
  const { timestamp } = await chainClient(settings).getBlock({ blockTag: 'finalized' })
  const standing = await newestOurs(settings, rows, 'finalized')
  for (const row of safe)
    if (row.epoch <= standing && (row.active_at ?? Infinity) <= Number(timestamp) * 1_000) {
      for (const segment of segmentsOf(store.segments(row.epoch), 'receipts'))
        await archiveAnswers(env, segment.hash, store.answersOf(row.epoch, segment))
      store.finish(row.epoch)
    }

  const absent: EpochRow[] = []
  for (const row of rows.filter(({ epoch }) => epoch > standing)) {
    const { status, final } = await transactionStatus({ env, settings }, epochTxKey(row))
    if (status === 'success' && final) absent.push(row)
  }
  if (absent.length === 0) return
  // Whatever was final a moment ago is in the finalized state that is read now, unless it was disabled.
  const now = await newestOurs(settings, rows, 'finalized')
  for (const row of absent.filter(({ epoch }) => epoch > now)) {
    await refuseProven(settlement, row)
    log('error', { during: 'settlement', epoch: row.epoch, disabled: true })
    store.set(row.epoch, { state: 'disabled', next_at: 0 })
  }
}

/** Keeps the receipts that a challenge has proven wrong out of the epoch that is built in the place of this one. */
async function refuseProven({ settings, store }: Settlement, row: EpochRow): Promise<void> {
  const client = chainClient(settings)
  const { number: final } = await client.getBlock({ blockTag: 'finalized' })
  const fromBlock = BigInt(row.block_number ?? settings.START_BLOCK)
  const proofs = await readLogs({ fromBlock, toBlock: final }, (range) =>
    client.getContractEvents({
      address: settings.CONTRACTS.receiptChallenges,
      abi: receiptChallengesAbi,
      eventName: 'FaultProven',
      args: { epoch: BigInt(row.epoch) },
      strict: true,
      ...range,
    }),
  )
  for (const { args, transactionHash } of proofs)
    store.refuse(args.requestId, `proven wrong by transaction ${transactionHash}`)
}

/** Number of our newest epoch that stands at a head; throws when the chain has another one in its place. */
async function newestOurs(
  settings: Settings,
  rows: readonly EpochRow[],
  head: HeadTag,
): Promise<number> {
  const last = await lastEpochOnChain(settings, head)
  const newest = rows.findLast(({ epoch }) => epoch <= last)
  if (!newest) return last
  const record = await epochOnChain(settings, newest.epoch, head)
  if (record?.dataHash !== newest.data_hash)
    throw new Error(`the chain has another epoch ${newest.epoch}: ${record?.dataHash ?? 'none'}`)
  return newest.epoch
}

/**
 * The way back from a disabled epoch, newest first: its receipts are owed again, its draws go back to the payers, and
 * then its receipts wait for a new epoch and its credits are as if they had never been.
 */
async function undoDisabled(settlement: Settlement): Promise<void> {
  const { env, settings, store } = settlement
  for (let row = store.disabled(); row; row = store.disabled()) {
    const { epoch, data_hash } = row
    if ((await epochOnChain(settings, epoch, 'finalized'))?.dataHash !== data_hash) {
      store.unbuild(epoch, await tallyOf(settlement, epoch))
      log('info', { during: 'settlement', epoch, undone: true })
      continue
    }
    for (const [accountId, debts] of store.debts(epoch)) {
      const account = env.ACCOUNT.getByName(accountId)
      const [refused, owed] = [
        debts.filter((debt) => debt.refused),
        debts.filter((debt) => !debt.refused),
      ]
      for (const { requestId, fee } of owed) await account.owe(requestId, fee)
      // Of an epoch that never was safe they are still owed.
      await account.release(refused.map(({ requestId }) => requestId))
    }
    if ((await epochOnChain(settings, epoch))?.dataHash === data_hash)
      await enqueueTransaction(
        { env, settings },
        {
          key: `refund:${epoch}:${data_hash}`,
          to: settings.CONTRACTS.attributionSettlement,
          data: encodeFunctionData({
            abi: attributionSettlementAbi,
            functionName: 'refund',
            args: [BigInt(epoch), store.drawsOf(epoch)],
          }),
          value: 0n,
        },
      )
    return // its refund has to be final before anything is built on it
  }
}
