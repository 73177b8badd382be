/** Leases fine-tuning jobs, one at a time, and runs each in a process of its own. */
import type { ExecutionProvider } from '#engine/session.ts'
import { messageOf } from '#protocol/errors.ts'
import type { Lease } from '#protocol/wire.ts'
import { pause } from '../blobs.ts'
import type { EdgeClient } from '../edge-client.ts'
import { log } from '../log.ts'
import { inChildProcess } from './child-process.ts'

export type JobSettings = {
  edgeUrl: string
  token: string
  modelDirectory: string
  provider: ExecutionProvider
  threads: number
  checkpointEveryMs: number
  scratchDir: string
}
export type JobAssignment = { lease: Lease; settings: JobSettings }
export type JobVerdict = {
  outcome: 'completed' | 'failed' | 'cancelled' | 'lost' | 'crashed' | 'stopped'
  detail: string
}

export type LeaseLoop = {
  edge: EdgeClient
  settings: JobSettings
  /** The id that the edge gave this worker; null while it is not registered. */
  workerId: () => string | null
  onJob: (running: { lease: Lease; pid: number } | null, verdict?: JobVerdict) => void
  signal: AbortSignal
}

const ASK_EVERY_MS = 1_000
const RUN_JOB = new URL('run-job.ts', import.meta.url)

/** Asks for jobs and runs them until the signal aborts. */
export async function runLeaseLoop({ edge, settings, workerId, onJob, signal }: LeaseLoop) {
  while (!signal.aborted) {
    const lease = await askForJob(edge, workerId(), signal)
    if (lease) {
      const startedAt = performance.now()
      const verdict = await runInChild({ lease, settings }, onJob, signal)
      onJob(null, verdict)
      const ms = Math.round(performance.now() - startedAt)
      log(verdict.outcome === 'completed' ? 'info' : 'warn', 'job ended', {
        jobId: lease.job.jobId,
        leaseId: lease.leaseId,
        ...verdict,
        ms,
      })
      if (verdict.outcome === 'crashed' || verdict.outcome === 'stopped')
        await handBack(edge, lease, verdict)
    }
    await pause(ASK_EVERY_MS, signal).catch(() => {})
  }
}

async function askForJob(
  edge: EdgeClient,
  workerId: string | null,
  signal: AbortSignal,
): Promise<Lease | null> {
  if (workerId === null) return null
  try {
    return await edge.lease(workerId, signal)
  } catch (error) {
    if (!signal.aborted) log('warn', 'no lease', { error })
    return null
  }
}

/** Gives a job back at once instead of letting its lease expire; the next one resumes from its checkpoint. */
async function handBack(edge: EdgeClient, lease: Lease, { detail }: JobVerdict): Promise<void> {
  await edge
    .fail(lease.leaseId, { message: detail, retryable: true })
    .catch((error: unknown) =>
      log('warn', 'lease left to expire', { leaseId: lease.leaseId, error }),
    )
}

async function runInChild(
  input: JobAssignment,
  onJob: LeaseLoop['onJob'],
  signal: AbortSignal,
): Promise<JobVerdict> {
  const { lease } = input
  const onStart = (pid: number) => {
    onJob({ lease, pid })
    log('info', 'job started', { jobId: lease.job.jobId, pid })
  }
  try {
    return await inChildProcess({ name: 'training', module: RUN_JOB, input, signal, onStart })
  } catch (error) {
    return { outcome: signal.aborted ? 'stopped' : 'crashed', detail: messageOf(error) }
  }
}
