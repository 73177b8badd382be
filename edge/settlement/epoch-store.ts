import type { Hex } from '#protocol/bytes.ts'
import { byPayerAndRequest, type Tally } from '#protocol/epoch.ts'
import type { EpochRoots } from '#protocol/ledgers.ts'
import {
  SCHEMA,
  UNSETTLED,
  type EpochRow,
  type EpochState,
  type SegmentRow,
} from './epoch-tables.ts'
import { OPEN, openReceiptStore } from './receipt-store.ts'

/**
 * SQLite of the ReceiptBatcher: receipts in the order they came, epochs with their state, and what every account has
 * earned in all. A receipt belongs to at most one epoch, and an epoch's credits enter `payout` in the same
 * transaction that gives it its roots: a crash leaves both or neither.
 */

export type EpochStore = ReturnType<typeof openEpochStore>

/** Opens (and on first use creates) the store in a Durable Object's SQLite. */
export function openEpochStore(storage: DurableObjectStorage) {
  const { sql } = storage
  sql.exec(SCHEMA)
  const receipts = openReceiptStore(storage)
  const epochs = (where: string, ...values: (string | number)[]) =>
    sql.exec<EpochRow>(`SELECT * FROM epoch ${where}`, ...values).toArray()
  const set = (epoch: number, values: Partial<Omit<EpochRow, 'epoch'>>) => {
    const names = Object.keys(values)
    sql.exec(
      `UPDATE epoch SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE epoch = ?`,
      ...Object.values(values),
      epoch,
    )
  }
  const addPayouts = (changes: Iterable<readonly [Hex, bigint]>) => {
    for (const [account, wei] of changes) {
      const [row] = sql
        .exec<{ amount: string }>('SELECT amount FROM payout WHERE account = ?', account)
        .toArray()
      sql.exec(
        'INSERT OR REPLACE INTO payout (account, amount) VALUES (?, ?)',
        account,
        (BigInt(row?.amount ?? 0) + wei).toString(),
      )
    }
  }

  const lastEpoch = (): number =>
    sql.exec<{ n: number }>('SELECT coalesce(MAX(epoch), 0) AS n FROM epoch').one().n

  return {
    ...receipts,

    /** Ends an epoch whose receipts are in the archive: only their ids stay. All or nothing. */
    finish(epoch: number): void {
      storage.transactionSync(() => {
        sql.exec(
          `INSERT INTO archived (request_id, epoch, position)
           SELECT unhex(substr(request_id, 3)), epoch, position FROM receipt WHERE epoch = ?`,
          epoch,
        )
        sql.exec('DELETE FROM receipt WHERE epoch = ?', epoch)
        sql.exec('DELETE FROM segment WHERE epoch = ?', epoch)
        set(epoch, { state: 'final' })
      })
    },

    /**
     * Closes the next epoch over the oldest receipts, all made under the same governed numbers, at most so many, of at
     * most so many payers, and puts them in their order. None when none waits. All or nothing.
     */
    take(most: Record<'receipts' | 'payers', number>, now: number): void {
      receipts.recount()
      storage.transactionSync(() => {
        const paying = new Set<Hex>()
        const taken: { seq: number; requestId: Hex; payer: Hex; params_hash: Hex }[] = []
        for (const row of sql.exec<(typeof taken)[number]>(
          `SELECT seq, request_id AS requestId, payer, params_hash FROM receipt
           WHERE ${OPEN} AND position IS NULL AND params_hash =
             (SELECT params_hash FROM receipt WHERE ${OPEN} ORDER BY seq LIMIT 1)
           ORDER BY seq LIMIT ?`,
          most.receipts,
        )) {
          if (paying.add(row.payer).size > most.payers) break
          taken.push(row)
        }
        const [first] = taken
        if (!first) return
        const epoch = lastEpoch() + 1
        sql.exec(
          `INSERT INTO epoch (epoch, state, receipts, params_hash, built_at) VALUES (?, 'taken', ?, ?, ?)`,
          epoch,
          taken.length,
          first.params_hash,
          now,
        )
        for (const [position, { seq }] of taken.toSorted(byPayerAndRequest).entries())
          sql.exec('UPDATE receipt SET epoch = ?, position = ? WHERE seq = ?', epoch, position, seq)
      })
    },

    payouts: (): Map<Hex, bigint> =>
      new Map(
        sql
          .exec<{ account: Hex; amount: string }>('SELECT account, amount FROM payout')
          .toArray()
          .map(({ account, amount }) => [account, BigInt(amount)]),
      ),

    payout: (account: Hex): bigint =>
      BigInt(
        sql
          .exec<{ amount: string }>('SELECT amount FROM payout WHERE account = ?', account)
          .toArray()[0]?.amount ?? 0,
      ),

    /** An epoch that was taken is built: its credits are what accounts have earned. All or nothing. */
    build(
      epoch: number,
      roots: EpochRoots,
      segments: readonly SegmentRow[],
      { earned }: Tally,
    ): void {
      storage.transactionSync(() => {
        for (const [position, { kind, count, hash }] of segments.entries())
          sql.exec(
            'INSERT INTO segment (epoch, position, kind, count, hash) VALUES (?, ?, ?, ?, ?)',
            epoch,
            position,
            kind,
            count,
            hash,
          )
        addPayouts([...earned].map(([account, { wei }]) => [account, wei] as const))
        set(epoch, {
          state: 'built',
          credits: roots.credits,
          payouts: roots.payouts,
          receipts_root: roots.receiptsRoot,
          credits_root: roots.creditsRoot,
          payouts_root: roots.payoutsRoot,
          total: roots.total.toString(),
          tries: 0,
          next_at: 0,
          error: null,
        })
      })
    },

    /** Segments of an epoch that is not final, in the manifest's order. */
    segments: (epoch: number): SegmentRow[] =>
      sql
        .exec<SegmentRow>(
          'SELECT kind, count, hash, commitment FROM segment WHERE epoch = ? ORDER BY position',
          epoch,
        )
        .toArray(),

    /** Remembers where the data-availability layer has a segment. */
    setCommitment(epoch: number, hash: Hex, commitment: Hex): void {
      sql.exec(
        'UPDATE segment SET commitment = ? WHERE epoch = ? AND hash = ?',
        commitment,
        epoch,
        hash,
      )
    },

    /** Undoes an epoch that the chain has refused or disabled: its receipts wait again. All or nothing. */
    unbuild(epoch: number, { earned }: Tally): void {
      receipts.recount()
      storage.transactionSync(() => {
        sql.exec('UPDATE receipt SET epoch = NULL, position = NULL WHERE epoch = ?', epoch)
        sql.exec('DELETE FROM segment WHERE epoch = ?', epoch)
        sql.exec('DELETE FROM epoch WHERE epoch = ?', epoch)
        addPayouts([...earned].map(([account, { wei }]) => [account, -wei] as const))
        sql.exec(`DELETE FROM payout WHERE amount = '0'`)
      })
    },

    set,

    epoch: (epoch: number): EpochRow | null => epochs('WHERE epoch = ?', epoch)[0] ?? null,

    unsettled: (): EpochRow | null =>
      epochs(`WHERE state IN ${UNSETTLED} ORDER BY epoch LIMIT 1`)[0] ?? null,

    /** Epochs in a state, oldest first. */
    inState: (state: EpochState): EpochRow[] => epochs('WHERE state = ? ORDER BY epoch', state),

    /** When the oldest epoch that is on chain and not final is worth a look: null when there is none. */
    followAt: (): number | null =>
      sql
        .exec<{ at: number | null }>(
          `SELECT MIN(CASE state WHEN 'safe' THEN active_at ELSE 0 END) AS at FROM epoch
           WHERE state IN ('settled', 'safe', 'disabled')`,
        )
        .one().at,

    /** The newest epoch that is disabled and not undone. */
    disabled: (): EpochRow | null =>
      epochs(`WHERE state = 'disabled' ORDER BY epoch DESC LIMIT 1`)[0] ?? null,

    /** Newest epochs first. */
    newest: (limit: number, before: number): EpochRow[] =>
      epochs('WHERE epoch < ? ORDER BY epoch DESC LIMIT ?', before, limit),

    lastEpoch,
  }
}
