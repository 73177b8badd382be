/**
 * What challenges are made of: parts of published epochs and indexes, opened as the contracts take them
 * (contracts/src/interfaces/IReceiptChallenges.sol and IEpochChallenges.sol).
 */
import { toHex, ZERO_ADDRESS, ZERO_HASH, type Hex } from './bytes.ts'
import { PART, type EpochFile } from './epoch.ts'
import {
  creditsTree,
  payoutsTree,
  receiptsTree,
  type Ledger,
  type SettledCredit,
} from './ledgers.ts'
import { influenceRowLeaf, type InfluenceRow } from './influence-row.ts'
import { merkleTree } from './merkle.ts'
import {
  groupHash,
  openReceipt,
  openRow,
  rowHash,
  type ReceiptHead,
  type RowOpening,
} from './opening.ts'
import {
  groupRows,
  queryBytes,
  ROWS_PER_GROUP,
  type Citation,
  type Receipt,
  type SignedReceipt,
  type Span,
} from './receipt.ts'
import { openToken } from './tokens.ts'

export type ReceiptEvidence = {
  epoch: bigint
  index: number
  spent: bigint
  head: ReceiptHead
  proof: Hex[]
}

/** A receipt at its position in an epoch's file. */
export function receiptEvidence(file: EpochFile, index: number): ReceiptEvidence {
  const tree = receiptsTree(file)
  const leaf = tree.leaves[index]
  if (!leaf) throw new RangeError(`epoch ${file.epoch} has no receipt ${index}`)
  const head = openReceipt(leaf.receipt)
  return { epoch: BigInt(file.epoch), index, spent: leaf.spent, head, proof: tree.proof(index) }
}

/** A receipt that is in no epoch, or any receipt where none is looked at. */
export const looseReceipt = (receipt: Receipt): ReceiptEvidence => ({
  epoch: 0n,
  index: 0,
  spent: 0n,
  head: openReceipt(receipt),
  proof: [],
})

export type RowEvidence = { groups: Hex[]; hashes: Hex[]; position: bigint; row: RowOpening }

/** One of a receipt's rows; beyond them the last group and a row of zeros, which shows that there is none. */
export function rowEvidence({ rows }: Pick<Receipt, 'rows'>, position: number): RowEvidence {
  const groups = groupRows(rows)
  const group = groups[Math.floor(position / ROWS_PER_GROUP)] ?? groups.at(-1) ?? []
  return {
    groups: groups.map(groupHash),
    hashes: group.map(rowHash),
    position: BigInt(position),
    row: rows[position] ? openRow(rows[position]) : NO_ROW,
  }
}

const NO_ROW: RowOpening = {
  cluster: ZERO_HASH,
  record: ZERO_HASH,
  contributor: ZERO_ADDRESS,
  influence: 0n,
  significance: 0n,
  text: 0n,
  spansHash: ZERO_HASH,
  amount: 0n,
}

export type PartEvidence = { listed: RowEvidence; citations: Citation[] }

/** What a part of a receipt (PART of epoch.ts) is read from; also shows that a receipt has no such part. */
export function partEvidence(receipt: Receipt, part: number): PartEvidence {
  const isCitation = part >= PART.citations
  return {
    listed: rowEvidence(receipt, isCitation ? 0 : Math.max(0, part - PART.rows)),
    citations: isCitation ? receipt.citations : [],
  }
}

/** Everything in a receipt that its head gives as a hash: the answer to a demand for it. */
export type ReceiptContent = {
  datanets: Hex[]
  rows: RowOpening[]
  spans: Span[][]
  citations: Citation[]
  query: Hex
}

export const receiptContent = (
  signed: Pick<SignedReceipt, 'receipt' | 'query'>,
): ReceiptContent => ({
  datanets: signed.receipt.datanets,
  rows: signed.receipt.rows.map(openRow),
  spans: signed.receipt.rows.map(({ spans }) => spans),
  citations: signed.receipt.citations,
  query: toHex(queryBytes(signed)),
})

export type IndexRowEvidence = InfluenceRow & { proof: Hex[] }

/** A row of an adapter's index; throws when the index has none of that number. */
export function indexRowEvidence(rows: readonly InfluenceRow[], index: number): IndexRowEvidence {
  const row = rows[index]
  if (!row) throw new RangeError(`the index has no row ${index}`)
  return { ...row, proof: merkleTree(rows.map(influenceRowLeaf)).proof(influenceRowLeaf(row)) }
}

/** In the place of a row that a receipt does not list: what is not looked at. */
export const NO_INDEX_ROW: IndexRowEvidence = {
  record: ZERO_HASH,
  cluster: ZERO_HASH,
  contributor: ZERO_ADDRESS,
  vectorHash: ZERO_HASH,
  exponent: 0,
  nullMean: 0n,
  nullDeviation: 0n,
  self: 0n,
  tokensRoot: ZERO_HASH,
  tokens: 0,
  proof: [],
}

export type TokenEvidence = { leaf: Hex; proof: Hex[] }

/** The token at a position; zeros outside, where none is looked at. */
export function tokenEvidence(tokens: readonly number[], position: number): TokenEvidence {
  if (position >= tokens.length) return { leaf: '0x', proof: [] }
  const { leaf, proof } = openToken(tokens, position)
  return { leaf: toHex(leaf), proof }
}

type Gap<Leaf> = { index: number; left: Leaf; leftProof: Hex[]; right: Leaf; rightProof: Hex[] }
export type CreditGap = Gap<SettledCredit>
export type PayoutLeaf = { account: Hex; cumulative: bigint }
export type PayoutGap = Gap<PayoutLeaf>

const NO_CREDIT: SettledCredit = {
  account: ZERO_ADDRESS,
  receipt: 0,
  part: 0,
  amount: 0n,
  cumulative: 0n,
}
const NO_PAYOUT: PayoutLeaf = { account: ZERO_ADDRESS, cumulative: 0n }

function gapOf<Leaf>(tree: Ledger<Leaf>, index: number, nothing: Leaf): Gap<Leaf> {
  const [left, right] = [tree.leaves[index - 1], tree.leaves[index]]
  return {
    index,
    left: left ?? nothing,
    leftProof: left ? tree.proof(index - 1) : [],
    right: right ?? nothing,
    rightProof: right ? tree.proof(index) : [],
  }
}

/** The place before a credit, with its neighbours. */
export const creditGap = (file: EpochFile, index: number): CreditGap =>
  gapOf(creditsTree(file), index, NO_CREDIT)

/** The place after an account's last credit, or where one would be. */
export const creditGapAfter = (file: EpochFile, account: Hex): CreditGap =>
  creditGap(file, countUpTo(creditsTree(file).leaves, account))

/** What a payout is proven from. */
export type Paid = Pick<EpochFile, 'payouts'>

/** The place before a payout, with its neighbours; without a file, that of an epoch in which nobody is paid. */
export function payoutGap(file: Paid | null, index: number): PayoutGap {
  const tree = payoutsTree(file ?? { payouts: [] })
  const leaves = tree.leaves.map(({ account, amount }) => ({ account, cumulative: amount }))
  return gapOf({ ...tree, leaves }, index, NO_PAYOUT)
}

/** The place after an account's payout, or where it would be. */
export const payoutGapAfter = (file: Paid | null, account: Hex): PayoutGap =>
  payoutGap(file, countUpTo(file?.payouts ?? [], account))

const countUpTo = (leaves: readonly { account: Hex }[], account: Hex): number =>
  leaves.filter((leaf) => leaf.account <= account).length
