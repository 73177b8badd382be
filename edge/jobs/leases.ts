import { and, eq, inArray, lt, sql } from 'drizzle-orm'
import { newId } from '#protocol/ids.ts'
import type { JobProgress, Lease } from '#protocol/wire.ts'
import type { Ctx } from '../context.ts'
import { jobs } from '../db/schema-models.ts'
import { Problem } from '../problem.ts'
import { jobFeed, type JobEventInput } from './job-feed.ts'
import { isEnough, memoryOn } from './memory.ts'
import { hearFrom, noteSeen, type Worker } from './workers.ts'

const LEASE_MS = 30_000
/** Leases a job gets: a job that kills its worker must not go round for ever. */
const MAX_ATTEMPTS = 3

export type Job = typeof jobs.$inferSelect

/** What a job becomes on its owner's word; its worker hears of it with the next heartbeat. */
const STOPPED = ['cancelled', 'paused'] as const

/** Whether a job was stopped by its owner: nothing that its worker hands in counts. */
export const isStopped = ({ status }: Pick<Job, 'status'>): boolean =>
  STOPPED.some((stopped) => stopped === status)

/** Queued jobs looked at for one that fits a worker's memory. */
const MOST_LOOKED_AT = 100

/**
 * Gives the oldest queued job that the worker has base and memory for to it; null when there is none. The UPDATE asks
 * again whether it is queued, on the one writer of D1, so that no two workers get the same job.
 */
export async function leaseJob(ctx: Ctx, workerId: string): Promise<Lease | null> {
  const worker = await hearFrom(ctx, workerId)
  await expireLeases(ctx)
  const now = Date.now()
  const leaseId = newId('lease')
  const next = await nextFor(ctx, worker)
  if (next === null) return null
  const [job] = await ctx.db
    .update(jobs)
    .set({
      status: 'running',
      leaseId,
      workerId,
      leaseExpiresAt: now + LEASE_MS,
      attempts: sql`${jobs.attempts} + 1`,
      startedAt: sql`coalesce(${jobs.startedAt}, ${now})`,
    })
    .where(and(eq(jobs.id, next), eq(jobs.status, 'queued')))
    .returning()
  if (!job) return null
  await jobFeed(ctx.env, job.id).append([
    note(
      job.attempts === 1
        ? `Started on ${worker.device}.`
        : `Started again on ${worker.device}, attempt ${job.attempts} of ${MAX_ATTEMPTS}.`,
    ),
  ])
  return {
    leaseId,
    expiresAt: new Date(now + LEASE_MS).toISOString(),
    job: job.manifest,
    checkpoint: job.checkpoint,
  }
}

async function nextFor(ctx: Ctx, worker: Worker): Promise<string | null> {
  const digests = worker.bases.map(({ digest }) => digest)
  const queued = await ctx.db
    .select({ id: jobs.id, base: jobs.baseDigest, manifest: jobs.manifest })
    .from(jobs)
    .where(and(eq(jobs.status, 'queued'), inArray(jobs.baseDigest, digests)))
    .orderBy(jobs.id)
    .limit(MOST_LOOKED_AT)
  const fitting = queued.find(({ base, manifest: { method } }) =>
    isEnough(memoryOn(worker, base, method)),
  )
  return fitting?.id ?? null
}

/**
 * Keeps a lease alive and records what happened; `cancelled` tells the worker to stop, because the job was cancelled or
 * paused. Throws `lease/lost`.
 */
export async function heartbeat(
  ctx: Ctx,
  leaseId: string,
  { phase, done, events, checkpoint }: JobProgress,
): Promise<{ expiresAt: string; cancelled: boolean }> {
  const expiresAt = Date.now() + LEASE_MS
  const [job] = await ctx.db
    .update(jobs)
    .set({ leaseExpiresAt: expiresAt, phase, progress: done, ...(checkpoint && { checkpoint }) })
    .where(and(eq(jobs.leaseId, leaseId), inArray(jobs.status, ['running', ...STOPPED])))
    .returning()
  if (!job) throw lost(leaseId)
  if (job.workerId) await noteSeen(ctx, job.workerId)
  const cancelled = isStopped(job)
  if (events.length > 0 && job.status !== 'cancelled') await jobFeed(ctx.env, job.id).append(events)
  return { expiresAt: new Date(expiresAt).toISOString(), cancelled }
}

/** Takes a failure: back to the queue when another attempt may help, else the end. Throws `lease/lost`. */
export async function failLease(
  ctx: Ctx,
  leaseId: string,
  failure: { message: string; retryable: boolean },
): Promise<void> {
  const job = await leasedJob(ctx, leaseId)
  if (isStopped(job)) return
  const again = failure.retryable && job.attempts < MAX_ATTEMPTS
  const ended = again
    ? await requeue(ctx, job, failure.message)
    : await failJob(ctx, job, { code: 'worker_failed', message: failure.message })
  if (!ended) throw lost(leaseId)
}

/** The job of a lease that still stands, cancelled and paused ones included. Throws `lease/lost`. */
export async function leasedJob(ctx: Ctx, leaseId: string): Promise<Job> {
  const [job] = await ctx.db.select().from(jobs).where(eq(jobs.leaseId, leaseId))
  if (!job || job.status === 'queued') throw lost(leaseId)
  return job
}

/** Takes jobs back whose workers have fallen silent; returns how many. */
export async function expireLeases(ctx: Ctx): Promise<number> {
  const now = Date.now()
  const silent = and(eq(jobs.status, 'running'), lt(jobs.leaseExpiresAt, now))
  const message = `The worker has fallen silent ${MAX_ATTEMPTS} times.`
  const [queued, failed] = await ctx.db.batch([
    ctx.db
      .update(jobs)
      .set(QUEUED)
      .where(and(silent, lt(jobs.attempts, MAX_ATTEMPTS)))
      .returning(),
    ctx.db
      .update(jobs)
      .set({ status: 'failed', error: { code: 'worker_lost', message }, finishedAt: now })
      .where(silent)
      .returning({ id: jobs.id }),
  ])
  for (const job of queued)
    await jobFeed(ctx.env, job.id).append([againNote(job, 'The worker has fallen silent.')])
  for (const job of failed)
    await jobFeed(ctx.env, job.id).end([note(`The job failed: ${message}`, 'error')])
  return queued.length + failed.length
}

/** Ends a job as failed, whatever it was doing under this lease; false when it was not that any more. */
export async function failJob(
  ctx: Ctx,
  job: Pick<Job, 'id' | 'leaseId' | 'status'>,
  error: { code: string; message: string },
): Promise<boolean> {
  const changed = await changeLeased(ctx, job, {
    status: 'failed',
    error,
    finishedAt: Date.now(),
    leaseExpiresAt: null,
  })
  if (changed)
    await jobFeed(ctx.env, job.id).end([note(`The job failed: ${error.message}`, 'error')])
  return changed
}

async function requeue(ctx: Ctx, job: Job, why: string): Promise<boolean> {
  const changed = await changeLeased(ctx, job, QUEUED)
  if (changed) await jobFeed(ctx.env, job.id).append([againNote(job, why)])
  return changed
}

const QUEUED = {
  status: 'queued',
  leaseId: null,
  leaseExpiresAt: null,
  workerId: null,
} as const satisfies Partial<Job>

const againNote = ({ attempts, checkpoint }: Job, why: string) =>
  note(
    `${why} Attempt ${attempts} of ${MAX_ATTEMPTS} ended; the job is queued again${checkpoint ? ' from its last checkpoint' : ''}.`,
    'warn',
  )

/** Changes a job unless somebody else has changed its state or lease since it was read. */
async function changeLeased(
  ctx: Ctx,
  { id, leaseId, status }: Pick<Job, 'id' | 'leaseId' | 'status'>,
  values: Partial<Job>,
): Promise<boolean> {
  const changed = await ctx.db
    .update(jobs)
    .set(values)
    .where(and(eq(jobs.id, id), eq(jobs.status, status), sql`${jobs.leaseId} IS ${leaseId}`))
    .returning({ id: jobs.id })
  return changed.length > 0
}

/** An event of our own. */
export const note = (message: string, level: JobEventInput['level'] = 'info'): JobEventInput => ({
  at: new Date().toISOString(),
  level,
  message,
})

const lost = (leaseId: string) =>
  new Problem('lease/lost', {
    detail: `The lease ${leaseId} has ended; its job may run elsewhere.`,
  })
