import { fromHex, type Hex } from '#protocol/bytes.ts'
import type { EpochFile, EpochRoots } from '#protocol/epoch.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { explanation } from '#protocol/generation.ts'
import { signedReceipt } from '#protocol/wire.ts'
import { withoutWords } from '../custody/texts.ts'
import type { Archived } from './archive.ts'
import {
  SCHEMA,
  storedReceipt,
  UNSETTLED,
  type Debt,
  type EpochRow,
  type EpochState,
  type InboxRow,
  type NewReceipt,
  type ReceiptRow,
  type StoredReceipt,
} from './epoch-tables.ts'

/**
 * SQLite of the ReceiptBatcher: receipts in the order they came, epochs with their state, and what every account has
 * earned in all. A receipt belongs to at most one epoch, and an epoch's credits enter `payout` in the same
 * transaction that gives it its receipts: a crash leaves both or neither.
 */

export type EpochStore = ReturnType<typeof openEpochStore>

/** Opens (and on first use creates) the store in a Durable Object's SQLite. */
export function openEpochStore(storage: DurableObjectStorage) {
  const { sql } = storage
  sql.exec(SCHEMA)
  const OPEN = 'epoch IS NULL AND refused IS NULL AND payer NOT IN (SELECT payer FROM insolvent)'
  /** What waits, kept in memory: counting at every receipt would make a long queue cost its square. Null: count. */
  let waiting: { count: number; since: number | null } | null = null
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

  const add = (row: InboxRow): 'added' | 'known' | 'refused' => {
    const id = row.request_id
    const [known] = sql
      .exec<{ signed: string }>('SELECT signed FROM receipt WHERE request_id = ?', id)
      .toArray()
    if (known) return known.signed === row.signed ? 'known' : 'refused'
    if (archivedEpoch(id) !== null) return 'refused'
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
  const insolvent = (): Hex[] =>
    sql
      .exec<{ payer: Hex }>('SELECT payer FROM insolvent')
      .toArray()
      .map(({ payer }) => payer)
  const archivedEpoch = (requestId: Hex): number | null =>
    sql
      .exec<{ epoch: number }>(
        'SELECT epoch FROM archived WHERE request_id = ?',
        fromHex(requestId).buffer as ArrayBuffer,
      )
      .toArray()[0]?.epoch ?? null

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
      return storedReceipt(row, { epoch, refused: row.refused })
    },

    /** The epoch in whose archive a receipt is; null when it is in none. */
    archivedIn(requestId: Hex): EpochRow | null {
      const epoch = archivedEpoch(requestId)
      return epoch === null ? null : (epochs('WHERE epoch = ?', epoch)[0] ?? null)
    },

    /** Whether a request has a receipt that is in no final epoch. */
    isOpen: (requestId: Hex): boolean =>
      sql.exec('SELECT 1 FROM receipt WHERE request_id = ?', requestId).toArray().length > 0,

    /** What the file of an epoch leaves out of its receipts. */
    answersOf: (epoch: number): Archived =>
      sql
        .exec<ReceiptRow>('SELECT * FROM receipt WHERE epoch = ?', epoch)
        .toArray()
        .map((row) => ({
          requestId: row.request_id,
          accountId: row.account_id,
          explanation: explanation.parse(JSON.parse(row.explanation)),
          refused: row.refused,
        })),

    /** Ends an epoch whose receipts are in the archive: only their ids stay. All or nothing. */
    finish(epoch: number): void {
      storage.transactionSync(() => {
        sql.exec(
          `INSERT INTO archived (request_id, epoch)
           SELECT unhex(substr(request_id, 3)), epoch FROM receipt WHERE epoch = ?`,
          epoch,
        )
        sql.exec('DELETE FROM receipt WHERE epoch = ?', epoch)
        set(epoch, { state: 'final' })
      })
    },

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

    /** How many receipts wait for an epoch, and since when the oldest does. */
    waiting: () =>
      (waiting ??= sql
        .exec<{ count: number; since: number | null }>(
          `SELECT COUNT(*) AS count, MIN(received_at) AS since FROM receipt WHERE ${OPEN}`,
        )
        .one()),

    /**
     * The next epoch's receipts: the oldest, all made under the same governed numbers, at most `limit`, of at most
     * `payers` payers, and so many that their JSON stays within `bytes`, but at least one.
     */
    take({ limit, payers, bytes }: Record<'limit' | 'payers' | 'bytes', number>): SignedReceipt[] {
      const taken: SignedReceipt[] = []
      const paying = new Set<Hex>()
      let size = 0
      for (const { signed } of sql.exec<{ signed: string }>(
        `SELECT signed FROM receipt WHERE ${OPEN} AND params_hash =
           (SELECT params_hash FROM receipt WHERE ${OPEN} ORDER BY seq LIMIT 1)
         ORDER BY seq LIMIT ?`,
        limit,
      )) {
        size += signed.length + 1 // ASCII, and a comma
        if (taken.length > 0 && size > bytes) break
        const next = signedReceipt.parse(JSON.parse(signed))
        if (paying.add(next.receipt.payer).size > payers) break
        taken.push(next)
      }
      return taken
    },

    manifestOf: (root: Hex): Hex | null =>
      sql.exec<{ manifest: Hex }>('SELECT manifest FROM datanet WHERE root = ?', root).toArray()[0]
        ?.manifest ?? null,

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

    /** Closes an epoch: its receipts are its own, its payouts are what accounts have earned. All or nothing. */
    build(file: EpochFile, roots: EpochRoots, paramsHash: Hex, now: number): void {
      waiting = null
      storage.transactionSync(() => {
        const taken = sql
          .exec(
            `UPDATE receipt SET epoch = ? WHERE epoch IS NULL
             AND request_id IN (SELECT value FROM json_each(?)) RETURNING seq`,
            file.epoch,
            JSON.stringify(file.receipts.map(({ receipt }) => receipt.requestId)),
          )
          .toArray()
        if (taken.length !== file.receipts.length)
          throw new Error(`epoch ${file.epoch} has receipts of another epoch`)
        sql.exec(
          `INSERT INTO epoch (epoch, state, receipts, credits, payouts, receipts_root, credits_root, payouts_root,
             total, data_hash, params_hash, built_at) VALUES (?, 'built', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          file.epoch,
          roots.receipts,
          roots.credits,
          roots.payouts,
          roots.receiptsRoot,
          roots.creditsRoot,
          roots.payoutsRoot,
          roots.total.toString(),
          roots.dataHash,
          paramsHash,
          now,
        )
        for (const { account, amount } of file.payouts)
          sql.exec(
            'INSERT OR REPLACE INTO payout (account, amount) VALUES (?, ?)',
            account,
            amount.toString(),
          )
      })
    },

    /** Undoes `build` of an epoch that the chain has refused or disabled: its receipts wait again. All or nothing. */
    unbuild(epoch: number, credits: ReadonlyMap<Hex, bigint>): void {
      waiting = null
      storage.transactionSync(() => {
        sql.exec('UPDATE receipt SET epoch = NULL WHERE epoch = ?', epoch)
        sql.exec('DELETE FROM epoch WHERE epoch = ?', epoch)
        addPayouts([...credits].map(([account, wei]) => [account, -wei] as const))
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
    lastEpoch: (): number =>
      sql.exec<{ n: number }>('SELECT coalesce(MAX(epoch), 0) AS n FROM epoch').one().n,

    /** Requests of an epoch with their fees, by the account that they were made for. */
    debts(epoch: number): Map<string, Debt[]> {
      const debts = new Map<string, Debt[]>()
      for (const row of sql.exec<{
        account_id: string
        request_id: Hex
        fee: string
        refused: string | null
      }>(
        `SELECT account_id, request_id, signed ->> '$.receipt.fee' AS fee, refused FROM receipt WHERE epoch = ?`,
        epoch,
      ))
        debts.set(row.account_id, [
          ...(debts.get(row.account_id) ?? []),
          { requestId: row.request_id, fee: BigInt(row.fee), refused: row.refused !== null },
        ])
      return debts
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
  }
}
