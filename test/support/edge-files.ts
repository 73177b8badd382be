import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Stack } from '#stack/stack.ts'

/** First row of a query on the edge's own SQLite files of one kind; undefined when none has it. */
function queryFiles(
  folder: string,
  sql: string,
  parameter: string,
): Record<string, unknown> | undefined {
  for (const path of globSync(join(folder, '*.sqlite'))) {
    const database = new DatabaseSync(path, { readOnly: true })
    try {
      const row = database.prepare(sql).get(parameter)
      if (row) return row
    } catch {
      // another database, without such a table
    } finally {
      database.close()
    }
  }
  return undefined
}

/** File of an object in the local R2, by its key: miniflare keeps keys in SQLite and bytes in files of random names. */
export function r2FileOf({ dirs }: Stack, key: string): string {
  const row = queryFiles(
    join(dirs.edge, 'v3/r2/miniflare-R2BucketObject'),
    'SELECT blob_id FROM _mf_objects WHERE key = ?',
    key,
  )
  if (!row) throw new Error(`R2 has no object ${key}`)
  return join(dirs.edge, 'v3/r2/openledger-blobs/blobs', String(row['blob_id']))
}

/** Whether the edge has a checkpoint of a job; the API does not say. */
export const hasCheckpoint = ({ dirs }: Stack, jobId: string): boolean =>
  typeof queryFiles(
    join(dirs.edge, 'v3/d1/miniflare-D1DatabaseObject'),
    'SELECT checkpoint FROM jobs WHERE id = ?',
    jobId,
  )?.['checkpoint'] === 'string'

/** Flips a bit in the middle of a file; returns what puts it right again. */
export function flipBit(path: string): () => void {
  const original = readFileSync(path)
  const tampered = Buffer.from(original)
  const middle = tampered.length >> 1
  tampered[middle] = (tampered[middle] ?? 0) ^ 1
  writeFileSync(path, tampered)
  return () => writeFileSync(path, original)
}
