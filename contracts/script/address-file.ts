import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { z } from 'zod'
import { hex } from '#protocol/wire.ts'

const contracts = z.object({
  parameters: hex(20),
  datanetRegistry: hex(20),
  modelRegistry: hex(20),
  inferenceVault: hex(20),
  attributionSettlement: hex(20),
  validatorStaking: hex(20),
  receiptChallenges: hex(20),
  epochChallenges: hex(20),
  curation: hex(20),
  votingOpen: hex(20),
  openTimelock: hex(20),
  openGovernor: hex(20),
})
const addressFile = z.object({ chainId: z.int(), contracts })

/** Addresses of one deployment, lower case. */
export type Contracts = z.infer<typeof contracts>

/** Addresses kept in a file, or null when there is none for this chain. Throws a zod error on other content. */
export function readAddresses(path: string, chainId: number): Contracts | null {
  if (!existsSync(path)) return null
  const kept = addressFile.parse(JSON.parse(readFileSync(path, 'utf8')))
  return kept.chainId === chainId ? kept.contracts : null
}

/** Keeps addresses in a file; a crash leaves the old file or the new one. */
export function writeAddresses(path: string, chainId: number, addresses: Contracts): void {
  mkdirSync(dirname(path), { recursive: true })
  const text = JSON.stringify({ chainId, contracts: addresses }, null, 2)
  writeFileSync(`${path}.new`, `${text}\n`)
  renameSync(`${path}.new`, path)
}
