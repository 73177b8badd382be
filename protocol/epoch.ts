import { z } from 'zod'
import { canonicalJson, keccak, type Hex } from './bytes.ts'
import { leafHash, merkleTree, type MerkleTree } from './merkle.ts'
import { receiptHash, type ReceiptDomain, type SignedReceipt } from './receipt.ts'
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
  receipts: SignedReceipt[]
  presence: Presence[]
  /** Cumulative wei per account after this epoch, every account ever paid, sorted by address. */
  payouts: { account: Hex; amount: bigint }[]
  /** Wei drawn per payer in this epoch, sorted by address. */
  draws: { payer: Hex; amount: bigint }[]
}

export type EpochRoots = { receiptsRoot: Hex; payoutsRoot: Hex; total: bigint; dataHash: Hex }

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

/** What one epoch's receipts pay to whom, in wei. */
export function epochCredits(
  receipts: readonly SignedReceipt[],
  presence: readonly Presence[],
  treasuries: Treasuries,
): Map<Hex, bigint> {
  const credits = new Map<Hex, bigint>()
  const credit = (account: Hex, wei: bigint) => {
    if (wei > 0n) credits.set(account, (credits.get(account) ?? 0n) + wei)
  }
  for (const { receipt } of receipts) {
    credit(treasuries.platform, receipt.platform)
    credit(treasuries.stakers, receipt.stakers)
    credit(receipt.modelOwner, receipt.model)
    for (const row of receipt.rows) credit(row.contributor, row.amount)
    for (const [account, wei] of basePoolCredits(receipt.unattributed, receipt.datanets, presence))
      credit(account, wei)
  }
  return credits
}

/** Divides an unattributed amount over the clusters of the given Datanet versions, equally per cluster. */
export function basePoolCredits(
  wei: bigint,
  datanets: readonly Hex[],
  presence: readonly Presence[],
): [Hex, bigint][] {
  if (wei === 0n) return []
  const counts = new Map<Hex, bigint>()
  for (const root of datanets) {
    const version = presence.find((candidate) => candidate.root === root)
    if (!version) throw new Error(`epoch: no presence table for Datanet version ${root}`)
    for (const { contributor, count } of version.clusters)
      counts.set(contributor, (counts.get(contributor) ?? 0n) + BigInt(count))
  }
  const accounts = [...counts.keys()].toSorted()
  const amounts = largestRemainder(
    wei,
    accounts.map((account) => counts.get(account) ?? 0n),
  )
  return accounts.map((account, i) => [account, amounts[i] ?? 0n])
}

/** Builds the next epoch's file from its receipts and the cumulative payouts before it. */
export function buildEpoch(
  previous: ReadonlyMap<Hex, bigint>,
  input: Pick<
    EpochFile,
    'chainId' | 'settlement' | 'epoch' | 'treasuries' | 'receipts' | 'presence'
  >,
): EpochFile {
  const cumulative = new Map(previous)
  for (const [account, wei] of epochCredits(input.receipts, input.presence, input.treasuries))
    cumulative.set(account, (cumulative.get(account) ?? 0n) + wei)
  const drawn = new Map<Hex, bigint>()
  for (const { receipt } of input.receipts)
    if (receipt.fee > 0n) drawn.set(receipt.payer, (drawn.get(receipt.payer) ?? 0n) + receipt.fee)
  return {
    format: 'openledger-epoch-1',
    ...input,
    payouts: byKey(cumulative).map(([account, amount]) => ({ account, amount })),
    draws: byKey(drawn).map(([payer, amount]) => ({ payer, amount })),
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

/** Roots and total that go on chain. `total` is what this epoch draws and pays. */
export function epochRoots(file: EpochFile): EpochRoots {
  const domain = { chainId: file.chainId, settlement: file.settlement }
  return {
    receiptsRoot: receiptsTree(file.receipts, domain).root,
    payoutsRoot: payoutsTree(file).root,
    total: file.draws.reduce((n, draw) => n + draw.amount, 0n),
    dataHash: keccak(encodeEpoch(file)),
  }
}

/** Leaf of a receipt in its epoch's tree. */
export const receiptLeaf = ({ receipt }: SignedReceipt, domain: ReceiptDomain): Hex =>
  leafHash('receipt', [receipt.requestId, receiptHash(receipt, domain)])

/** Tree over an epoch's receipts. */
export const receiptsTree = (
  receipts: readonly SignedReceipt[],
  domain: ReceiptDomain,
): MerkleTree => merkleTree(receipts.map((signed) => receiptLeaf(signed, domain)))

/** Tree over cumulative payouts; a claim proves `leafHash('payout', [account, amount])` in it. */
export const payoutsTree = ({ payouts }: Pick<EpochFile, 'payouts'>): MerkleTree =>
  merkleTree(payouts.map(({ account, amount }) => leafHash('payout', [account, amount])))

const byKey = <V>(map: ReadonlyMap<Hex, V>): [Hex, V][] =>
  [...map].toSorted(([a], [b]) => (a < b ? -1 : 1))

const bigintAsDecimal = (_key: string, value: unknown) =>
  typeof value === 'bigint' ? value.toString() : value
