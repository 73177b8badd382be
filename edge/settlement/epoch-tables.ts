import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { explanation, type Explanation } from '#protocol/generation.ts'
import type { SegmentKind } from '#protocol/segments.ts'
import { signedReceipt } from '#protocol/wire.ts'
import type { AnswerPrint } from '../datanets/pipeline/dedup-index.ts'

/** Tables of the ReceiptBatcher's SQLite (epoch-store.ts), their rows, and what it answers with. */

/**
 * taken: its receipts are its own, in their order. built: its roots are known and its segments lie in R2. stored: the
 * data-availability layer has them and their manifest. submitted: the ChainWriter has its transaction. settled: in a block. safe: that block is derived from the L1, and the payers' debts are released.
 * final: that block is final and the epoch can be claimed against, so that nothing can undo it any more; its receipts
 * are in the archive.
 * disabled: the chain has disabled it for good; it is refunded and then undone.
 */
export type EpochState =
  | 'taken'
  | 'built'
  | 'stored'
  | 'submitted'
  | 'settled'
  | 'safe'
  | 'final'
  | 'disabled'

/** Before these an epoch blocks the next one; after them only its own follow-up work remains. */
export const UNSETTLED = `('taken', 'built', 'stored', 'submitted')`

export type EpochRow = {
  epoch: number
  state: EpochState
  receipts: number
  /** These and the roots are zero until it is built. */
  credits: number
  payouts: number
  receipts_root: Hex
  credits_root: Hex
  payouts_root: Hex
  total: string
  /** Of its manifest; zero until it is stored. */
  data_hash: Hex
  params_hash: Hex
  commitment: Hex | null
  tx_hash: Hex | null
  block_number: number | null
  active_at: number | null
  tries: number
  next_at: number
  error: string | null
  built_at: number
  settled_at: number | null
  /** When the safe head of the chain was first seen to hold it. */
  safe_at: number | null
}

export type ReceiptRow = {
  seq: number
  request_id: Hex
  epoch: number | null
  position: number | null
  account_id: string
  signed: string
  explanation: string
  refused: string | null
}

/**
 * Shards of the way in. One object answers about 1,000 requests a second
 * (developers.cloudflare.com/durable-objects/platform/limits); more of them than that needs only write more often.
 */
export const INBOXES = 4

/** Name of the inbox of a request: by the first digit of its id. */
export const inboxName = (requestId: Hex): string =>
  String(Number.parseInt(requestId.slice(2, 3), 16) % INBOXES)

/** A receipt on its way from an inbox, as text: nobody between its check and its epoch needs to parse it. */
export type InboxRow = {
  seq: number
  request_id: Hex
  account_id: string
  payer: Hex
  params_hash: Hex
  /** SignedReceipt, Explanation and `manifests` of a NewReceipt. */
  signed: string
  explanation: string
  manifests: string
  received_at: number
}

/** What a request cost; nothing is owed for a refused one. */
export type Debt = { accountId: string; requestId: Hex; fee: bigint; refused: boolean }

/**
 * What a caller of the API paid for; `manifests` locate the presence tables of its Datanet versions, `answer` is for the
 * duplicate index of Datanets.
 */
export type NewReceipt = {
  signed: SignedReceipt
  explanation: Explanation
  accountId: string
  manifests: { root: Hex; manifest: Hex }[]
  answer: AnswerPrint
}

/** A segment of an epoch that is on its way. */
export type SegmentRow = {
  kind: SegmentKind
  count: number
  hash: Hex
  /** Null until the data-availability layer has it. */
  commitment: Hex | null
}

export type StoredReceipt = {
  signed: SignedReceipt
  explanation: Explanation
  accountId: string
  epoch: EpochRow | null
  /** Position in its epoch; null without one. */
  position: number | null
  /** Why no epoch will have it any more; null for an honest one. */
  refused: string | null
}

/** Where a receipt of a final epoch is. */
export type ArchivedAt = { epoch: EpochRow; position: number }

/** What a row of an inbox or of the batcher says of a receipt. */
export const storedReceipt = (
  row: Pick<InboxRow, 'signed' | 'explanation' | 'account_id'>,
  standing: Pick<StoredReceipt, 'epoch' | 'position' | 'refused'>,
): StoredReceipt => ({
  signed: signedReceipt.parse(JSON.parse(row.signed)),
  explanation: explanation.parse(JSON.parse(row.explanation)),
  accountId: row.account_id,
  ...standing,
})

export const SCHEMA = `
CREATE TABLE IF NOT EXISTS receipt (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  request_id TEXT NOT NULL UNIQUE,
  epoch INTEGER, position INTEGER,
  account_id TEXT NOT NULL, payer TEXT NOT NULL, params_hash TEXT NOT NULL,
  signed TEXT NOT NULL, explanation TEXT NOT NULL, received_at INTEGER NOT NULL, refused TEXT
);
CREATE INDEX IF NOT EXISTS receipt_place ON receipt (epoch, position);
-- Receipts of final epochs, 50 bytes each: they are in the archive, and never in another epoch.
CREATE TABLE IF NOT EXISTS archived (
  request_id BLOB PRIMARY KEY, epoch INTEGER NOT NULL, position INTEGER NOT NULL
) WITHOUT ROWID;
-- Up to which row the batcher has the receipts of an inbox.
CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS datanet (root TEXT PRIMARY KEY, manifest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS epoch (
  epoch INTEGER PRIMARY KEY, state TEXT NOT NULL, receipts INTEGER NOT NULL,
  credits INTEGER NOT NULL DEFAULT 0, payouts INTEGER NOT NULL DEFAULT 0,
  receipts_root TEXT NOT NULL DEFAULT '${ZERO_HASH}', credits_root TEXT NOT NULL DEFAULT '${ZERO_HASH}',
  payouts_root TEXT NOT NULL DEFAULT '${ZERO_HASH}', data_hash TEXT NOT NULL DEFAULT '${ZERO_HASH}',
  total TEXT NOT NULL DEFAULT '0',
  params_hash TEXT NOT NULL, commitment TEXT, tx_hash TEXT, block_number INTEGER, active_at INTEGER,
  tries INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL DEFAULT 0, error TEXT,
  built_at INTEGER NOT NULL, settled_at INTEGER, safe_at INTEGER
);
CREATE INDEX IF NOT EXISTS epoch_state ON epoch (state);
CREATE TABLE IF NOT EXISTS segment (
  epoch INTEGER NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, hash TEXT NOT NULL,
  commitment TEXT, PRIMARY KEY (epoch, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payout (account TEXT PRIMARY KEY, amount TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS insolvent (payer TEXT PRIMARY KEY, since INTEGER NOT NULL);
`
