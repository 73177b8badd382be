import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folders: string[] = []

/**
 * A new folder for what a test or a benchmark writes. It is removed when the process ends, whatever ends it but SIGKILL: after
 * every hook, so that nothing of the process still writes there.
 */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'openledger-test-'))
  folders.push(folder)
  return folder
}

process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})
// A signal that nobody listens to ends a process without its exit handlers.
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const)
  process.once(signal, () => {
    if (process.listenerCount(signal) === 0) process.exit(128 + number)
  })
