/** What a fine-tuning job is given to work with, and whom it reports to. */
import type { SessionOptions } from '#engine/session.ts'
import type { BlobRef, JobProgress } from '#protocol/wire.ts'
import type { FormattedBase } from '../base-model.ts'
import type { BlobStore } from '../blobs.ts'

export type JobEvent = JobProgress['events'][number]

/** Whom a job tells how it goes. */
export type Reporter = {
  progress: (phase: JobProgress['phase'], done: number) => void
  event: (event: Omit<JobEvent, 'at' | 'level'> & { level?: JobEvent['level'] }) => void
  checkpoint: (blob: BlobRef) => void
}

export type JobContext = {
  /** In the format that the job trains on, or float32. */
  base: FormattedBase
  blobs: BlobStore
  session: SessionOptions
  report: Reporter
  checkpointEveryMs: number
  /** An existing folder for files that survive a killed process, so that the next attempt goes on with them. */
  scratchDir: string
  /** Aborts when the job is cancelled or its lease is lost. */
  signal: AbortSignal
}
