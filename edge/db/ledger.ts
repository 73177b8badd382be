import postgres from 'postgres'
import type { Hex } from '#protocol/bytes.ts'
import { Problem } from '../problem.ts'

const CONNECT_TIMEOUT_SECONDS = 10

export type LedgerSql = postgres.Sql
export type LedgerTx = postgres.TransactionSql

/**
 * Runs work on the Postgres behind Hyperdrive with a client of its own: workerd ties sockets to an invocation, and
 * Hyperdrive does the pooling. Throws what Postgres says. Everything is to happen in transactions: the local PGlite is
 * one session for all its connections, and keeps them apart only while they are in a transaction.
 */
export async function withLedger<T>(
  { LEDGER }: { LEDGER: Hyperdrive },
  work: (sql: LedgerSql) => Promise<T>,
): Promise<T> {
  const sql = postgres(LEDGER.connectionString, {
    max: 1,
    fetch_types: false, // saves a round trip; no array columns here
    connect_timeout: CONNECT_TIMEOUT_SECONDS,
    onnotice: () => undefined,
  })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** Reads the ledger as of one moment, in a request; one that cannot be reached is `ledger/unavailable` (503). */
export async function readLedger<T>(
  env: { LEDGER: Hyperdrive },
  read: (tx: LedgerTx) => Promise<T>,
): Promise<T> {
  try {
    return await withLedger(env, (sql) => snapshot(sql, read))
  } catch (cause) {
    throw new Problem('ledger/unavailable', { retryAfter: 5, cause })
  }
}

/** Reads as of one moment. */
export const snapshot = async <T>(sql: LedgerSql, read: (tx: LedgerTx) => Promise<T>): Promise<T> =>
  (await sql.begin('isolation level repeatable read read only', read)) as T

/** Whose money: prepaid, earned, drawn for disabled epochs, or the world outside the contracts. */
export type AccountKind = 'payer' | 'earner' | 'disputed' | 'outside'

export type Entry = { kind: AccountKind; address: Hex; amount: bigint }

export type Posting = {
  kind: 'deposit' | 'withdrawal' | 'epoch' | 'disable' | 'refund' | 'claim' | 'reversal'
  /** Unique per kind: what happened, in the outside world's own name. */
  key: string
  block: number
  epoch?: number
  details: Record<string, unknown>
  /** Wei by account; together they are zero, or Postgres refuses the whole transaction at its commit. */
  entries: Entry[]
}

/** Posts a transaction. Idempotent by kind and key; returns its id, or null when it was posted before. */
export async function post(tx: LedgerTx, posting: Posting): Promise<string | null> {
  const { kind, key, block, epoch, details, entries } = posting
  const [posted] = await tx<{ id: string }[]>`
    INSERT INTO ledger_transaction (kind, natural_key, block, epoch, details)
    VALUES (${kind}, ${key}, ${block}, ${epoch ?? null}, ${JSON.stringify(details)}::text::json)
    ON CONFLICT DO NOTHING RETURNING id`
  if (!posted) return null
  const sums = JSON.stringify(summed(entries))
  // Sorted, so that two postings never lock the same accounts in opposite order.
  await tx`
    INSERT INTO ledger_account (kind, address)
    SELECT kind, address FROM json_to_recordset(${sums}::text::json) AS e (kind text, address text)
    ORDER BY kind, address ON CONFLICT DO NOTHING`
  await tx`
    INSERT INTO ledger_entry (transaction_id, account_id, amount)
    SELECT ${posted.id}, a.id, e.amount
    FROM json_to_recordset(${sums}::text::json) AS e (kind text, address text, amount numeric)
    JOIN ledger_account a USING (kind, address)`
  return posted.id
}

/** One entry per account, none of zero. */
function summed(entries: readonly Entry[]): { kind: AccountKind; address: Hex; amount: string }[] {
  const sums = new Map<string, Entry>()
  for (const entry of entries) {
    const key = `${entry.kind}:${entry.address}`
    sums.set(key, { ...entry, amount: (sums.get(key)?.amount ?? 0n) + entry.amount })
  }
  return [...sums.values()]
    .filter(({ amount }) => amount !== 0n)
    .map((entry) => ({ ...entry, amount: entry.amount.toString() }))
}

/** Entries of a posted transaction. */
export async function entriesOf(tx: LedgerTx, transactionId: string): Promise<Entry[]> {
  const rows = await tx<{ kind: AccountKind; address: Hex; amount: string }[]>`
    SELECT kind, address, amount::text FROM ledger_entry JOIN ledger_account a ON a.id = account_id
    WHERE transaction_id = ${transactionId}`
  return rows.map((row) => ({ ...row, amount: BigInt(row.amount) }))
}

/**
 * Takes back, newest first, whatever was posted from blocks after `block`, because they have left the chain. What is
 * posted stays: the opposite is posted beside it.
 */
export async function reverseAfter(tx: LedgerTx, block: number): Promise<number> {
  const gone = await tx<{ id: string; kind: string; block: string; epoch: string | null }[]>`
    SELECT id, kind, block, epoch FROM ledger_standing WHERE block > ${block} ORDER BY id DESC`
  for (const { id, kind, block: at, epoch } of gone) {
    const entries = await entriesOf(tx, id)
    await post(tx, {
      kind: 'reversal',
      key: id,
      block: Number(at),
      ...(epoch !== null && { epoch: Number(epoch) }),
      details: { of: kind, because: `block ${at} left the chain` },
      entries: entries.map((entry) => ({ ...entry, amount: -entry.amount })),
    })
    if (kind === 'epoch' && epoch !== null) await forgetReceipts(tx, Number(epoch))
  }
  return gone.length
}

/** Drops the statistics of an epoch that is not on the chain any more. */
export async function forgetReceipts(tx: LedgerTx, epoch: number): Promise<void> {
  await tx`DELETE FROM paid_record WHERE request_id IN
    (SELECT request_id FROM settled_receipt WHERE epoch = ${epoch})`
  await tx`DELETE FROM settled_receipt WHERE epoch = ${epoch}`
}
