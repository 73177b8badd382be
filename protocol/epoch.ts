import type { Hex } from './bytes.ts'
import type { Receipt, SignedReceipt } from './receipt.ts'
import { largestRemainder } from './score.ts'

/** Receipts of one epoch, at most. */
export const MAX_RECEIPTS = 10_000

/** Clusters per contributor of a Datanet version: how its base pool is divided. */
export type Presence = { root: Hex; clusters: { contributor: Hex; count: number }[] }

/** Addresses that the non-contributor parts of a fee go to. */
export type Treasuries = { platform: Hex; stakers: Hex }

/**
 * Everything a stranger needs to recompute an epoch's roots. It is published as segments with a manifest (segments.ts);
 * the manifest's keccak256 and the roots go on chain.
 */
export type EpochFile = {
  chainId: number
  settlement: Hex
  epoch: number
  treasuries: Treasuries
  /** Sorted by payer, then request. */
  receipts: SignedReceipt[]
  presence: Presence[]
  /** Cumulative wei per account after this epoch, every account ever paid, sorted by address. */
  payouts: Payout[]
  /** Wei drawn per payer in this epoch, sorted by address: what its receipts cost. */
  draws: { payer: Hex; amount: bigint }[]
}

/** What an account may have claimed in all. */
export type Payout = { account: Hex; amount: bigint }

/** One payment of an epoch. `receipt` is a position in the file, or BASE_POOL; `part` is one of PART, or a row's. */
export type Credit = { account: Hex; receipt: number; part: number; amount: bigint }

/** Parts of a fee by number; row i of a receipt is PART.rows + i, citation i is PART.citations + i. */
export const PART = { platform: 0, model: 1, stakers: 2, rows: 3, citations: 1_000 } as const

/** In the place of a receipt's position: an account's share of what no row earned, in the whole epoch. */
export const BASE_POOL = 0xffff_ffff

/** What a receipt itself pays to whom, zero amounts included. */
export const receiptCredits = (
  receipt: Receipt,
  index: number,
  { platform, stakers }: Treasuries,
): Credit[] =>
  [
    { account: platform, part: PART.platform, amount: receipt.platform },
    { account: receipt.modelOwner, part: PART.model, amount: receipt.model },
    { account: stakers, part: PART.stakers, amount: receipt.stakers },
    ...receipt.rows.map((row, i) => ({
      account: row.contributor,
      part: PART.rows + i,
      amount: row.amount,
    })),
    ...receipt.citations.map((citation, i) => ({
      account: citation.contributor,
      part: PART.citations + i,
      amount: citation.amount,
    })),
  ].map((credit) => ({ ...credit, receipt: index }))

/** What an epoch pays, before it is known in what order. */
export type Tally = {
  /** Credits of more than zero wei by account, and their sum. */
  earned: ReadonlyMap<Hex, { credits: number; wei: bigint }>
  /** What no row earned, by the account that gets it. */
  basePool: ReadonlyMap<Hex, bigint>
}

/**
 * Adds receipts up one by one, in any order, so that nobody has to hold them all. What no row earned is divided over the
 * clusters of the Datanet versions that the receipts name, equally per cluster: once for all receipts with the same versions.
 */
export function openTally(treasuries: Treasuries) {
  const earned = new Map<Hex, { credits: number; wei: bigint }>()
  const pools = new Map<string, { datanets: readonly Hex[]; wei: bigint }>()
  const earn = (account: Hex, wei: bigint) => {
    if (wei === 0n) return
    const known = earned.get(account)
    if (!known) return void earned.set(account, { credits: 1, wei })
    known.credits++
    known.wei += wei
  }
  return {
    add(receipt: Receipt): void {
      for (const { account, amount } of receiptCredits(receipt, 0, treasuries))
        earn(account, amount)
      const key = receipt.datanets.join()
      const wei = (pools.get(key)?.wei ?? 0n) + receipt.unattributed
      pools.set(key, { datanets: receipt.datanets, wei })
    },
    /** Throws when the presence table of a Datanet version is missing that has to be paid. */
    close(presence: readonly Presence[]): Tally {
      const basePool = new Map<Hex, bigint>()
      for (const { datanets, wei } of pools.values())
        for (const [account, share] of divide(wei, datanets, presence))
          add(basePool, account, share)
      for (const [account, wei] of basePool) earn(account, wei)
      return { earned, basePool }
    },
  }
}

/** The tally of an epoch that is in memory. */
export function tallyOf({
  receipts,
  presence,
  treasuries,
}: Pick<EpochFile, 'receipts' | 'presence' | 'treasuries'>): Tally {
  const tally = openTally(treasuries)
  for (const { receipt } of receipts) tally.add(receipt)
  return tally.close(presence)
}

function divide(
  wei: bigint,
  datanets: readonly Hex[],
  presence: readonly Presence[],
): [Hex, bigint][] {
  if (wei === 0n) return []
  const counts = new Map<Hex, bigint>()
  for (const root of datanets) {
    const version = presence.find((candidate) => candidate.root === root)
    if (!version) throw new Error(`epoch: no presence table for Datanet version ${root}`)
    for (const { contributor, count } of version.clusters) add(counts, contributor, BigInt(count))
  }
  const accounts = byKey(counts)
  const amounts = largestRemainder(
    wei,
    accounts.map(([, count]) => count),
  )
  return accounts.map(([account], i) => [account, amounts[i] ?? 0n])
}

/** Payouts after an epoch, given those before it. */
export function payoutsAfter(previous: ReadonlyMap<Hex, bigint>, { earned }: Tally): Payout[] {
  const cumulative = new Map(previous)
  for (const [account, { wei }] of earned) add(cumulative, account, wei)
  return byKey(cumulative).map(([account, amount]) => ({ account, amount }))
}

/** What receipts cost their payers; nobody is drawn from for nothing. */
export function drawsOf(receipts: Iterable<Pick<Receipt, 'payer' | 'fee'>>): EpochFile['draws'] {
  const drawn = new Map<Hex, bigint>()
  for (const { payer, fee } of receipts) if (fee > 0n) add(drawn, payer, fee)
  return byKey(drawn).map(([payer, amount]) => ({ payer, amount }))
}

/** Order of an epoch's receipts. */
export const byPayerAndRequest = (
  a: Pick<Receipt, 'payer' | 'requestId'>,
  b: Pick<Receipt, 'payer' | 'requestId'>,
): number => compare(a.payer, b.payer) || compare(a.requestId, b.requestId)

/** Builds the next epoch from its receipts, in any order, and the cumulative payouts before it. */
export function buildEpoch(
  previous: ReadonlyMap<Hex, bigint>,
  input: Pick<
    EpochFile,
    'chainId' | 'settlement' | 'epoch' | 'treasuries' | 'receipts' | 'presence'
  >,
): EpochFile {
  return {
    ...input,
    receipts: input.receipts.toSorted((a, b) => byPayerAndRequest(a.receipt, b.receipt)),
    payouts: payoutsAfter(previous, tallyOf(input)),
    draws: drawsOf(input.receipts.map(({ receipt }) => receipt)),
  }
}

/** Adds wei to a key of sums; returns the new sum. */
export function add<Key>(sums: Map<Key, bigint>, key: Key, wei: bigint): bigint {
  const sum = (sums.get(key) ?? 0n) + wei
  sums.set(key, sum)
  return sum
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Entries by their keys. */
export const byKey = <V>(map: ReadonlyMap<Hex, V>): [Hex, V][] =>
  [...map].toSorted(([a], [b]) => compare(a, b))
