import { spawnSync } from 'node:child_process'
import { foundryBinary, root } from './foundry.ts'

// `node contracts/script/forge.ts <forge arguments>`: runs forge at the repository's root.

/** Runs forge at the root of the repository; returns its exit status. Only a run of all tests writes contracts/snapshots/gas.json. */
export function forge(args: string[]): number {
  const isWholeTest = args.length === 1 && args[0] === 'test'
  const { status, error } = spawnSync(foundryBinary('forge'), args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, FORGE_SNAPSHOT_EMIT: String(isWholeTest) },
  })
  if (error) throw error
  return status ?? 1
}

if (import.meta.main) {
  const args = process.argv.slice(2)
  // `forge lint` on changed sources leaves artifacts without bytecode that a later build takes for fresh
  // (1.7.1), so everything is built first.
  process.exitCode = (args[0] === 'lint' && forge(['build'])) || forge(args)
}
