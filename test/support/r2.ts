import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Hex } from '#protocol/bytes.ts'
import type { Stack } from '#stack/stack.ts'

/** File of a blob in the local R2: miniflare keeps keys in SQLite and bytes in files of random names. */
export function r2FileOf({ dirs }: Stack, sha256: Hex): string {
  const root = join(dirs.edge, 'v3/r2')
  for (const path of globSync(join(root, 'miniflare-R2BucketObject/*.sqlite'))) {
    const database = new DatabaseSync(path, { readOnly: true })
    try {
      const row = database
        .prepare('SELECT blob_id FROM _mf_objects WHERE key = ?')
        .get(`sha256/${sha256.slice(2)}`)
      if (row) return join(root, 'openledger-blobs/blobs', String(row['blob_id']))
    } catch {
      // miniflare's metadata.sqlite has no such table
    } finally {
      database.close()
    }
  }
  throw new Error(`R2 has no blob ${sha256}`)
}

/** Flips a bit in the middle of a file; returns what puts it right again. */
export function flipBit(path: string): () => void {
  const original = readFileSync(path)
  const tampered = Buffer.from(original)
  const middle = tampered.length >> 1
  tampered[middle] = (tampered[middle] ?? 0) ^ 1
  writeFileSync(path, tampered)
  return () => writeFileSync(path, original)
}
