import type { Hex } from '#protocol/bytes.ts'

/**
 * SQLite of the ChainWriter. A transaction's life: queued (no nonce) -> sent (nonce; at least one signed attempt
 * stored) -> success | reverted (in a block) -> final (the block is finalized). Only the chain's memory loss moves
 * it back. Several attempts share a nonce: fee bumps; at most one of them can be mined.
 */

/**
 * `value` is wei in decimal, or the name of the governed number that is due. `budget` is the wei that sending it may
 * cost, in decimal; without one it costs what it costs. What has a budget waits for a price that fits, and lets all
 * others pass.
 */
export type OutboxEntry = {
  key: string
  to: Hex
  data: Hex
  value: string
  budget?: string
}

export type OutboxStatus = 'queued' | 'sent' | 'success' | 'reverted'

export type OutboxRow = {
  key: string
  seq: number
  to_address: Hex
  data: Hex
  value: string
  budget: string | null
  status: OutboxStatus
  nonce: number | null
  /** Simulation failed while this nonce was in flight: tried again once everything up to it is mined. */
  wait_nonce: number | null
  /** Rounds in which the nonce was used up on chain and no attempt had a receipt. */
  lost: number
  tries: number
  next_at: number
  tx_hash: Hex | null
  block_number: number | null
  block_hash: Hex | null
  reason: string | null
  error: string | null
  final: number
  notified: number
  created_at: number
}

/** Where a transaction stands. */
export type TransactionStatus = {
  status: OutboxStatus | 'unknown'
  /** Unix milliseconds. */
  createdAt: number | null
  txHash: Hex | null
  blockNumber: number | null
  final: boolean
  /** Decoded reason of a revert. */
  reason: string | null
  /** What the last round failed with, while it is being tried again. */
  error: string | null
}

export type Attempt = {
  hash: Hex
  raw: Hex
  gas: string
  max_fee: string
  tip: string
  signed_at: number
  /** Head of the chain when it was signed. */
  block: number
  sent_at: number
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  to_address TEXT NOT NULL, data TEXT NOT NULL, value TEXT NOT NULL, budget TEXT,
  status TEXT NOT NULL DEFAULT 'queued',
  nonce INTEGER, wait_nonce INTEGER, lost INTEGER NOT NULL DEFAULT 0,
  tries INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL DEFAULT 0,
  tx_hash TEXT, block_number INTEGER, block_hash TEXT, reason TEXT, error TEXT,
  final INTEGER NOT NULL DEFAULT 0, notified INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_status ON outbox (status, nonce);
CREATE INDEX IF NOT EXISTS outbox_block ON outbox (block_number);
CREATE INDEX IF NOT EXISTS outbox_open ON outbox (final, notified);
CREATE TABLE IF NOT EXISTS attempt (
  hash TEXT PRIMARY KEY, key TEXT NOT NULL, raw TEXT NOT NULL, gas TEXT NOT NULL,
  max_fee TEXT NOT NULL, tip TEXT NOT NULL,
  signed_at INTEGER NOT NULL, block INTEGER NOT NULL, sent_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS attempt_key ON attempt (key);
`

export type Outbox = ReturnType<typeof openOutbox>

/** Opens (and on first use creates) the outbox in a Durable Object's SQLite. */
export function openOutbox(storage: DurableObjectStorage) {
  const { sql } = storage
  sql.exec(SCHEMA)
  const rows = (where: string, ...values: (string | number)[]) =>
    sql.exec<OutboxRow>(`SELECT * FROM outbox ${where}`, ...values).toArray()
  const set = (key: string, values: Partial<Omit<OutboxRow, 'key' | 'seq'>>) => {
    const names = Object.keys(values)
    sql.exec(
      `UPDATE outbox SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE key = ?`,
      ...Object.values(values),
      key,
    )
  }
  const count = (where: string) =>
    sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM outbox WHERE ${where}`).one().n

  return {
    status: (key: string): TransactionStatus => statusOf(rows('WHERE key = ?', key)[0]),
    /** The data of a transaction's call. */
    data: (key: string): Hex | null => rows('WHERE key = ?', key)[0]?.data ?? null,
    set,

    /**
     * Adds a transaction; the same key again is a no-op. After a revert the key may be used again, also for another
     * payload: the reverted one can no longer take effect. Throws when a live key comes with another payload.
     */
    add: ({ key, to, data, value, budget }: OutboxEntry, now: number): void => {
      const known = rows('WHERE key = ?', key)[0]
      if (known && !(known.status === 'reverted' && known.final)) {
        if (known.to_address !== to || known.data !== data || known.value !== value)
          throw new Error(`outbox: ${key} is taken by another transaction`)
        return
      }
      storage.transactionSync(() => {
        sql.exec('DELETE FROM attempt WHERE key = ?', key)
        sql.exec('DELETE FROM outbox WHERE key = ?', key)
        sql.exec(
          'INSERT INTO outbox (key, to_address, data, value, budget, created_at) VALUES (?, ?, ?, ?, ?, ?)',
          key,
          to,
          data,
          value,
          budget ?? null,
          now,
        )
      })
    },

    /** In the order they came; what has a budget comes after all others, and may be tried in any order. */
    queued: (limit: number) =>
      rows(
        `WHERE status = 'queued'
         ORDER BY budget IS NOT NULL, CASE WHEN budget IS NULL THEN 0 ELSE next_at END, seq LIMIT ?`,
        limit,
      ),
    sent: () => rows(`WHERE status = 'sent' ORDER BY nonce`),
    mined: (before: number) =>
      rows(
        `WHERE status IN ('success', 'reverted') AND block_number < ? ORDER BY block_number DESC LIMIT 1`,
        before,
      )[0],
    /** The nonce after every transaction of ours that is known to be in a block. */
    nextNonce: () =>
      sql
        .exec<{ n: number }>(
          'SELECT coalesce(MAX(nonce) + 1, 0) AS n FROM outbox WHERE block_number IS NOT NULL',
        )
        .one().n,
    unfinal: () => rows(`WHERE status IN ('success', 'reverted') AND final = 0 ORDER BY seq`),
    /** Outcomes nobody was told of. A revert is only told when final: callers then build something else. */
    untold: (limit: number) =>
      rows(
        `WHERE notified = 0 AND (status = 'success' OR (status = 'reverted' AND final = 1)) ORDER BY seq LIMIT ?`,
        limit,
      ),
    open: () => ({
      moving: count(`status IN ('queued', 'sent')`),
      untold: count(`final = 1 AND notified = 0`),
      unfinal: count(`status IN ('success', 'reverted') AND final = 0`),
    }),

    attempts: (key: string) =>
      sql
        .exec<Attempt>(
          'SELECT * FROM attempt WHERE key = ? ORDER BY signed_at DESC, rowid DESC',
          key,
        )
        .toArray(),

    /** Stores a signed attempt and the row's nonce in one step: whatever is sent was written down before. */
    sign: (key: string, nonce: number, attempt: Attempt) =>
      storage.transactionSync(() => {
        sql.exec(
          `INSERT OR REPLACE INTO attempt (hash, key, raw, gas, max_fee, tip, signed_at, block, sent_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          attempt.hash,
          key,
          attempt.raw,
          attempt.gas,
          attempt.max_fee,
          attempt.tip,
          attempt.signed_at,
          attempt.block,
          attempt.sent_at,
        )
        set(key, { status: 'sent', nonce, wait_nonce: null, lost: 0, error: null, tries: 0 })
      }),

    resent: (hash: Hex, now: number) =>
      sql.exec('UPDATE attempt SET sent_at = ? WHERE hash = ?', now, hash),

    /** Forgets nonce and attempts: the nonce was used up by a transaction that is not ours. */
    requeue: (key: string) =>
      storage.transactionSync(() => {
        sql.exec('DELETE FROM attempt WHERE key = ?', key)
        set(key, { status: 'queued', nonce: null, lost: 0 })
      }),

    /** The block of these transactions is not on the chain any more: they are in flight again. */
    unmine: (fromBlock: number) =>
      sql.exec(
        `UPDATE outbox SET status = 'sent', final = 0, notified = 0, tx_hash = NULL, block_number = NULL,
         block_hash = NULL, reason = NULL WHERE status IN ('success', 'reverted') AND block_number >= ?`,
        fromBlock,
      ),

    finalize: (upToBlock: number) =>
      sql.exec(
        `UPDATE outbox SET final = 1 WHERE final = 0 AND status IN ('success', 'reverted') AND block_number <= ?`,
        upToBlock,
      ),

    /** Signed bytes are kept past finality, because a local chain can lose even finalized blocks. */
    prune: (before: number) =>
      sql.exec(
        'DELETE FROM attempt WHERE key IN (SELECT key FROM outbox WHERE final = 1 AND created_at < ?)',
        before,
      ),
  }
}

const statusOf = (row: OutboxRow | undefined): TransactionStatus => ({
  // A revert that a reorg could still undo counts as under way.
  status: !row ? 'unknown' : row.status === 'reverted' && !row.final ? 'sent' : row.status,
  createdAt: row?.created_at ?? null,
  txHash: row?.tx_hash ?? null,
  blockNumber: row?.block_number ?? null,
  final: row?.final === 1,
  reason: row?.reason ?? null,
  error: row?.error ?? null,
})
