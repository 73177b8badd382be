import { z } from 'zod'
import { canonicalJson, keccak, type Hex } from './bytes.ts'
import { leafHash, orderedTree, type OrderedTree } from './merkle.ts'
import { receiptHash, type Receipt, type ReceiptDomain, type SignedReceipt } from './receipt.ts'
import { largestRemainder } from './score.ts'
import { decimal, hex, signedReceipt } from './wire.ts'

/** Clusters per contributor of a Datanet version: how its base pool is divided. */
export type Presence = { root: Hex; clusters: { contributor: Hex; count: number }[] }

/** Addresses that the non-contributor parts of a fee go to. */
export type Treasuries = { platform: Hex; stakers: Hex }

/**
 * Everything a stranger needs to recompute an epoch's roots: the bytes of this file (canonical JSON) go to the
 * data-availability layer, its keccak256 and roots go on chain.
 */
export type EpochFile = {
  format: 'openledger-epoch-1'
  chainId: number
  settlement: Hex
  epoch: number
  treasuries: Treasuries
  /** Sorted by payer, then request. */
  receipts: SignedReceipt[]
  presence: Presence[]
  /** Cumulative wei per account after this epoch, every account ever paid, sorted by address. */
  payouts: { account: Hex; amount: bigint }[]
  /** Wei drawn per payer in this epoch, sorted by address. */
  draws: { payer: Hex; amount: bigint }[]
}

/** What goes on chain: three ordered trees with the number of their leaves, the wei drawn and paid, the file's hash. */
export type EpochRoots = {
  receiptsRoot: Hex
  creditsRoot: Hex
  payoutsRoot: Hex
  receipts: number
  credits: number
  payouts: number
  total: bigint
  dataHash: Hex
}

/** Bytes of an epoch file, at most: what one EigenDA blob of 16 MiB carries, 31 bytes in every 32 after its header. */
export const MAX_EPOCH_BYTES = ((16 * 2 ** 20) / 32 - 1) * 31

const address = hex(20)
const amount = decimal
export const epochFile = z.object({
  format: z.literal('openledger-epoch-1'),
  chainId: z.int().positive(),
  settlement: address,
  epoch: z.int().positive(),
  treasuries: z.object({ platform: address, stakers: address }),
  receipts: z.array(signedReceipt),
  presence: z.array(
    z.object({
      root: hex(32),
      clusters: z.array(z.object({ contributor: address, count: z.int().positive() })),
    }),
  ),
  payouts: z.array(z.object({ account: address, amount })),
  draws: z.array(z.object({ payer: address, amount })),
})

type Settled = Pick<EpochFile, 'receipts' | 'presence' | 'treasuries'>

/** One payment of an epoch. `receipt` is a position in the file, or BASE_POOL; `part` is one of PART, or a row's. */
export type Credit = { account: Hex; receipt: number; part: number; amount: bigint }

/** Parts of a fee by number; row i of a receipt is PART.rows + i, citation i is PART.citations + i. */
export const PART = { platform: 0, model: 1, stakers: 2, rows: 3, citations: 1_000 } as const

/** In the place of a receipt's position: an account's share of what no row earned, in the whole epoch. */
export const BASE_POOL = 0xffff_ffff

/** Every payment of an epoch, sorted by account, receipt and part: none of zero wei. */
export function epochCredits({ receipts, presence, treasuries }: Settled): Credit[] {
  const credits = receipts.flatMap(({ receipt }, i) => receiptCredits(receipt, i, treasuries))
  for (const [account, wei] of basePool(receipts, presence))
    credits.push({ account, receipt: BASE_POOL, part: 0, amount: wei })
  return credits
    .filter((credit) => credit.amount > 0n)
    .toSorted(
      (a, b) =>
        compare(a.account, b.account) || compare(a.receipt, b.receipt) || compare(a.part, b.part),
    )
}

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

/** What an epoch pays, by account. */
export function creditsByAccount(credits: readonly Credit[]): Map<Hex, bigint> {
  const sums = new Map<Hex, bigint>()
  for (const { account, amount: wei } of credits) add(sums, account, wei)
  return sums
}

/**
 * What no row earned, divided over the clusters of the Datanet versions that the receipts name, equally per cluster:
 * once for all receipts with the same versions.
 */
function basePool(
  receipts: readonly SignedReceipt[],
  presence: readonly Presence[],
): Map<Hex, bigint> {
  const pools = new Map<string, { datanets: readonly Hex[]; wei: bigint }>()
  for (const { receipt } of receipts) {
    const key = receipt.datanets.join()
    const wei = (pools.get(key)?.wei ?? 0n) + receipt.unattributed
    pools.set(key, { datanets: receipt.datanets, wei })
  }
  const sums = new Map<Hex, bigint>()
  for (const { datanets, wei } of pools.values())
    for (const [account, share] of divide(wei, datanets, presence)) add(sums, account, share)
  return sums
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

/** Builds the next epoch's file from its receipts, in any order, and the cumulative payouts before it. */
export function buildEpoch(
  previous: ReadonlyMap<Hex, bigint>,
  input: Pick<
    EpochFile,
    'chainId' | 'settlement' | 'epoch' | 'treasuries' | 'receipts' | 'presence'
  >,
): EpochFile {
  const receipts = input.receipts.toSorted(
    (a, b) =>
      compare(a.receipt.payer, b.receipt.payer) ||
      compare(a.receipt.requestId, b.receipt.requestId),
  )
  const cumulative = new Map(previous)
  for (const [account, wei] of creditsByAccount(epochCredits({ ...input, receipts })))
    add(cumulative, account, wei)
  const drawn = new Map<Hex, bigint>()
  for (const { receipt } of receipts) if (receipt.fee > 0n) add(drawn, receipt.payer, receipt.fee)
  return {
    format: 'openledger-epoch-1',
    ...input,
    receipts,
    payouts: byKey(cumulative).map(([account, wei]) => ({ account, amount: wei })),
    draws: byKey(drawn).map(([payer, wei]) => ({ payer, amount: wei })),
  }
}

/** Canonical bytes of an epoch file: canonical JSON with amounts as decimal strings. */
export const encodeEpoch = (file: EpochFile): Uint8Array =>
  new TextEncoder().encode(canonicalJson(JSON.parse(JSON.stringify(file, bigintAsDecimal))))

/** Parses an epoch file; throws a zod error on anything malformed. */
export const decodeEpoch = (bytes: Uint8Array): EpochFile =>
  epochFile.parse(
    JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes)),
  )

/**
 * Roots, counts and total that go on chain; who has the file's bytes passes them, for they are megabytes. `total` is what
 * this epoch draws and pays.
 */
export function epochRoots(file: EpochFile, encoded = encodeEpoch(file)): EpochRoots {
  const credits = creditsTree(file)
  return {
    receiptsRoot: receiptsTree(file).root,
    creditsRoot: credits.root,
    payoutsRoot: payoutsTree(file).root,
    receipts: file.receipts.length,
    credits: credits.leaves.length,
    payouts: file.payouts.length,
    total: file.draws.reduce((n, draw) => n + draw.amount, 0n),
    dataHash: keccak(encoded),
  }
}

/** Leaf of a receipt: `spent` is what its payer owes for the epoch's receipts up to and with this one. */
export const receiptLeaf = (receipt: Receipt, spent: bigint, domain: ReceiptDomain): Hex =>
  leafHash('receipt', [receipt.requestId, receiptHash(receipt, domain), spent])

/** A tree with the values behind its leaves, in their order. */
export type Ledger<Leaf> = OrderedTree & { leaves: Leaf[] }

/** Tree over an epoch's receipts, in the file's order. */
export function receiptsTree({
  receipts,
  chainId,
  settlement,
}: Pick<EpochFile, 'receipts' | 'chainId' | 'settlement'>): Ledger<{
  receipt: Receipt
  spent: bigint
}> {
  const sums = new Map<Hex, bigint>()
  const leaves = receipts.map(({ receipt }) => ({
    receipt,
    spent: add(sums, receipt.payer, receipt.fee),
  }))
  const hashes = leaves.map(({ receipt, spent }) =>
    receiptLeaf(receipt, spent, { chainId, settlement }),
  )
  return { ...orderedTree(hashes), leaves }
}

/** Tree over an epoch's credits; `cumulative` is what the account may claim in all up to and with the credit. */
export function creditsTree(
  file: Settled & Pick<EpochFile, 'payouts'>,
): Ledger<Credit & { cumulative: bigint }> {
  const credits = epochCredits(file)
  const sums = new Map(file.payouts.map(({ account, amount: wei }) => [account, wei]))
  for (const { account, amount: wei } of credits) add(sums, account, -wei)
  const leaves = credits.map((credit) => ({
    ...credit,
    cumulative: add(sums, credit.account, credit.amount),
  }))
  const hashes = leaves.map(({ account, receipt, part, amount: wei, cumulative }) =>
    leafHash('credit', [account, receipt, part, wei, cumulative]),
  )
  return { ...orderedTree(hashes), leaves }
}

/** Tree over cumulative payouts; a claim proves its position in it. */
export const payoutsTree = ({
  payouts,
}: Pick<EpochFile, 'payouts'>): Ledger<{ account: Hex; amount: bigint }> => ({
  ...orderedTree(payouts.map(({ account, amount: wei }) => leafHash('payout', [account, wei]))),
  leaves: payouts,
})

function add<Key>(sums: Map<Key, bigint>, key: Key, wei: bigint): bigint {
  const sum = (sums.get(key) ?? 0n) + wei
  sums.set(key, sum)
  return sum
}

const compare = <T extends string | number>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0)

const byKey = <V>(map: ReadonlyMap<Hex, V>): [Hex, V][] =>
  [...map].toSorted(([a], [b]) => compare(a, b))

const bigintAsDecimal = (_key: string, value: unknown) =>
  typeof value === 'bigint' ? value.toString() : value
