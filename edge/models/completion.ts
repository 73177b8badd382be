import { and, eq } from 'drizzle-orm'
import { encodeFunctionData } from 'viem'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { canonicalJson, sha256Hex, type Hex } from '#protocol/bytes.ts'
import { adapterDigest } from '#protocol/model.ts'
import {
  adapterManifest,
  ADAPTER_FILES,
  type AdapterManifest,
  type BlobRef,
} from '#protocol/wire.ts'
import { blobKey, getBlob } from '../blobs/store.ts'
import { adapterOnChain } from '../chain/models.ts'
import { enqueueTransaction, transactionStatus } from '../chain/enqueue.ts'
import { outcomeOfStatus, type Outcome } from '../chain/outcome.ts'
import type { Ctx } from '../context.ts'
import { adapters, jobs } from '../db/schema-models.ts'
import { jobFeed } from '../jobs/job-feed.ts'
import { failJob, isStopped, leasedJob, note, type Job } from '../jobs/leases.ts'
import { Problem } from '../problem.ts'
import { adapterName, type Adapter } from './catalogue.ts'

/** Outbox key of an adapter's registration. */
const registrationKey = (digest: Hex) => `adapter:${digest}`

/**
 * Takes a trained adapter: checks it against its job and the store, then has it registered on chain; the job succeeds
 * when that is mined. Idempotent. Throws `lease/lost`, `job/result-refused`.
 */
export async function completeLease(ctx: Ctx, leaseId: string, result: BlobRef): Promise<void> {
  const job = await leasedJob(ctx, leaseId)
  if (isStopped(job) || job.adapterManifest === result.sha256) return
  if (job.status !== 'running')
    throw new Problem('lease/lost', { detail: `The job has ended: ${job.status}.` })
  const manifest = await checkResult(ctx, job, result)
  const { digest } = manifest
  const row: Adapter = {
    digest,
    name: adapterName(manifest.base.name, manifest.owner, manifest.slug),
    base: manifest.base.digest,
    owner: manifest.owner,
    jobId: job.id,
    manifest: result.sha256,
    indexRoot: manifest.indexRoot,
    datanets: manifest.datanets,
    pricePerToken: job.pricePerToken,
    status: 'registering',
    txHash: null,
    createdAt: Date.now(),
    registeredAt: null,
  }
  // Both or neither, before anything is sent; the sweep goes on from here after a crash.
  const [, changed] = await ctx.db.batch([
    ctx.db.insert(adapters).values(row).onConflictDoNothing({ target: adapters.digest }),
    ctx.db
      .update(jobs)
      .set({
        status: 'registering',
        adapterDigest: digest,
        adapterManifest: result.sha256,
        trainedTokens: manifest.training.tokens,
        leaseExpiresAt: null,
      })
      .where(and(eq(jobs.id, job.id), eq(jobs.leaseId, leaseId), eq(jobs.status, 'running')))
      .returning({ id: jobs.id }),
  ])
  if (changed.length === 0) return completeLease(ctx, leaseId, result) // stopped meanwhile
  await jobFeed(ctx.env, job.id).append([
    note(`Trained ${manifest.training.tokens} tokens; the adapter ${digest} is being registered.`),
  ])
  await pursueRegistration(ctx, digest)
}

/** The manifest of a result, if it is this job's and everything it names is in the store. */
async function checkResult(ctx: Ctx, job: Job, result: BlobRef): Promise<AdapterManifest> {
  const bytes = await getBlob(ctx.env, result.sha256)
  if (!bytes) throw refuse(`The manifest ${result.sha256} is not in the store.`)
  const parsed = adapterManifest.safeParse(parseJson(bytes))
  if (!parsed.success)
    throw refuse(`The manifest is not valid: ${parsed.error.issues[0]?.path.join('.')}.`)
  const manifest = parsed.data
  const { jobId, owner, slug, base, datanets } = job.manifest
  const expected = { jobId, owner, slug, base, datanets }
  for (const [name, value] of Object.entries(expected))
    if (canonicalJson(manifest[name as keyof typeof expected]) !== canonicalJson(value))
      throw refuse(`The manifest's ${name} is not the job's.`)

  await Promise.all(
    ADAPTER_FILES.map(async (name) => {
      const { sha256, bytes } = manifest.files[name]
      const stored = await ctx.env.BLOBS.head(blobKey(sha256))
      if (stored?.size !== bytes) throw refuse(`${name} (${sha256}) is not in the store.`)
    }),
  )
  const config = parseJson(await getBlob(ctx.env, manifest.files['adapter_config.json'].sha256))
  const digest = adapterDigest({
    weights: manifest.files['adapter_model.safetensors'].sha256,
    config: sha256Hex(canonicalJson(config)),
    base: base.digest,
  })
  if (digest !== manifest.digest)
    throw refuse(`The files have the digest ${digest}, the manifest says ${manifest.digest}.`)
  return manifest
}

const refuse = (detail: string) => new Problem('job/result-refused', { detail })

function parseJson(bytes: Uint8Array | null): unknown {
  if (!bytes) return null
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return null // refused by whoever looks at it
  }
}

/** Has an adapter registered unless it is; safe to call again at any time. */
async function pursueRegistration(ctx: Ctx, digest: Hex): Promise<void> {
  const [row] = await ctx.db.select().from(adapters).where(eq(adapters.digest, digest))
  if (!row) return
  if (row.status === 'registered') return endJobs(ctx, row, null)
  await enqueueTransaction(ctx, {
    key: registrationKey(digest),
    to: ctx.settings.CONTRACTS.modelRegistry,
    data: encodeFunctionData({
      abi: modelRegistryAbi,
      functionName: 'registerAdapter',
      args: [
        {
          digest,
          base: row.base,
          indexRoot: row.indexRoot,
          manifestHash: row.manifest,
          owner: row.owner,
          pricePerToken: BigInt(row.pricePerToken),
          datanetRoots: row.datanets.map(({ root }) => root),
        },
      ],
    }),
    value: { parameter: 'fee.model' },
  })
}

/** How a registration ended. Idempotent. */
export async function registrationEnded(ctx: Ctx, digest: Hex, outcome: Outcome): Promise<void> {
  const [row] = await ctx.db.select().from(adapters).where(eq(adapters.digest, digest))
  if (!row) return
  // A revert may say that it is registered already: content-addressed, so what counts is what the chain has.
  const onChain = await adapterOnChain(ctx.settings, digest)
  if (onChain?.manifestHash === row.manifest && onChain.owner === row.owner) {
    const txHash = outcome.status === 'success' ? outcome.txHash : null // somebody else's: not known
    const registered = { status: 'registered', txHash } as const
    await ctx.db
      .update(adapters)
      .set({ ...registered, registeredAt: Date.now() })
      .where(and(eq(adapters.digest, digest), eq(adapters.status, 'registering')))
    return endJobs(ctx, { ...row, ...registered }, null)
  }
  if (outcome.status === 'success') throw new Error(`the chain does not show adapter ${digest}`)
  await endJobs(ctx, row, outcome.reason)
  await ctx.db
    .delete(adapters)
    .where(and(eq(adapters.digest, digest), eq(adapters.status, 'registering')))
}

/** Ends the jobs that wait for an adapter's registration. */
async function endJobs(ctx: Ctx, adapter: Adapter, refusal: string | null): Promise<void> {
  const waiting = await ctx.db
    .select()
    .from(jobs)
    .where(and(eq(jobs.adapterDigest, adapter.digest), eq(jobs.status, 'registering')))
  for (const job of waiting) {
    const fault =
      refusal ??
      (job.manifest.owner === adapter.owner
        ? null
        : `${adapter.owner} has these weights registered`)
    if (fault !== null) {
      await failJob(ctx, job, { code: 'registration_refused', message: fault })
      continue
    }
    await ctx.db
      .update(jobs)
      .set({ status: 'succeeded', fineTunedModel: adapter.name, finishedAt: Date.now() })
      .where(and(eq(jobs.id, job.id), eq(jobs.status, 'registering')))
    await jobFeed(ctx.env, job.id).end([
      note(
        `The job succeeded: ${adapter.name} is registered${adapter.txHash ? ` in ${adapter.txHash}` : ''}.`,
      ),
    ])
  }
}

/** Goes on with registrations that a crash or a lost message has stopped; returns how many. */
export async function sweepRegistrations(ctx: Ctx): Promise<number> {
  const open = await ctx.db
    .selectDistinct({ digest: jobs.adapterDigest })
    .from(jobs)
    .where(eq(jobs.status, 'registering'))
  for (const { digest } of open) {
    if (!digest) continue
    const outcome = outcomeOfStatus(await transactionStatus(ctx, registrationKey(digest)))
    if (outcome) await registrationEnded(ctx, digest, outcome)
    else await pursueRegistration(ctx, digest)
  }
  return open.length
}
