import { spawnSync } from 'node:child_process'
import { foundryBinary, root } from './foundry.ts'

// `node contracts/script/forge.ts <forge arguments>`: runs forge at the repository's root.

/** Runs forge at the root of the repository; returns its exit status. */
export function forge(args: string[]): number {
  const { status, error } = spawnSync(foundryBinary('forge'), args, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  return status ?? 1
}

if (import.meta.main) {
  const args = process.argv.slice(2)
  // `forge lint` on changed sources leaves artifacts without bytecode that a later build takes for fresh
  // (1.7.1), so everything is built first.
  process.exitCode = (args[0] === 'lint' && forge(['build'])) || forge(args)
}
