/** A cache of blobs on disk, in files named by their hash. What is read is verified; a damaged file is fetched anew. */
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import type { Hex } from '#protocol/bytes.ts'
import { sha256Of, type BlobStore } from '../blobs.ts'
import { log } from '../log.ts'

/** Bytes kept on disk; the longest unused blobs go first. */
const MOST_BYTES = 8 * 2 ** 30

/** Puts a cache in `directory` before a store. */
export function diskBlobs(directory: string, upstream: BlobStore): Pick<BlobStore, 'get'> {
  const pathOf = (sha256: Hex) => join(directory, sha256.slice(2))

  const fromDisk = async (sha256: Hex): Promise<Uint8Array | null> => {
    const path = pathOf(sha256)
    const bytes = await readFile(path).catch(unlessAbsent)
    if (!bytes) return null
    if (sha256Of(bytes) === sha256) {
      const now = new Date()
      await utimes(path, now, now)
      return bytes
    }
    log('warn', 'damaged copy discarded', { path })
    await rm(path, { force: true })
    return null
  }
  const toDisk = async (sha256: Hex, bytes: Uint8Array): Promise<void> => {
    await mkdir(directory, { recursive: true })
    // Renaming makes the file appear whole or not at all.
    const partial = `${pathOf(sha256)}.${randomUUID()}.partial`
    await writeFile(partial, bytes)
    await rename(partial, pathOf(sha256))
    await evict(directory)
  }
  return {
    get: async (sha256, signal) => {
      const held = await fromDisk(sha256)
      if (held) return held
      const bytes = await upstream.get(sha256, signal)
      // A full disk must not stop an answer whose bytes are here.
      await toDisk(sha256, bytes).catch((error: unknown) =>
        log('warn', 'blob not cached', { error }),
      )
      return bytes
    },
  }
}

async function evict(directory: string): Promise<void> {
  const files = await Promise.all(
    (await readdir(directory)).map(async (name) => {
      const path = join(directory, name)
      const found = await stat(path).catch(unlessAbsent)
      return { path, bytes: found?.size ?? 0, usedAt: found?.mtimeMs ?? 0 }
    }),
  )
  let total = files.reduce((n, { bytes }) => n + bytes, 0)
  for (const { path, bytes } of files.toSorted((a, b) => a.usedAt - b.usedAt)) {
    if (total <= MOST_BYTES) return
    await rm(path, { force: true })
    total -= bytes
  }
}

function unlessAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}
