import type { Hex } from '#protocol/bytes.ts'
import type { ChainLog } from '../chain/logs.ts'
import type { Heads, IndexedBlock } from '../chain/read-blocks.ts'
import { reverseAfter, snapshot, type LedgerSql, type LedgerTx } from './ledger.ts'
import { epochsOf, MONEY_EVENTS, postLogs, type ReadEpoch } from './postings.ts'

/**
 * The index of the contracts' logs in Postgres. One writer (ChainIndexer), and each change one database transaction:
 * blocks come with their logs, and go with them and with a reversal of what the ledger took from them.
 */

export type Head = { latest: number; safe: number; final: number; indexed: number; posted: number }

/** Hashes of so many blocks below finality are kept, for a chain that loses even those. */
const KEEP_BLOCKS = 10_000

/** How far the index is; null before its first block. */
export async function readHead(tx: LedgerTx): Promise<Head | null> {
  const [row] = await tx<Record<keyof Head, string>[]>`
    SELECT latest, safe, final, indexed, posted FROM chain_head`
  return row
    ? {
        latest: Number(row.latest),
        safe: Number(row.safe),
        final: Number(row.final),
        indexed: Number(row.indexed),
        posted: Number(row.posted),
      }
    : null
}

/** Adds the blocks after `head.indexed` up to `to`, with their logs. */
export async function extendIndex(
  sql: LedgerSql,
  {
    heads,
    from,
    to,
    blocks,
    logs,
  }: { heads: Heads; from: number; to: number; blocks: IndexedBlock[]; logs: ChainLog[] },
): Promise<void> {
  const { latest, safe, final } = heads
  await sql.begin(async (tx) => {
    await tx`
      INSERT INTO chain_block (number, hash, made_at)
      SELECT number, hash, to_timestamp("time")
      FROM json_to_recordset(${JSON.stringify(blocks)}::text::json) AS b (number bigint, hash text, "time" double precision)`
    await tx`
      INSERT INTO chain_log (block, log_index, tx_hash, contract, event, account, args)
      SELECT block, "logIndex", "txHash", contract, event, account, args
      FROM json_to_recordset(${JSON.stringify(logs)}::text::json) AS l (block bigint, "logIndex" integer, "txHash" text,
        contract text, event text, account text, args json)`
    await tx`
      INSERT INTO chain_head (latest, safe, final, indexed, posted)
      VALUES (${latest}, ${safe}, ${final}, ${to}, ${from - 1})
      ON CONFLICT (id) DO UPDATE SET latest = excluded.latest, safe = excluded.safe, final = excluded.final,
        indexed = excluded.indexed`
    await tx`
      DELETE FROM chain_block b WHERE number < ${final - KEEP_BLOCKS}
      AND NOT EXISTS (SELECT FROM chain_log WHERE block = b.number)`
  })
}

/** Moves the heads when no block has come. */
export const moveHeads = (sql: LedgerSql, { latest, safe, final }: Heads) =>
  sql.begin((tx) => tx`UPDATE chain_head SET latest = ${latest}, safe = ${safe}, final = ${final}`)

/** Forgets every block after `block`, because they have left the chain; returns how many postings were reversed. */
export const rollBack = (sql: LedgerSql, block: number): Promise<number> =>
  sql.begin(async (tx) => {
    const reversed = await reverseAfter(tx, block)
    await tx`DELETE FROM chain_block WHERE number > ${block}`
    await tx`UPDATE chain_head SET latest = least(latest, ${block}), safe = least(safe, ${block}),
      final = least(final, ${block}), indexed = ${block}, posted = least(posted, ${block})`
    return reversed
  })

/** The highest of the known blocks between two numbers, both included; null when none is. */
export async function knownBlock(
  tx: LedgerTx,
  from: number,
  to: number,
): Promise<{ number: number; hash: Hex } | null> {
  const [row] = await tx<{ number: string; hash: Hex }[]>`
    SELECT number, hash FROM chain_block WHERE number BETWEEN ${from} AND ${to} ORDER BY number DESC LIMIT 1`
  return row ? { number: Number(row.number), hash: row.hash } : null
}

/** Numbers of all known blocks, lowest first. */
export const knownNumbers = async (tx: LedgerTx): Promise<number[]> =>
  (await tx<{ number: string }[]>`SELECT number FROM chain_block ORDER BY number`).map(
    ({ number }) => Number(number),
  )

const POST_LOGS = 500

/**
 * Posts the logs of safe blocks into the ledger, block by block, each with the mark of how far it is. Throws when an
 * epoch cannot be read; what was posted before stays posted.
 */
export async function postSafe(sql: LedgerSql, readEpoch: ReadEpoch): Promise<void> {
  for (;;) {
    const due = await snapshot(sql, unposted)
    if (!due) return
    for (const [block, logs] of Map.groupBy(due.logs, (log) => log.block)) {
      // Read before the database transaction, which is not to wait for a network.
      const epochs = await epochsOf(logs, readEpoch)
      await sql.begin(async (tx) => {
        for (const ofOne of Map.groupBy(logs, (log) => log.txHash).values())
          await postLogs(tx, ofOne, epochs)
        await tx`UPDATE chain_head SET posted = ${block}`
      })
    }
    await sql.begin((tx) => tx`UPDATE chain_head SET posted = ${due.upTo}`)
  }
}

/** Logs that move money in safe blocks, of whole blocks, and the block up to which these are all. */
async function unposted(tx: LedgerTx): Promise<{ upTo: number; logs: ChainLog[] } | null> {
  const head = await readHead(tx)
  if (!head || head.posted >= Math.min(head.safe, head.indexed)) return null
  const upTo = Math.min(head.safe, head.indexed)
  const rows = await tx<LogRow[]>`
    SELECT block, hash, log_index, tx_hash, contract, event, account, args
    FROM chain_log JOIN chain_block ON number = block
    WHERE block > ${head.posted} AND block <= ${upTo} AND contract || '.' || event IN (SELECT json_array_elements_text(${JSON.stringify(MONEY_EVENTS)}::text::json))
    ORDER BY block FETCH FIRST ${POST_LOGS} ROWS WITH TIES`
  const logs = rows.map(logOf).toSorted((a, b) => a.block - b.block || a.logIndex - b.logIndex)
  return { upTo: logs.length < POST_LOGS ? upTo : (logs.at(-1)?.block ?? upTo), logs }
}

type LogRow = {
  block: string
  hash: Hex
  log_index: number
  tx_hash: Hex
  contract: ChainLog['contract']
  event: string
  account: Hex | null
  args: Record<string, unknown>
}

const logOf = (row: LogRow): ChainLog => ({
  block: Number(row.block),
  blockHash: row.hash,
  logIndex: row.log_index,
  txHash: row.tx_hash,
  contract: row.contract,
  event: row.event,
  account: row.account,
  args: row.args,
})

/** How sure a block is: in the newest chain, derived from the L1, or derived from finalized L1 blocks. */
export type Certainty = 'pending' | 'safe' | 'final'

export type LogView = ChainLog & { certainty: Certainty; time: number }

export type LogQuery = {
  contract?: string
  event?: string
  account?: Hex
  /** Only logs with these arguments. */
  args?: Record<string, string>
  /** Only logs before this one. */
  before?: { block: number; logIndex: number }
  limit: number
}

/** Indexed logs, newest first. */
export async function findLogs(
  tx: LedgerTx,
  { contract, event, account, args, before, limit }: LogQuery,
): Promise<LogView[]> {
  const rows = await tx<(LogRow & { certainty: Certainty; time: number })[]>`
    SELECT block, hash, log_index, tx_hash, contract, event, account, args,
      extract(epoch FROM made_at)::float8 AS time,
      CASE WHEN block <= final THEN 'final' WHEN block <= safe THEN 'safe' ELSE 'pending' END AS certainty
    FROM chain_log JOIN chain_block ON number = block CROSS JOIN chain_head
    WHERE (${contract ?? null}::text IS NULL OR contract = ${contract ?? null})
      AND (${event ?? null}::text IS NULL OR event = ${event ?? null})
      AND (${account ?? null}::text IS NULL OR account = ${account ?? null})
      AND chain_log.args::jsonb @> ${JSON.stringify(args ?? {})}::text::jsonb
      AND (${before?.block ?? null}::bigint IS NULL
        OR (block, log_index) < (${before?.block ?? null}::bigint, ${before?.logIndex ?? null}::integer))
    ORDER BY block DESC, log_index DESC LIMIT ${limit}`
  return rows.map((row) => ({ ...logOf(row), certainty: row.certainty, time: row.time }))
}

/** Batches that curation rejected in safe blocks, from a block on, the oldest first. */
export async function findRejectedBatches(
  tx: LedgerTx,
  from: number,
): Promise<{ batchId: Hex; contributor: Hex; block: number }[]> {
  const rows = await tx<{ block: string; batchId: Hex; contributor: Hex }[]>`
    SELECT block, args->>'batchId' AS "batchId", args->>'contributor' AS contributor
    FROM chain_log CROSS JOIN chain_head
    WHERE contract = 'datanetRegistry' AND event = 'BatchRejected' AND block >= ${from} AND block <= safe
    ORDER BY block, log_index`
  return rows.map(({ block, ...batch }) => ({ ...batch, block: Number(block) }))
}
