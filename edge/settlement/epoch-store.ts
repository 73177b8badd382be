import type { Hex } from '#protocol/bytes.ts'
import type { EpochFile, EpochRoots } from '#protocol/epoch.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { withoutWords } from '../custody/texts.ts'
import { explanation, signedReceipt, type Explanation } from '#protocol/wire.ts'

/**
 * SQLite of the ReceiptBatcher: receipts in the order they came, epochs with their state, and what every account has
 * earned in all. A receipt belongs to at most one epoch, and an epoch's credits enter `payout` in the same
 * transaction that gives it its receipts: a crash leaves both or neither.
 */

/**
 * built: its file lies in R2. stored: the data-availability layer has it. submitted: the ChainWriter has its
 * transaction. settled: in a block. safe: that block is derived from the L1, and the payers' debts are released.
 * final: that block is final and the epoch can be claimed against, so that nothing can undo it any more.
 * disabled: the chain has disabled it for good; it is refunded and then undone.
 */
export type EpochState =
  | 'built'
  | 'stored'
  | 'submitted'
  | 'settled'
  | 'safe'
  | 'final'
  | 'disabled'

/** Before these an epoch blocks the next one; after them only its own follow-up work remains. */
const UNSETTLED = `('built', 'stored', 'submitted')`

export type EpochRow = {
  epoch: number
  state: EpochState
  receipts: number
  credits: number
  payouts: number
  receipts_root: Hex
  credits_root: Hex
  payouts_root: Hex
  total: string
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

type ReceiptRow = {
  seq: number
  request_id: Hex
  epoch: number | null
  account_id: string
  signed: string
  explanation: string
  refused: string | null
}

/** What a request cost; nothing is owed for a refused one. */
export type Debt = { requestId: Hex; fee: bigint; refused: boolean }

/** What a caller of the API paid for; `manifests` locate the presence tables of its Datanet versions. */
export type NewReceipt = {
  signed: SignedReceipt
  explanation: Explanation
  accountId: string
  manifests: { root: Hex; manifest: Hex }[]
}

export type StoredReceipt = {
  signed: SignedReceipt
  explanation: Explanation
  accountId: string
  epoch: EpochRow | null
  /** Why no epoch will have it any more; null for an honest one. */
  refused: string | null
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS receipt (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  request_id TEXT NOT NULL UNIQUE,
  epoch INTEGER,
  account_id TEXT NOT NULL, payer TEXT NOT NULL, params_hash TEXT NOT NULL,
  signed TEXT NOT NULL, explanation TEXT NOT NULL, received_at INTEGER NOT NULL, refused TEXT
);
CREATE INDEX IF NOT EXISTS receipt_epoch ON receipt (epoch, seq);
CREATE TABLE IF NOT EXISTS datanet (root TEXT PRIMARY KEY, manifest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS epoch (
  epoch INTEGER PRIMARY KEY, state TEXT NOT NULL, receipts INTEGER NOT NULL,
  credits INTEGER NOT NULL, payouts INTEGER NOT NULL,
  receipts_root TEXT NOT NULL, credits_root TEXT NOT NULL, payouts_root TEXT NOT NULL, total TEXT NOT NULL, data_hash TEXT NOT NULL,
  params_hash TEXT NOT NULL, commitment TEXT, tx_hash TEXT, block_number INTEGER, active_at INTEGER,
  tries INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL DEFAULT 0, error TEXT,
  built_at INTEGER NOT NULL, settled_at INTEGER, safe_at INTEGER
);
CREATE INDEX IF NOT EXISTS epoch_state ON epoch (state);
CREATE TABLE IF NOT EXISTS payout (account TEXT PRIMARY KEY, amount TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS insolvent (payer TEXT PRIMARY KEY, since INTEGER NOT NULL);
`

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

  return {
    /** Adds a receipt; the same one again is a no-op. Throws when its request has another receipt already. */
    add({ signed, explanation, accountId, manifests }: NewReceipt, now: number): void {
      const { requestId, payer, paramsHash } = signed.receipt
      const text = JSON.stringify(signed, bigintAsDecimal)
      const [known] = sql
        .exec<{ signed: string }>('SELECT signed FROM receipt WHERE request_id = ?', requestId)
        .toArray()
      if (known && known.signed !== text)
        throw new Error(`request ${requestId} has another receipt already`)
      if (known) return
      storage.transactionSync(() => {
        for (const { root, manifest } of manifests)
          sql.exec('INSERT OR IGNORE INTO datanet (root, manifest) VALUES (?, ?)', root, manifest)
        sql.exec(
          `INSERT INTO receipt (request_id, account_id, payer, params_hash, signed, explanation, received_at)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
          requestId,
          accountId,
          payer,
          paramsHash,
          text,
          JSON.stringify(explanation),
          now,
        )
      })
      const [isInsolvent] = sql.exec('SELECT 1 FROM insolvent WHERE payer = ?', payer).toArray()
      if (waiting && !isInsolvent)
        waiting = { count: waiting.count + 1, since: waiting.since ?? now }
    },

    receipt(requestId: Hex): StoredReceipt | null {
      const [row] = sql
        .exec<ReceiptRow>('SELECT * FROM receipt WHERE request_id = ?', requestId)
        .toArray()
      return row
        ? {
            signed: signedReceipt.parse(JSON.parse(row.signed)),
            explanation: explanation.parse(JSON.parse(row.explanation)),
            accountId: row.account_id,
            epoch: row.epoch === null ? null : (epochs('WHERE epoch = ?', row.epoch)[0] ?? null),
            refused: row.refused,
          }
        : null
    },

    /** Requests whose epoch can no longer be challenged, and those with a receipt that is not so far. */
    finality(requestIds: readonly Hex[]): { open: Hex[]; final: Hex[] } {
      const known = sql
        .exec<{ request_id: Hex; state: EpochState | null }>(
          `SELECT request_id, state FROM receipt LEFT JOIN epoch USING (epoch)
           WHERE request_id IN (SELECT value FROM json_each(?))`,
          JSON.stringify(requestIds),
        )
        .toArray()
      const ids = (isFinal: boolean) =>
        known.filter(({ state }) => (state === 'final') === isFinal).map(({ request_id: id }) => id)
      return { open: ids(false), final: ids(true) }
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
     * The next epoch's receipts: the oldest, all made under the same governed numbers, at most `limit` and so many
     * that their JSON stays within `bytes`, but at least one.
     */
    take(limit: number, bytes: number): SignedReceipt[] {
      const taken: SignedReceipt[] = []
      let size = 0
      for (const { signed } of sql.exec<{ signed: string }>(
        `SELECT signed FROM receipt WHERE ${OPEN} AND params_hash =
           (SELECT params_hash FROM receipt WHERE ${OPEN} ORDER BY seq LIMIT 1)
         ORDER BY seq LIMIT ?`,
        limit,
      )) {
        size += signed.length + 1 // ASCII, and a comma
        if (taken.length > 0 && size > bytes) break
        taken.push(signedReceipt.parse(JSON.parse(signed)))
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

    insolvent: (): Hex[] =>
      sql
        .exec<{ payer: Hex }>('SELECT payer FROM insolvent')
        .toArray()
        .map(({ payer }) => payer),
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

const bigintAsDecimal = (_key: string, value: unknown) =>
  typeof value === 'bigint' ? value.toString() : value
