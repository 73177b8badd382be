/** What a watching validator remembers: epochs it has checked, requests that are settled, challenges it has sent. */
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import type { Hex } from '#protocol/bytes.ts'
import { bytes32 } from '#protocol/wire.ts'

/** A challenge or attestation that was mined, or why it was not. */
const outcome = z.object({
  remedy: z.string(),
  transaction: bytes32.nullable(),
  detail: z.string(),
})
export type Outcome = z.infer<typeof outcome>

export type WatchState = ReturnType<typeof openWatchState>

const SCHEMA = `
CREATE TABLE IF NOT EXISTS epoch (
  epoch INTEGER PRIMARY KEY, data_hash TEXT NOT NULL, findings INTEGER NOT NULL, outcome TEXT
);
CREATE TABLE IF NOT EXISTS request (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS request_epoch ON request (epoch);
`

/** Opens or creates the state in a SQLite file; every change is one transaction, so a kill loses nothing half. */
export function openWatchState(path: string) {
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = WAL')
  database.exec(SCHEMA)
  const find = database.prepare(
    'SELECT findings, outcome FROM epoch WHERE epoch = ? AND data_hash = ?',
  )
  const findRequest = database.prepare('SELECT epoch FROM request WHERE id = ?')
  const insertRequest = database.prepare('INSERT OR IGNORE INTO request (id, epoch) VALUES (?, ?)')
  const setOutcome = database.prepare(
    'UPDATE epoch SET outcome = ? WHERE epoch = ? AND data_hash = ?',
  )
  return {
    /** What is known of an epoch with this very file; null when it has not been checked. */
    checked(epoch: number, dataHash: Hex): { findings: number; outcome: Outcome | null } | null {
      const row = find.get(epoch, dataHash)
      if (!row) return null
      const text = row['outcome']
      return {
        findings: Number(row['findings']),
        outcome: typeof text === 'string' ? outcome.parse(JSON.parse(text)) : null,
      }
    },
    /** Epoch in which a request was settled; only of epochs before `before`. */
    settledIn(requestId: Hex, before: number): number | undefined {
      const epoch = findRequest.get(requestId)?.['epoch']
      return typeof epoch === 'number' && epoch < before ? epoch : undefined
    },
    /** Remembers an epoch and its requests, in the place of what stood under its number and all later ones. */
    save(epoch: number, dataHash: Hex, findings: number, requests: readonly Hex[]): void {
      database.exec('BEGIN IMMEDIATE')
      try {
        database.prepare('DELETE FROM epoch WHERE epoch >= ?').run(epoch)
        database.prepare('DELETE FROM request WHERE epoch >= ?').run(epoch)
        database
          .prepare('INSERT INTO epoch (epoch, data_hash, findings) VALUES (?, ?, ?)')
          .run(epoch, dataHash, findings)
        for (const id of requests) insertRequest.run(id, epoch)
        database.exec('COMMIT')
      } catch (error) {
        database.exec('ROLLBACK')
        throw error
      }
    },
    setOutcome(epoch: number, dataHash: Hex, value: Outcome): void {
      setOutcome.run(JSON.stringify(value), epoch, dataHash)
    },
    close: () => database.close(),
  }
}
