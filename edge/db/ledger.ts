import postgres from 'postgres'
import type { Hex } from '#protocol/bytes.ts'
import { creditsByAccount, epochCredits, type EpochFile } from '#protocol/epoch.ts'
import { Problem } from '../problem.ts'

const CONNECT_TIMEOUT_SECONDS = 10

export type LedgerSql = postgres.Sql

/**
 * Runs work on the Postgres behind Hyperdrive with a client of its own: workerd ties sockets to an invocation, and
 * Hyperdrive does the pooling. Throws what Postgres says.
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

/** `withLedger` inside a request: a ledger that cannot be reached is `ledger/unavailable` (503). */
export async function readLedger<T>(
  env: { LEDGER: Hyperdrive },
  work: (sql: LedgerSql) => Promise<T>,
): Promise<T> {
  try {
    return await withLedger(env, work)
  } catch (cause) {
    throw new Problem('ledger/unavailable', { retryAfter: 5, cause })
  }
}

/**
 * Posts a settled epoch: minus its draws to the payers, plus its credits to the earners, and its receipts. One
 * database transaction, idempotent by ('epoch', number); false when it was posted before. Postgres refuses it
 * unless it sums to zero.
 */
export const postEpoch = (
  sql: LedgerSql,
  file: EpochFile,
  settled: { txHash: Hex; dataHash: Hex },
): Promise<boolean> =>
  sql.begin(async (tx) => {
    const details = JSON.stringify({ ...settled, receipts: file.receipts.length })
    const [posted] = await tx<{ id: string }[]>`
      INSERT INTO ledger_transaction (kind, natural_key, details)
      VALUES ('epoch', ${String(file.epoch)}, ${details}::text::json)
      ON CONFLICT DO NOTHING RETURNING id`
    if (!posted) return false
    const entries = JSON.stringify(epochEntries(file))
    // Sorted, so that two postings never lock the same accounts in opposite order.
    await tx`
      INSERT INTO ledger_account (kind, address)
      SELECT kind, address FROM json_to_recordset(${entries}::text::json) AS e (kind text, address text)
      ORDER BY kind, address ON CONFLICT DO NOTHING`
    await tx`
      INSERT INTO ledger_entry (transaction_id, account_id, amount)
      SELECT ${posted.id}, a.id, e.amount
      FROM json_to_recordset(${entries}::text::json) AS e (kind text, address text, amount numeric)
      JOIN ledger_account a USING (kind, address)`
    await postReceipts(tx, file)
    return true
  })

async function postReceipts(tx: postgres.TransactionSql, file: EpochFile): Promise<void> {
  const receipts = file.receipts.map(({ receipt }) => ({
    requestId: receipt.requestId,
    payer: receipt.payer,
    worker: receipt.worker,
    base: receipt.base,
    adapter: receipt.adapter,
    promptTokens: receipt.promptTokens,
    completionTokens: receipt.completionTokens,
    fee: receipt.fee.toString(),
    unattributed: receipt.unattributed.toString(),
    time: Number(receipt.time),
  }))
  const rows = file.receipts.flatMap(({ receipt: { requestId, rows } }) =>
    rows
      .filter(({ amount }) => amount > 0n)
      .map(({ cluster, record, contributor, amount }) => ({
        requestId,
        cluster,
        record,
        contributor,
        amount: amount.toString(),
      })),
  )
  await tx`
    INSERT INTO settled_receipt (request_id, epoch, payer, worker, base, adapter, prompt_tokens,
      completion_tokens, fee, unattributed, made_at)
    SELECT "requestId", ${file.epoch}, payer, worker, base, adapter, "promptTokens", "completionTokens",
      fee, unattributed, to_timestamp("time")
    FROM json_to_recordset(${JSON.stringify(receipts)}::text::json) AS r ("requestId" text, payer text, worker text,
      base text, adapter text, "promptTokens" bigint, "completionTokens" bigint, fee numeric,
      unattributed numeric, "time" double precision)`
  await tx`
    INSERT INTO paid_record (request_id, cluster, record, contributor, amount)
    SELECT "requestId", cluster, record, contributor, amount
    FROM json_to_recordset(${JSON.stringify(rows)}::text::json) AS r ("requestId" text, cluster text, record text,
      contributor text, amount numeric)`
}

function epochEntries(file: EpochFile): { kind: string; address: Hex; amount: string }[] {
  const credits = creditsByAccount(epochCredits(file))
  return [
    ...file.draws.map(({ payer, amount }) => ({
      kind: 'payer',
      address: payer,
      amount: (-amount).toString(),
    })),
    ...[...credits].map(([address, amount]) => ({
      kind: 'earner',
      address,
      amount: amount.toString(),
    })),
  ]
}

export type LedgerState = {
  /** Newest posted epoch; 0 when none is. */
  epoch: number
  epochs: number
  /** Wei drawn from payers and credited to earners, in all. */
  drawn: bigint
  credited: bigint
  /** Wei credited per earner, sorted by address. */
  earners: { account: Hex; amount: bigint }[]
}

/** Everything the ledger says about earnings, as of one moment. */
export async function ledgerState(sql: LedgerSql): Promise<LedgerState> {
  const [[epochs], sums, earners] = await sql.begin(
    'isolation level repeatable read read only',
    (tx) =>
      Promise.all([
        tx<{ newest: number; count: number }[]>`
        SELECT coalesce(max(natural_key::bigint), 0)::int AS newest, count(*)::int AS count
        FROM ledger_transaction WHERE kind = 'epoch'`,
        tx<{ kind: string; amount: string }[]>`
        SELECT kind, sum(amount)::text AS amount
        FROM ledger_entry JOIN ledger_account a ON a.id = account_id GROUP BY kind`,
        tx<{ account: Hex; amount: string }[]>`
        SELECT address AS account, sum(amount)::text AS amount
        FROM ledger_entry JOIN ledger_account a ON a.id = account_id
        WHERE kind = 'earner' GROUP BY address ORDER BY address`,
      ]),
  )
  const sumOf = (kind: string) => BigInt(sums.find((sum) => sum.kind === kind)?.amount ?? 0)
  return {
    epoch: epochs?.newest ?? 0,
    epochs: epochs?.count ?? 0,
    drawn: -sumOf('payer'),
    credited: sumOf('earner'),
    earners: earners.map(({ account, amount }) => ({ account, amount: BigInt(amount) })),
  }
}
