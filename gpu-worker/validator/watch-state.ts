/** What a watching validator remembers: its place on the chain, epochs it has checked, what it has sent, open demands. */
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import type { Hex } from '#protocol/bytes.ts'
import { bytes32 } from '#protocol/wire.ts'

export type WatchState = ReturnType<typeof openWatchState>

const SCHEMA = `
CREATE TABLE IF NOT EXISTS epoch (
  epoch INTEGER PRIMARY KEY, data_hash TEXT NOT NULL, commitment TEXT NOT NULL, findings INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS request (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS request_epoch ON request (epoch);
CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), block TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sent (key TEXT PRIMARY KEY, hash TEXT NOT NULL, raw TEXT NOT NULL, nonce INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS demand (id TEXT PRIMARY KEY);
`

const bytes = z.templateLiteral(['0x', z.string()])
const checkedRow = z.object({ data_hash: bytes32, commitment: bytes, findings: z.int() })
const sentRow = z.object({ hash: bytes32, raw: bytes, nonce: z.int() })

/** An epoch that was checked: where its file is, and how much was wrong. */
export type Checked = { dataHash: Hex; commitment: Hex; findings: number }

/** A signed transaction, as it was written down before it was sent. */
export type Sent = z.infer<typeof sentRow>

export function openWatchState(path: string) {
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = WAL')
  database.exec(SCHEMA)
  const find = database.prepare('SELECT * FROM epoch WHERE epoch = ?')
  const findRequest = database.prepare('SELECT epoch FROM request WHERE id = ?')
  const countRequests = database.prepare('SELECT count(*) AS count FROM request WHERE epoch = ?')
  const insertRequest = database.prepare('INSERT OR IGNORE INTO request (id, epoch) VALUES (?, ?)')
  const findPlace = database.prepare('SELECT block FROM place')
  const setPlace = database.prepare('INSERT OR REPLACE INTO place (one, block) VALUES (1, ?)')
  const findSent = database.prepare('SELECT hash, raw, nonce FROM sent WHERE key = ?')
  const insertSent = database.prepare(
    'INSERT OR REPLACE INTO sent (key, hash, raw, nonce) VALUES (?, ?, ?, ?)',
  )
  const deleteEpochs = database.prepare('DELETE FROM epoch WHERE epoch >= ?')
  const deleteRequests = database.prepare('DELETE FROM request WHERE epoch >= ?')
  const deleteSent = database.prepare('DELETE FROM sent WHERE key = ?')
  const insertDemand = database.prepare('INSERT OR IGNORE INTO demand (id) VALUES (?)')
  const deleteDemand = database.prepare('DELETE FROM demand WHERE id = ?')
  const allDemands = database.prepare('SELECT id FROM demand ORDER BY id')
  /** Makes changes that stand together or not at all. */
  const atomically = (change: () => void): void => {
    database.exec('BEGIN IMMEDIATE')
    try {
      change()
      database.exec('COMMIT')
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
    }
  }
  const drop = (epoch: number): void => {
    deleteEpochs.run(epoch)
    deleteRequests.run(epoch)
  }
  return {
    /** Block from which submissions and demands have to be looked at. */
    place: (): bigint => BigInt(z.string().parse(findPlace.get()?.['block'] ?? '0')),
    setPlace: (block: bigint): void => void setPlace.run(block.toString()),

    /** What is known of an epoch; null when none of its number has been checked. */
    checked(epoch: number): Checked | null {
      const row = find.get(epoch)
      if (!row) return null
      const { data_hash: dataHash, commitment, findings } = checkedRow.parse(row)
      return { dataHash, commitment, findings }
    },
    /** Epoch in which a request was settled; only of epochs before `before`. */
    settledIn(requestId: Hex, before: number): number | undefined {
      const epoch = findRequest.get(requestId)?.['epoch']
      return typeof epoch === 'number' && epoch < before ? epoch : undefined
    },
    /**
     * Remembers an epoch and its requests, in the place of what stood under its number and all later ones. Nothing changes
     * when it is as it was: an epoch that is looked at again and again has not those after it checked again.
     */
    save(
      epoch: number,
      { dataHash, commitment, findings }: Checked,
      requests: readonly Hex[],
    ): void {
      const known = this.checked(epoch)
      const { count } = countRequests.get(epoch) as { count: number }
      const isSame =
        known?.dataHash === dataHash &&
        known.commitment === commitment &&
        known.findings === findings &&
        count === requests.length
      if (isSame) return
      atomically(() => {
        drop(epoch)
        database
          .prepare('INSERT INTO epoch (epoch, data_hash, commitment, findings) VALUES (?, ?, ?, ?)')
          .run(epoch, dataHash, commitment, findings)
        for (const id of requests) insertRequest.run(id, epoch)
      })
    },
    /** Forgets what stood under an epoch's number and all later ones: the chain has another one there now. */
    forget: (epoch: number): void => atomically(() => drop(epoch)),

    /** The transaction that was signed for an intent; null when there is none. */
    sent(key: string): Sent | null {
      const row = findSent.get(key)
      return row ? sentRow.parse(row) : null
    },
    saveSent: (key: string, { hash, raw, nonce }: Sent): void =>
      void insertSent.run(key, hash, raw, nonce),
    forgetSent: (key: string): void => void deleteSent.run(key),

    /** Demands that were open when they were looked at last. */
    demands: (): Hex[] => allDemands.all().map((row) => bytes32.parse(row['id'])),
    addDemand: (id: Hex): void => void insertDemand.run(id),
    closeDemand: (id: Hex): void => void deleteDemand.run(id),

    close: () => database.close(),
  }
}
