import { and, desc, eq, sql } from 'drizzle-orm'
import { countSteps, heldOutCount } from '#protocol/training.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { LoraMethod } from '#protocol/wire.ts'
import { readChain } from '../chain/client.ts'
import { readParameters } from '../chain/parameters.ts'
import type { Ctx } from '../context.ts'
import { columnBytes } from '../datanets/shards.ts'
import { getVersion, readManifest } from '../datanets/versions.ts'
import { jobs, workers } from '../db/schema-models.ts'
import { mostMemory, type MemoryNeed } from '../jobs/memory.ts'
import { liveWorkers } from '../jobs/workers.ts'
import { checkJob, type JobInput } from './jobs.ts'

/** UTF-8 bytes of a record per token: usual for English under a vocabulary of some ten thousand tokens. */
export const BYTES_PER_TOKEN = 4
/** Finished jobs whose speed is looked at. */
const MEASURED_JOBS = 10

export type Estimate = {
  base: string
  records: number
  /** One for every near-duplicate cluster; the rest of the records is not trained on. */
  training: { records: number; heldOut: number }
  /** UTF-8 bytes of all records' content, as the versions' files state them. */
  bytes: number
  /** Tokens that all epochs together train on, cut at the sequence length, `bytes / BYTES_PER_TOKEN` each. */
  tokens: number
  steps: number
  /** From the first step to the adapter's registration, at the speed of earlier jobs on this base; null without any. */
  seconds: number | null
  measuredJobs: number
  /** Peak of the training process, and what the worker with the most memory has; null while no worker tells. */
  memory: MemoryNeed | null
  /** Wei, for the adapter's registration. */
  registrationFee: bigint
}

/** What a job would take. Creates nothing; throws what `createJob` throws. */
export async function estimateJob(ctx: Ctx, input: JobInput): Promise<Estimate> {
  const { base } = await checkJob(ctx, input)
  const { method } = input
  const sizes = await Promise.all(
    input.datanets.map(({ id, version }) => versionSize(ctx, id, version)),
  )
  const sum = (part: 'records' | 'clusters' | 'bytes') => sizes.reduce((n, it) => n + it[part], 0)
  const [records, clusters, bytes] = [sum('records'), sum('clusters'), sum('bytes')]
  const heldOut = heldOutCount(clusters, method.validationFraction)
  const training = { records: clusters - heldOut, heldOut }
  const steps = countSteps(training.records, method).totalSteps
  const tokens = tokensOf({ records, bytes }, training.records, method)
  const speeds = await measuredSpeeds(ctx, base.digest)
  const speed = speeds[Math.floor(speeds.length / 2)]
  const { values } = await readChain(() => readParameters(ctx.settings))
  return {
    base: base.name,
    records,
    training,
    bytes,
    tokens,
    steps,
    seconds: speed === undefined ? null : Math.ceil(tokens / speed),
    measuredJobs: speeds.length,
    memory: mostMemory(await liveWorkers(ctx, base.digest), base.digest, method),
    registrationFee: values['fee.model'],
  }
}

function tokensOf(
  { records, bytes }: { records: number; bytes: number },
  trained: number,
  { epochs, sequenceLength }: LoraMethod,
): number {
  const whole = bytes / Math.max(1, records) / BYTES_PER_TOKEN
  return Math.round(Math.min(whole, sequenceLength) * trained * epochs)
}

async function versionSize(ctx: Ctx, datanetId: string, number: number) {
  const manifest = await readManifest(ctx, await getVersion(ctx, datanetId, number))
  if (!manifest) throw new Error(`version ${number} of ${datanetId} has no manifest`)
  const bytes = await Promise.all(
    manifest.shards.map((shard) => columnBytes(ctx.env, shard, 'fields')),
  )
  return {
    records: manifest.records,
    clusters: manifest.contributors.reduce((n, { clusters }) => n + clusters, 0),
    bytes: bytes.reduce((a, b) => a + b, 0),
  }
}

/**
 * Tokens a second of the latest jobs that a registered worker did in one go on this base, slowest first: all of a job's
 * tokens over all of its time, which includes preparing and indexing.
 */
async function measuredSpeeds(ctx: Ctx, base: Hex): Promise<number[]> {
  const rows = await ctx.db
    .select({
      speed: sql<number>`1000.0 * ${jobs.trainedTokens} / (${jobs.finishedAt} - ${jobs.startedAt})`,
    })
    .from(jobs)
    .innerJoin(workers, eq(workers.id, jobs.workerId))
    .where(
      and(
        eq(jobs.baseDigest, base),
        eq(jobs.status, 'succeeded'),
        eq(jobs.attempts, 1),
        sql`${jobs.trainedTokens} > 0 AND ${jobs.finishedAt} > ${jobs.startedAt}`,
      ),
    )
    .orderBy(desc(jobs.id))
    .limit(MEASURED_JOBS)
  return rows.map(({ speed }) => speed).toSorted((a, b) => a - b)
}
