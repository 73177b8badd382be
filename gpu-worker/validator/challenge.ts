/** Turns what a validator found into transactions. */
import type { EpochFile } from '#protocol/epoch.ts'
import type { Submission } from './chain-facts.ts'
import type { EpochReport } from './validator.ts'
import type { Outcome } from './watch-state.ts'

export type Faulty = {
  submission: Submission
  file: EpochFile | null
  report: EpochReport
  /** File of the epoch before; null when there is none. */
  previous: EpochFile | null
}

/** Challenges an epoch; resolves to what came of it, or null when there is nothing to do. */
export type Challenger = (faulty: Faulty) => Promise<Outcome | null>
