import { fromHex, type Hex } from '#protocol/bytes.ts'
import { drawsOf, type EpochFile } from '#protocol/epoch.ts'
import { explanation, withoutWords } from '#protocol/generation.ts'
import { signedReceipt } from '#protocol/wire.ts'
import type { Archived } from './archive.ts'
import {
  storedReceipt,
  type ArchivedAt,
  type Debt,
  type EpochRow,
  type InboxRow,
  type NewReceipt,
  type ReceiptRow,
  type StoredReceipt,
} from './epoch-tables.ts'

/** Receipts that no epoch has and that one can take. */
export const OPEN =
  'epoch IS NULL AND refused IS NULL AND payer NOT IN (SELECT payer FROM insolvent)'

/** The receipts of the ReceiptBatcher's SQLite: in the order they came, and in their epochs until those are final. */
export function openReceiptStore(storage: DurableObjectStorage) {
  const { sql } = storage
  /** What waits, kept in memory: counting at every receipt would make a long queue cost its square. Null: count. */
  let waiting: { count: number; since: number | null } | null = null
  const epochs = (where: string, ...values: (string | number)[]) =>
    sql.exec<EpochRow>(`SELECT * FROM epoch ${where}`, ...values).toArray()
  const add = (row: InboxRow): 'added' | 'known' | 'refused' => {
    const id = row.request_id
    const [known] = sql
      .exec<{ signed: string }>('SELECT signed FROM receipt WHERE request_id = ?', id)
      .toArray()
    if (known) return known.signed === row.signed ? 'known' : 'refused'
    if (archivedAt(id)) return 'refused'
    for (const { root, manifest } of JSON.parse(row.manifests) as NewReceipt['manifests'])
      sql.exec('INSERT OR IGNORE INTO datanet (root, manifest) VALUES (?, ?)', root, manifest)
    sql.exec(
      `INSERT INTO receipt (request_id, account_id, payer, params_hash, signed, explanation, received_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      id,
      row.account_id,
      row.payer,
      row.params_hash,
      row.signed,
      row.explanation,
      row.received_at,
    )
    return 'added'
  }
  const insolvent = (limit = -1, after: Hex | null = null): Hex[] =>
    sql
      .exec<{ payer: Hex }>(
        'SELECT payer FROM insolvent WHERE payer > ? ORDER BY payer LIMIT ?',
        after ?? '',
        limit,
      )
      .toArray()
      .map(({ payer }) => payer)
  const archivedAt = (requestId: Hex) =>
    sql
      .exec<{ epoch: number; position: number }>(
        'SELECT epoch, position FROM archived WHERE request_id = ?',
        fromHex(requestId).buffer as ArrayBuffer,
      )
      .toArray()[0] ?? null

  return {
    /**
     * Takes rows of an inbox in their order, and each once: those that it has are skipped. Returns the requests that
     * have another receipt already, which stays theirs. All or nothing.
     */
    receive(inbox: string, rows: readonly InboxRow[]): Hex[] {
      const before = waiting
      waiting = null
      const refused: Hex[] = []
      const added = storage.transactionSync(() => {
        const [known] = sql
          .exec<{ seq: number }>('SELECT seq FROM inbox WHERE id = ?', inbox)
          .toArray()
        const fresh = rows.filter(({ seq }) => seq > (known?.seq ?? 0))
        const last = fresh.at(-1)
        if (last) sql.exec('INSERT OR REPLACE INTO inbox (id, seq) VALUES (?, ?)', inbox, last.seq)
        return fresh.filter((row) => {
          const outcome = add(row)
          if (outcome === 'refused') refused.push(row.request_id)
          return outcome === 'added'
        })
      })
      const broke = new Set(insolvent())
      const solvent = added.filter(({ payer }) => !broke.has(payer))
      if (before)
        waiting = {
          count: before.count + solvent.length,
          since: before.since ?? solvent[0]?.received_at ?? null,
        }
      return refused
    },

    receipt(requestId: Hex): StoredReceipt | null {
      const [row] = sql
        .exec<ReceiptRow>('SELECT * FROM receipt WHERE request_id = ?', requestId)
        .toArray()
      if (!row) return null
      const epoch = row.epoch === null ? null : (epochs('WHERE epoch = ?', row.epoch)[0] ?? null)
      return storedReceipt(row, { epoch, position: row.position, refused: row.refused })
    },

    /** Where in the archive a receipt is; null when it is not there. */
    archivedAt(requestId: Hex): ArchivedAt | null {
      const found = archivedAt(requestId)
      const epoch = found && epochs('WHERE epoch = ?', found.epoch)[0]
      return epoch ? { epoch, position: found.position } : null
    },

    /** Whether a request has a receipt that is in no final epoch. */
    isOpen: (requestId: Hex): boolean =>
      sql.exec('SELECT 1 FROM receipt WHERE request_id = ?', requestId).toArray().length > 0,

    /** How many receipts wait for an epoch, and since when the oldest does. */
    waiting: () =>
      (waiting ??= sql
        .exec<{ count: number; since: number | null }>(
          `SELECT COUNT(*) AS count, MIN(received_at) AS since FROM receipt WHERE ${OPEN}`,
        )
        .one()),

    /** Drops the answers' words from explanations. */
    forgetWords(requestIds: readonly Hex[]): void {
      storage.transactionSync(() => {
        for (const id of requestIds)
          for (const row of sql.exec<{ explanation: string }>(
            'SELECT explanation FROM receipt WHERE request_id = ?',
            id,
          ))
            sql.exec(
              'UPDATE receipt SET explanation = ? WHERE request_id = ?',
              JSON.stringify(withoutWords(explanation.parse(JSON.parse(row.explanation)))),
              id,
            )
      })
    },

    /**
     * Keeps a faulty receipt out of every epoch to come; null when it is unknown or was refused before. Its account
     * owes nothing for it.
     */
    refuse(requestId: Hex, reason: string): { accountId: string; epoch: number | null } | null {
      waiting = null
      const [row] = sql
        .exec<{ account_id: string; epoch: number | null }>(
          `UPDATE receipt SET refused = ? WHERE request_id = ? AND refused IS NULL
           RETURNING account_id, epoch`,
          reason,
          requestId,
        )
        .toArray()
      return row ? { accountId: row.account_id, epoch: row.epoch } : null
    },

    /** Payers that were set aside, by address: all, or at most `limit` of those after `after`. */
    insolvent,

    setInsolvent(payer: Hex, now: number): void {
      waiting = null
      sql.exec('INSERT OR IGNORE INTO insolvent (payer, since) VALUES (?, ?)', payer, now)
    },

    setSolvent(payer: Hex): void {
      waiting = null
      sql.exec('DELETE FROM insolvent WHERE payer = ?', payer)
    },

    /** Fees of a payer's receipts that no epoch has. */
    owedBy: (payer: Hex): bigint =>
      sql
        .exec<{ signed: string }>(
          'SELECT signed FROM receipt WHERE epoch IS NULL AND refused IS NULL AND payer = ?',
          payer,
        )
        .toArray()
        .reduce((sum, row) => sum + signedReceipt.parse(JSON.parse(row.signed)).receipt.fee, 0n),

    /** Signed receipts of an epoch as they are published, at most `limit` from position `first` on. */
    receiptsOf: (epoch: number, first: number, limit: number): string[] =>
      sql
        .exec<{ signed: string }>(
          'SELECT signed FROM receipt WHERE epoch = ? AND position >= ? ORDER BY position LIMIT ?',
          epoch,
          first,
          limit,
        )
        .toArray()
        .map(({ signed }) => signed),

    /** Roots of the Datanet versions that an epoch's receipts name. */
    datanetsOf: (epoch: number): Hex[] =>
      sql
        .exec<{ root: Hex }>(
          `SELECT DISTINCT value AS root FROM receipt, json_each(signed, '$.receipt.datanets')
           WHERE epoch = ? ORDER BY root`,
          epoch,
        )
        .toArray()
        .map(({ root }) => root),

    /** When (Unix seconds) the last of an epoch's receipts was made. */
    lastTimeOf: (epoch: number): bigint =>
      BigInt(
        sql
          .exec<{ time: number | null }>(
            `SELECT max(CAST(signed ->> '$.receipt.time' AS INTEGER)) AS time FROM receipt WHERE epoch = ?`,
            epoch,
          )
          .one().time ?? 0,
      ),

    manifestOf: (root: Hex): Hex | null =>
      sql.exec<{ manifest: Hex }>('SELECT manifest FROM datanet WHERE root = ?', root).toArray()[0]
        ?.manifest ?? null,

    /** What the published receipts of an epoch leave out, of `count` from position `first` on. */
    answersOf: (epoch: number, { first, count }: { first: number; count: number }): Archived =>
      sql
        .exec<ReceiptRow>(
          'SELECT * FROM receipt WHERE epoch = ? AND position >= ? AND position < ? ORDER BY position',
          epoch,
          first,
          first + count,
        )
        .toArray()
        .map((row) => ({
          requestId: row.request_id,
          accountId: row.account_id,
          explanation: explanation.parse(JSON.parse(row.explanation)),
          refused: row.refused,
        })),

    /** What an epoch draws from whom. */
    drawsOf: (epoch: number): EpochFile['draws'] =>
      drawsOf(
        sql
          .exec<{ payer: Hex; fee: string }>(
            `SELECT payer, signed ->> '$.receipt.fee' AS fee FROM receipt WHERE epoch = ?`,
            epoch,
          )
          .toArray()
          .map(({ payer, fee }) => ({ payer, fee: BigInt(fee) })),
      ),

    /** Requests of an epoch with their fees, by the account that they were made for. */
    debts: (epoch: number): Map<string, Debt[]> =>
      Map.groupBy(
        sql
          .exec<{ accountId: string; requestId: Hex; fee: string; refused: string | null }>(
            `SELECT account_id AS accountId, request_id AS requestId, signed ->> '$.receipt.fee' AS fee, refused
             FROM receipt WHERE epoch = ?`,
            epoch,
          )
          .toArray()
          .map((row) => ({ ...row, fee: BigInt(row.fee), refused: row.refused !== null })),
        ({ accountId }) => accountId,
      ),

    /** Has what waits counted anew: an epoch took receipts or gave them back. */
    recount(): void {
      waiting = null
    },
  }
}
