import { and, desc, eq, inArray, lt } from 'drizzle-orm'
import { newId } from '#protocol/ids.ts'
import type { JobManifest, LoraMethod } from '#protocol/wire.ts'
import { readChain } from '../chain/client.ts'
import { baseOnChain } from '../chain/models.ts'
import { accountOf, type Ctx } from '../context.ts'
import { getVersion, versionManifest } from '../datanets/versions.ts'
import { jobs } from '../db/schema-models.ts'
import type { ListQuery } from '../http/list.ts'
import { jobFeed } from '../jobs/job-feed.ts'
import { note, type Job } from '../jobs/leases.ts'
import { isEnough, mostMemory, whyTooLarge } from '../jobs/memory.ts'
import { liveWorkers } from '../jobs/workers.ts'
import { Problem } from '../problem.ts'
import { findBase, type Base } from './catalogue.ts'

/** Datanet versions of one adapter: `MAX_ROOTS` of ModelRegistry.sol. */
export const MAX_DATANETS = 16

export type JobInput = {
  model: string
  datanets: { id: string; version: number }[]
  /** Last part of the adapter's name; made up when absent. */
  slug?: string | undefined
  method: LoraMethod
  /** Wei; the base model's price when absent. */
  pricePerToken?: bigint | undefined
}

export type CheckedJob = {
  base: Base
  /** Wei a token of the base, as it is on chain. */
  basePrice: bigint
  datanets: JobManifest['datanets']
}

/** A base that may be tuned with this method, and its price. Throws what is wrong with either. */
export async function checkBase(
  ctx: Ctx,
  { model, method }: Pick<JobInput, 'model' | 'method'>,
): Promise<Pick<CheckedJob, 'base' | 'basePrice'>> {
  const base = await findBase(ctx, model)
  const onChain = base && (await readChain(() => baseOnChain(ctx.settings, base.digest)))
  if (!base || !onChain)
    throw new Problem('model/not-found', {
      detail: `There is no base model ${model.slice(0, 200)}; adapters cannot be tuned further.`,
      param: 'model',
    })
  if (onChain.revoked) throw new Problem('model/revoked', { param: 'model' })
  if (method.sequenceLength > base.contextLength)
    throw new Problem('request/invalid', {
      detail: `sequenceLength is at most the model's context of ${base.contextLength} tokens.`,
      param: 'method.lora.hyperparameters.sequenceLength',
    })
  return { base, basePrice: onChain.pricePerToken }
}

/** What a request names, as chain and catalogue have it. Throws what is wrong with base, versions or method. */
export async function checkJob(ctx: Ctx, input: JobInput): Promise<CheckedJob> {
  const { base, basePrice } = await checkBase(ctx, input)
  const datanets = await Promise.all(
    input.datanets.map(({ id, version }) => publishedVersion(ctx, id, version)),
  )
  if (new Set(datanets.map(({ root }) => root)).size < datanets.length)
    throw new Problem('request/invalid', {
      detail: 'A Datanet version is named twice.',
      param: 'datanets',
    })
  return { base, basePrice, datanets }
}

/**
 * Freezes a fine-tuning job and queues it. Throws what `checkJob` throws, and `request/invalid` when no worker that is there
 * has the memory for it.
 */
export async function createJob(ctx: Ctx, input: JobInput): Promise<Job> {
  const actor = accountOf(ctx)
  const { base, basePrice, datanets } = await checkJob(ctx, input)
  const need = mostMemory(await liveWorkers(ctx, base.digest), base.digest, input.method)
  if (need && !isEnough(need))
    throw new Problem('request/invalid', {
      detail: whyTooLarge(need),
      param: 'method.lora.hyperparameters',
    })
  const id = newId('job')
  const manifest: JobManifest = {
    jobId: id,
    owner: actor.address,
    slug: input.slug ?? id.slice(-8),
    base: { name: base.name, digest: base.digest },
    datanets,
    method: input.method,
  }
  const [job] = await ctx.db
    .insert(jobs)
    .values({
      id,
      accountId: actor.accountId,
      status: 'queued',
      manifest,
      baseDigest: base.digest,
      pricePerToken: (input.pricePerToken ?? basePrice).toString(),
      attempts: 0,
      createdAt: Date.now(),
    })
    .returning()
  if (!job) throw new Error(`job ${id} vanished`)
  await jobFeed(ctx.env, id).append([note('The job is queued.')])
  return job
}

/** A version that training may pin: published, with somebody to pay for its use. */
async function publishedVersion(
  ctx: Ctx,
  datanetId: string,
  number: number,
): Promise<JobManifest['datanets'][number]> {
  const { status, root, manifest } = await getVersion(ctx, datanetId, number)
  if (status !== 'published' || !root || !manifest)
    throw new Problem('version/in-progress', {
      detail: `Version ${number} of ${datanetId} is ${status}.`,
      param: 'datanets',
    })
  const { contributors } = await versionManifest(ctx.env, { root, manifest })
  if (contributors.every(({ clusters }) => clusters === 0))
    throw new Problem('request/invalid', {
      detail: `Version ${number} of ${datanetId} has no contributors.`,
      param: 'datanets',
    })
  return { id: datanetId, version: number, root, manifest }
}

/** A job of the account. Throws `job/not-found`. */
export async function getJob(ctx: Ctx, id: string): Promise<Job> {
  const [job] = await ctx.db
    .select()
    .from(jobs)
    .where(and(eq(jobs.id, id), eq(jobs.accountId, accountOf(ctx).accountId)))
  if (!job) throw new Problem('job/not-found', { detail: `You have no job ${id.slice(0, 64)}.` })
  return job
}

/** The account's jobs, newest first; up to limit + 1. */
export const listJobs = (ctx: Ctx, { limit, after }: ListQuery): Promise<Job[]> =>
  ctx.db
    .select()
    .from(jobs)
    .where(
      and(
        eq(jobs.accountId, accountOf(ctx).accountId),
        after === undefined ? undefined : lt(jobs.id, after),
      ),
    )
    .orderBy(desc(jobs.id))
    .limit(limit + 1)

/**
 * Cancels a job; its worker learns of it with the next heartbeat. Idempotent. Throws `job/ended` when it has ended or
 * its adapter is already on its way to the chain.
 */
export async function cancelJob(ctx: Ctx, id: string): Promise<Job> {
  const job = await getJob(ctx, id)
  if (job.status === 'cancelled') return job
  const [cancelled] = await ctx.db
    .update(jobs)
    .set({ status: 'cancelled', finishedAt: Date.now() })
    .where(and(eq(jobs.id, id), inArray(jobs.status, ['queued', 'running', 'paused'])))
    .returning()
  if (!cancelled)
    throw new Problem('job/ended', {
      detail:
        job.status === 'registering'
          ? 'The adapter is trained and on its way to the chain.'
          : `The job has ${job.status}.`,
    })
  await jobFeed(ctx.env, id).end([note('The job was cancelled.', 'warn')])
  return cancelled
}
