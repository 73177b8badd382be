import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'

/**
 * Replaces a file in one step: a crash or a full disk leaves the old content or the new, never a part of it.
 * Throws the file system's error (ENOSPC on a full disk) and then leaves no temporary file behind.
 */
export function writeFileAtomic(path: string, data: Uint8Array | string, mode = 0o644): void {
  const temporary = `${path}.${process.pid}.tmp`
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
  const file = openSync(temporary, 'w', mode)
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at)
    fsyncSync(file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}
