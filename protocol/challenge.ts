/**
 * Every challenge as the call it is: what a validator sends, and what the contracts' tests send. Each is built from published
 * files alone (an epoch's file, the one before it, an adapter's index); whether it proves anything is the contract's to say
 * (IReceiptChallenges.sol, IEpochChallenges.sol). All throw a RangeError when asked for what the files do not have.
 */
import { toHex, type Hex } from './bytes.ts'
import type { EpochFile } from './epoch.ts'
import { creditsTree } from './ledgers.ts'
import type { InfluenceRow } from './influence-row.ts'
import { openRow } from './opening.ts'
import {
  creditGap,
  creditGapAfter,
  indexRowEvidence,
  looseReceipt,
  NO_INDEX_ROW,
  partEvidence,
  payoutGap,
  payoutGapAfter,
  receiptContent,
  receiptEvidence,
  rowEvidence,
  tokenEvidence,
  type Paid,
} from './proof.ts'
import { listedClusters, queryBytes, type SignedReceipt } from './receipt.ts'

/** A call of one of the two challenge contracts. */
export type Call = {
  contract: 'receiptChallenges' | 'epochChallenges'
  functionName: string
  args: readonly unknown[]
  /** Wei to send along. */
  value?: bigint
}

/** A receipt of an epoch's file, by its position. */
export type Disputed = { file: EpochFile; receipt: number }

/** A row of an adapter's index, by its position, with what is published about all rows. */
export type IndexedRow = {
  rows: readonly InfluenceRow[]
  row: number
  vector: Int8Array
}

const ofReceipt = (functionName: string, ...args: readonly unknown[]): Call => ({
  contract: 'receiptChallenges',
  functionName,
  args,
})
const ofEpoch = (functionName: string, ...args: readonly unknown[]): Call => ({
  contract: 'epochChallenges',
  functionName,
  args,
})

function signedAt({ file, receipt }: Disputed): SignedReceipt {
  const signed = file.receipts[receipt]
  if (!signed) throw new RangeError(`epoch ${file.epoch} has no receipt ${receipt}`)
  return signed
}
const evidenceOf = ({ file, receipt }: Disputed) => receiptEvidence(file, receipt)
const openedRows = (disputed: Disputed) => signedAt(disputed).receipt.rows.map(openRow)
const bytesOf = (vector: Int8Array): Hex =>
  toHex(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength))

/** Row `position` of the receipt does not have the scores, cluster or contributor that its row of the index gives it. */
export function challengeScore(
  disputed: Disputed,
  position: number,
  { rows, row, vector }: IndexedRow,
): Call {
  const signed = signedAt(disputed)
  return ofReceipt(
    'challengeScore',
    evidenceOf(disputed),
    rowEvidence(signed.receipt, position),
    indexRowEvidence(rows, row),
    toHex(queryBytes(signed)),
    bytesOf(vector),
  )
}

/** Where a span of a row is not what it says: token `offset` of span `span` of row `position`. */
export type SpanPlace = { position: number; span: number; offset: number }

/** A span reaches too far, or a token of it differs between answer and record. */
export function challengeSpan(
  disputed: Disputed,
  { position, span, offset }: SpanPlace,
  index: Pick<IndexedRow, 'rows' | 'row'>,
  { answer, record }: { answer: readonly number[]; record: readonly number[] },
): Call {
  const { receipt } = signedAt(disputed)
  const spans = receipt.rows[position]?.spans
  const claimed = spans?.[span]
  if (!claimed) throw new RangeError(`row ${position} has no span ${span}`)
  return ofReceipt(
    'challengeSpan',
    evidenceOf(disputed),
    rowEvidence(receipt, position),
    spans,
    BigInt(span),
    indexRowEvidence(index.rows, index.row),
    BigInt(offset),
    tokenEvidence(answer, claimed.outputStart + offset),
    tokenEvidence(record, claimed.recordStart + offset),
  )
}

/** A significant row of the index that is above the floor is not listed. */
export function challengeOmission(disputed: Disputed, { rows, row, vector }: IndexedRow): Call {
  const signed = signedAt(disputed)
  return ofReceipt(
    'challengeOmission',
    evidenceOf(disputed),
    listedClusters(signed.receipt),
    indexRowEvidence(rows, row),
    toHex(queryBytes(signed)),
    bytesOf(vector),
  )
}

/** Split, order, amounts or the unattributed part do not follow from the listed rows. */
export const challengeShares = (disputed: Disputed): Call =>
  ofReceipt('challengeShares', evidenceOf(disputed), openedRows(disputed))

/** Row `position` stands twice, does not belong, or gives another floor. */
export const challengeListing = (disputed: Disputed, position: number): Call =>
  ofReceipt('challengeListing', evidenceOf(disputed), openedRows(disputed), BigInt(position))

/** A citation does not get its equal part, or a cluster is cited twice. */
export const challengeCitations = (disputed: Disputed): Call =>
  ofReceipt('challengeCitations', evidenceOf(disputed), signedAt(disputed).receipt.citations)

/** Base, index, owner or Datanet versions are not those of the registered model. */
export const challengeModel = (disputed: Disputed): Call =>
  ofReceipt('challengeModel', evidenceOf(disputed), signedAt(disputed).receipt.datanets)

/**
 * One worker signed two receipts for one request: it loses its stake. `inEpoch` also disables the epoch of the first, which
 * has to be pending; without it the two need be in none.
 */
export function challengeEquivocation(
  disputed: Disputed,
  other: SignedReceipt,
  { inEpoch }: { inEpoch: boolean },
): Call {
  const { receipt, signature } = signedAt(disputed)
  return ofReceipt(
    'challengeEquivocation',
    inEpoch ? evidenceOf(disputed) : looseReceipt(receipt),
    signature,
    looseReceipt(other.receipt).head,
    other.signature,
  )
}

/** A credit is not what its receipt says. `position` is that of the credit in `creditsTree`. */
export function challengeCredit(file: EpochFile, position: number): Call {
  const credits = creditsTree(file)
  const credit = credits.leaves[position]
  if (!credit) throw new RangeError(`epoch ${file.epoch} has no credit ${position}`)
  const { receipt } = signedAt({ file, receipt: credit.receipt })
  return ofEpoch(
    'challengeCredit',
    receiptEvidence(file, credit.receipt),
    partEvidence(receipt, credit.part),
    position,
    credit,
    credits.proof(position),
  )
}

/** The cumulative sum of a credit does not follow from the one before it, or from the epoch before (null: there is none). */
export function challengeCredits(file: EpochFile, previous: Paid | null, position: number): Call {
  const gap = creditGap(file, position)
  return ofEpoch(
    'challengeCredits',
    BigInt(file.epoch),
    gap,
    payoutGapAfter(previous, gap.right.account),
  )
}

/** The payout of an account is not that of the epoch before (null: there is none) and its credits. */
export const challengeTotal = (file: EpochFile, previous: Paid | null, account: Hex): Call =>
  ofEpoch(
    'challengeTotal',
    BigInt(file.epoch),
    account,
    creditGapAfter(file, account),
    payoutGapAfter(file, account),
    payoutGapAfter(previous, account),
  )

/** Payout `position` does not come after the one before it. */
export const challengePayouts = (file: EpochFile, position: number): Call =>
  ofEpoch('challengePayouts', BigInt(file.epoch), payoutGap(file, position))

/**
 * Receipt `position` does not follow the one before it, or, where the receipts of a payer end, what was drawn is not what
 * they cost. `draws` are those of the transaction; `position` may be the number of receipts.
 */
export function challengeDraws(file: EpochFile, position: number, draws: EpochFile['draws']): Call {
  const { receipts } = file
  const [none] = receipts
  if (!none) throw new RangeError(`epoch ${file.epoch} has no receipts`)
  const at = (index: number) =>
    index in receipts ? receiptEvidence(file, index) : looseReceipt(none.receipt)
  return ofEpoch('challengeDraws', position, at(position - 1), at(position), draws)
}

/** The request of a receipt was settled in an earlier epoch already. */
export const challengeReplay = (disputed: Disputed, earlier: Disputed): Call =>
  ofEpoch('challengeReplay', evidenceOf(disputed), evidenceOf(earlier))

/** What can be demanded, by the number the contract has for it. */
export const DEMANDS = ['receipt', 'credit', 'payout', 'indexRow'] as const
export type DemandKind = (typeof DEMANDS)[number]

/** Something an epoch commits to: a receipt, credit or payout by its position, or row `position` of receipt `index`. */
export type Demanded = { kind: DemandKind; index: number; position: number }

/** Demands that it be shown; whoever does not in time loses. `bond` is `challenge.bond`. */
export const demand = (epoch: number, { kind, index, position }: Demanded, bond: bigint): Call => ({
  ...ofEpoch('demand', BigInt(epoch), DEMANDS.indexOf(kind), index, position),
  value: bond,
})

/** Shows what was demanded; an index row needs the rows of the adapter's index. */
export function answerDemand(
  id: Hex,
  { kind, index, position }: Demanded,
  { file, rows = [] }: { file: EpochFile; rows?: readonly InfluenceRow[] },
): Call {
  switch (kind) {
    case 'receipt': {
      const disputed = { file, receipt: index }
      return ofEpoch('answerReceipt', id, evidenceOf(disputed), receiptContent(signedAt(disputed)))
    }
    case 'credit': {
      const { right, rightProof } = creditGap(file, index)
      return ofEpoch('answerCredit', id, right, rightProof)
    }
    case 'payout': {
      const { right, rightProof } = payoutGap(file, index)
      return ofEpoch('answerPayout', id, right, rightProof)
    }
    case 'indexRow': {
      const disputed = { file, receipt: index }
      const { receipt } = signedAt(disputed)
      const listed = receipt.rows[position]
      const row = rows.findIndex(({ record }) => record === listed?.record)
      return ofEpoch(
        'answerIndexRow',
        id,
        evidenceOf(disputed),
        rowEvidence(receipt, position),
        listed ? indexRowEvidence(rows, row) : NO_INDEX_ROW,
      )
    }
  }
}
