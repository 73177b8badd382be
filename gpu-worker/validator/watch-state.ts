/** What a watching validator remembers: epochs it has checked, and requests that are settled. */
import { DatabaseSync } from 'node:sqlite'
import type { Hex } from '#protocol/bytes.ts'

export type WatchState = ReturnType<typeof openWatchState>

const SCHEMA = `
CREATE TABLE IF NOT EXISTS epoch (
  epoch INTEGER PRIMARY KEY, data_hash TEXT NOT NULL, findings INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS request (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS request_epoch ON request (epoch);
`

/** Opens or creates the state in a SQLite file; every change is one transaction, so a kill loses nothing half. */
export function openWatchState(path: string) {
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = WAL')
  database.exec(SCHEMA)
  const find = database.prepare('SELECT findings FROM epoch WHERE epoch = ? AND data_hash = ?')
  const findRequest = database.prepare('SELECT epoch FROM request WHERE id = ?')
  const insertRequest = database.prepare('INSERT OR IGNORE INTO request (id, epoch) VALUES (?, ?)')
  return {
    /** What is known of an epoch with this very file; null when it has not been checked. */
    checked(epoch: number, dataHash: Hex): { findings: number } | null {
      const row = find.get(epoch, dataHash)
      return row ? { findings: Number(row['findings']) } : null
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
    close: () => database.close(),
  }
}
