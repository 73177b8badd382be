import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Ctx } from '../context.ts'
import { jobs } from '../db/schema-models.ts'
import { jobFeed } from '../jobs/job-feed.ts'
import { note, type Job } from '../jobs/leases.ts'
import { Problem } from '../problem.ts'
import { getJob } from './jobs.ts'

/**
 * Pauses a job that waits or runs; its worker learns of it with the next heartbeat, and what it has trained since its
 * last checkpoint is trained again later. Idempotent. Throws `job/ended`.
 */
export async function pauseJob(ctx: Ctx, id: string): Promise<Job> {
  const job = await getJob(ctx, id)
  if (job.status === 'paused') return job
  const [paused] = await ctx.db
    .update(jobs)
    .set({ status: 'paused', leaseExpiresAt: null })
    .where(and(eq(jobs.id, id), inArray(jobs.status, ['queued', 'running'])))
    .returning()
  if (!paused) throw cannot('paused', await getJob(ctx, id))
  await jobFeed(ctx.env, id).append([note('The job was paused.', 'warn')])
  return paused
}

/**
 * Puts a paused job back into the queue, from its last checkpoint; a worker that has not yet heard of the pause loses
 * its lease. Whatever attempts failed before, it has all but one again: pausing is no failure. Idempotent. Throws
 * `job/ended`.
 */
export async function resumeJob(ctx: Ctx, id: string): Promise<Job> {
  const [resumed] = await ctx.db
    .update(jobs)
    .set({
      status: 'queued',
      leaseId: null,
      leaseExpiresAt: null,
      workerId: null,
      attempts: sql`min(${jobs.attempts}, 1)`,
    })
    .where(and(eq(jobs.id, (await getJob(ctx, id)).id), eq(jobs.status, 'paused')))
    .returning()
  if (!resumed) {
    const job = await getJob(ctx, id)
    if (job.status === 'queued' || job.status === 'running') return job
    throw cannot('resumed', job)
  }
  const from = resumed.checkpoint ? ' from its last checkpoint' : ''
  await jobFeed(ctx.env, id).append([note(`The job was resumed; it is queued again${from}.`)])
  return resumed
}

const cannot = (what: string, { status }: Job) =>
  new Problem('job/ended', {
    detail:
      status === 'registering'
        ? 'The adapter is trained and on its way to the chain.'
        : `The job cannot be ${what}: it has ${status}.`,
  })
