import { concatBytes, fromHex, keccak, toHex, type Hex } from './bytes.ts'
import {
  groupRows,
  listedClusters,
  RECEIPT_TYPES,
  type Citation,
  type Receipt,
  type ReceiptRow,
} from './receipt.ts'
import { structHash } from './typed-data.ts'

/** Receipts as the contracts take them (Receipts.sol): every list as its EIP-712 hash, to be opened where it matters. */
export type RowOpening = Omit<ReceiptRow, 'spans'> & { spansHash: Hex }

export type ReceiptHead = Omit<Receipt, 'datanets' | 'rows' | 'citations'> & {
  datanetsHash: Hex
  clustersHash: Hex
  rowsHash: Hex
  citationsHash: Hex
}

/** EIP-712 hash of a list of 32-byte items. */
export const listHash = (items: readonly Hex[]): Hex => keccak(concatBytes(...items.map(fromHex)))

/** Hash of a group of rows. */
export const groupHash = (rows: readonly ReceiptRow[]): Hex => listHash(rows.map(rowHash))

export const rowHash = (row: ReceiptRow): Hex => toHex(structHash(RECEIPT_TYPES, 'Row', row))

const citationHash = (citation: Citation): Hex =>
  toHex(structHash(RECEIPT_TYPES, 'Citation', citation))

/** A row with its spans as their hash. */
export const openRow = ({ spans, ...row }: ReceiptRow): RowOpening => ({
  ...row,
  spansHash: listHash(spans.map((span) => toHex(structHash(RECEIPT_TYPES, 'Span', span)))),
})

/** A receipt with its lists as their hashes. */
export const openReceipt = ({ datanets, rows, citations, ...receipt }: Receipt): ReceiptHead => ({
  ...receipt,
  datanetsHash: listHash(datanets),
  clustersHash: keccak(fromHex(listedClusters({ rows }))),
  rowsHash: listHash(groupRows(rows).map(groupHash)),
  citationsHash: listHash(citations.map(citationHash)),
})
