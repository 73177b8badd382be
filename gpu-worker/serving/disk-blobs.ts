/** A cache of blobs on disk, in files named by their hash. What is read is verified; a damaged file is fetched anew. */
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import type { Hex } from '#protocol/bytes.ts'
import { hashed, type BlobStore } from '../blobs.ts'
import { log } from '../log.ts'

/** Bytes kept on disk; the longest unused blobs go first. */
const MOST_BYTES = 8 * 2 ** 30
const PARTIAL = '.partial'

export type DiskBlobs = Pick<BlobStore, 'get'> & {
  /** Whether a blob is on disk; what `get` then reads is still verified. */
  has: (sha256: Hex) => Promise<boolean>
}

const nameOf = (sha256: Hex): string => sha256.slice(2)

/** Puts a cache in `directory` before a store; the directory is read at once. No other process may write there. */
export function diskBlobs(
  directory: string,
  upstream: Pick<BlobStore, 'get'>,
  mostBytes = MOST_BYTES,
): DiskBlobs {
  const pathOf = (sha256: Hex) => join(directory, nameOf(sha256))
  /** Bytes of every file by name, in order of last use. */
  const scanned = scan(directory)
  scanned.catch(() => {}) // whoever asks is told

  const forget = async (sha256: Hex): Promise<void> => {
    ;(await scanned).delete(nameOf(sha256))
    await rm(pathOf(sha256), { force: true })
  }
  const fromDisk = async (sha256: Hex): Promise<Uint8Array | null> => {
    const path = pathOf(sha256)
    const bytes = await readFile(path).catch(unlessAbsent)
    if (!bytes) return null
    if ((await hashed(bytes)) === sha256) {
      await touch(sha256, bytes.length)
      const now = new Date() // the order of use outlives the process as the times of the files
      await utimes(path, now, now).catch(unlessAbsent)
      return bytes
    }
    log('warn', 'damaged copy discarded', { path })
    await forget(sha256)
    return null
  }
  const touch = async (sha256: Hex, bytes: number): Promise<void> => {
    const files = await scanned
    files.delete(nameOf(sha256))
    files.set(nameOf(sha256), bytes)
  }
  const toDisk = async (sha256: Hex, bytes: Uint8Array): Promise<void> => {
    await mkdir(directory, { recursive: true })
    await scanned
    // Renaming makes the file appear whole or not at all.
    const partial = `${pathOf(sha256)}.${randomUUID()}${PARTIAL}`
    await writeFile(partial, bytes)
    await rename(partial, pathOf(sha256))
    await touch(sha256, bytes.length)
    await evict()
  }
  const evict = async (): Promise<void> => {
    const files = await scanned
    let total = [...files.values()].reduce((n, bytes) => n + bytes, 0)
    for (const [name, bytes] of files) {
      if (total <= mostBytes) return
      files.delete(name)
      total -= bytes
      await rm(join(directory, name), { force: true })
    }
  }
  return {
    has: async (sha256) => (await scanned).has(nameOf(sha256)),
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

/** The files of a directory, the longest unused first. What a killed process left half written goes. */
async function scan(directory: string): Promise<Map<string, number>> {
  const names = (await readdir(directory).catch(unlessAbsent)) ?? []
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(directory, name)
      if (name.endsWith(PARTIAL)) await rm(path, { force: true })
      const found = await stat(path).catch(unlessAbsent)
      return { name, bytes: found?.size ?? 0, usedAt: found?.mtimeMs ?? 0 }
    }),
  )
  const present = files.filter(({ usedAt }) => usedAt > 0)
  return new Map(
    present.toSorted((a, b) => a.usedAt - b.usedAt).map(({ name, bytes }) => [name, bytes]),
  )
}

function unlessAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}
