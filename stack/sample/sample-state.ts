import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { generatePrivateKey } from 'viem/accounts'
import { z } from 'zod'
import { bytes32 } from '#protocol/wire.ts'
import { writeFileAtomic } from '../files.ts'
import { readState, type StateDirs } from '../settings.ts'

const sampleState = z.object({
  /** Private keys by role. Kept, so that a journey that is run again is the same people's. */
  wallets: z.record(z.string(), bytes32),
  /** Journeys begun on this state; numbers their names. */
  runs: z.int().min(0),
  /** What the last journey that held has left to call. */
  outcome: z.object({ apiKey: z.string(), model: z.string(), question: z.string() }).optional(),
})

/** What sample journeys keep between starts; readable by the owner only. */
export type SampleState = z.infer<typeof sampleState>

const path = (dirs: StateDirs) => join(dirs.root, 'sample.json')

/** Reads it; empty on fresh state. */
export const loadSampleState = (dirs: StateDirs): SampleState =>
  existsSync(path(dirs)) ? readState(path(dirs), sampleState) : { wallets: {}, runs: 0 }

/** Writes it. */
export const saveSampleState = (dirs: StateDirs, state: SampleState): void =>
  writeFileAtomic(path(dirs), JSON.stringify(state, null, 2), 0o600)

/** The private key of a role, made at first use. The caller saves the state. */
export function walletKey(state: SampleState, role: string): z.infer<typeof bytes32> {
  const known = state.wallets[role]
  if (known) return known
  const made = generatePrivateKey()
  state.wallets[role] = made
  return made
}
