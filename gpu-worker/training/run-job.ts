/**
 * The process of one fine-tuning job, started by supervisor.ts, so that a crash or a kill never stops serving. The
 * lease and the settings come as the first message; the verdict goes back as the last one.
 */
import { loadBaseModelIn } from '../base-model.ts'
import { CorruptBlobError, edgeBlobs, EdgeError } from '../blobs.ts'
import { edgeClient } from '../edge-client.ts'
import { describeError } from '../log.ts'
import { LeaseEnded, startHeartbeat } from './heartbeat.ts'
import { runJob } from './job.ts'
import { formatOf } from './lora-training.ts'
import type { JobAssignment, JobVerdict } from './supervisor.ts'

// Without its supervisor nobody would stop this process: the lease expires and another worker resumes.
process.once('disconnect', () => process.exit(1))
process.once('message', (assignment: JobAssignment) => {
  void run(assignment).then((verdict) => {
    process.send?.(verdict, () => process.exit(0))
  })
})

async function run({ lease, settings }: JobAssignment): Promise<JobVerdict> {
  const { edgeUrl, token, modelDirectory, provider, threads, checkpointEveryMs, scratchDir } =
    settings
  const edge = edgeClient(edgeUrl, token)
  const heartbeat = startHeartbeat({ edgeUrl, token, leaseId: lease.leaseId })
  try {
    const { manifest, blob } = await runJob(lease, {
      base: await loadBaseModelIn(modelDirectory, formatOf(lease.job.method)),
      blobs: edgeBlobs(edgeUrl, token),
      session: { provider, threads },
      report: heartbeat,
      checkpointEveryMs,
      scratchDir,
      signal: heartbeat.signal,
    })
    await heartbeat.stop()
    await edge.complete(lease.leaseId, blob)
    return { outcome: 'completed', detail: manifest.digest }
  } catch (error) {
    const ended = heartbeat.signal.aborted ? heartbeat.signal.reason : error
    if (ended instanceof LeaseEnded) return { outcome: ended.reason, detail: ended.message }
    const message = describeError(error)
    heartbeat.event({ level: 'error', message })
    await heartbeat.stop()
    await edge.fail(lease.leaseId, { message, retryable: isWorthRepeating(error) })
    return { outcome: 'failed', detail: message }
  }
}

/** The data and the arithmetic are the same next time; the network is not. */
const isWorthRepeating = (error: unknown): boolean =>
  error instanceof CorruptBlobError || (error instanceof EdgeError && error.isTransient)
