import { spawnSync } from 'node:child_process'
import { foundryBinary, root } from './foundry.ts'

// `node contracts/script/forge.ts <forge arguments>`: runs forge at the repository's root.
const { status, error } = spawnSync(foundryBinary('forge'), process.argv.slice(2), {
  cwd: root,
  stdio: 'inherit',
})
if (error) throw error
process.exitCode = status ?? 1
