import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** The repository's root, where foundry.toml lies. */
export const root = ROOT

/**
 * Path of a Foundry program: the pinned npm package where it exists (Linux on x64), else the one on PATH.
 * Throws an Error that says what to install when there is neither.
 */
export function foundryBinary(program: 'forge' | 'anvil'): string {
  const pinned = join(ROOT, `node_modules/@foundry-rs/${program}-linux-amd64/bin/${program}`)
  if (process.platform === 'linux' && process.arch === 'x64' && existsSync(pinned)) return pinned
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, process.platform === 'win32' ? `${program}.exe` : program))
    .find((path) => existsSync(path))
  if (found) return found
  throw new Error(
    `${program} is missing: npm brings it on Linux x64 only (@foundry-rs/${program}-linux-amd64, an optional ` +
      `dependency); elsewhere install Foundry 1.7.1 so that ${program} is on PATH`,
  )
}
