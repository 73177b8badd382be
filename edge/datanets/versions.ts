import { and, desc, eq, inArray, lt, sql } from 'drizzle-orm'
import { encodeFunctionData } from 'viem'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import type { Hex } from '#protocol/bytes.ts'
import { newId } from '#protocol/ids.ts'
import { datanetManifest, type DatanetManifest } from '#protocol/wire.ts'
import { getJson } from '../blobs/store.ts'
import { cached } from '../chain/client.ts'
import { enqueueTransaction } from '../chain/enqueue.ts'
import { accountOf, type Ctx } from '../context.ts'
import { log } from '../log.ts'
import { contributions, versions } from '../db/schema.ts'
import type { Env } from '../env.ts'
import { Problem } from '../problem.ts'
import { chainId, getDatanet } from './datanets.ts'
import type { Outcome } from '../chain/outcome.ts'
import { revokedIn } from './revocations.ts'

const MANIFEST_CACHE_MS = 3_600_000 // immutable

export type Version = typeof versions.$inferSelect

/**
 * Starts the next version of a Datanet from its anchored records without the revoked ones; the owner may. Of two
 * requests at once one wins, by the unique number. Throws `version/in-progress`, `version/nothing-new`.
 */
export async function createVersion(ctx: Ctx, datanetId: string): Promise<Version> {
  const datanet = await getDatanet(ctx, datanetId)
  if (datanet.accountId !== accountOf(ctx).accountId)
    throw new Problem('auth/forbidden', { detail: 'Only the owner publishes versions.' })
  const [[last], [anchored]] = await ctx.db.batch([
    ctx.db
      .select()
      .from(versions)
      .where(eq(versions.datanetId, datanetId))
      .orderBy(desc(versions.number))
      .limit(1),
    ctx.db
      .select({
        records:
          sql<number>`coalesce(sum(json_extract(${contributions.counts}, '$.accepted')), 0)`.as(
            'records',
          ),
      })
      .from(contributions)
      .where(and(eq(contributions.datanetId, datanetId), eq(contributions.status, 'anchored'))),
  ])
  if (last?.status === 'building' || last?.status === 'publishing')
    throw new Problem('version/in-progress', {
      detail: `Version ${last.number} is ${last.status}.`,
    })
  // Both only grow, so that a version with the same two has the same records.
  const [all, revoked] = [anchored?.records ?? 0, (await revokedIn(ctx, datanetId)).size]
  const isPublished =
    last?.status === 'published' &&
    all === (last.records ?? 0) + (last.revoked ?? 0) &&
    revoked === (last.revoked ?? 0)
  if (isPublished)
    throw new Problem('version/nothing-new', {
      detail: `Version ${last.number} has the records that there are.`,
    })
  if (all === revoked)
    throw new Problem('version/nothing-new', {
      detail: 'No record is anchored yet that was not taken back.',
    })
  const row =
    last?.status === 'failed' ? await restart(ctx, last) : await begin(ctx, datanetId, last)
  if (!row) throw new Problem('version/in-progress')
  try {
    await ctx.env.CONTRIBUTIONS.send({ type: 'version', id: row.id })
  } catch (error) {
    log('warn', { requestId: ctx.requestId, version: row.id, during: 'enqueue', error }) // the sweep finds it
  }
  return row
}

async function begin(ctx: Ctx, datanetId: string, last?: Version): Promise<Version | undefined> {
  const [row] = await ctx.db
    .insert(versions)
    .values({
      id: newId('version'),
      datanetId,
      number: (last?.number ?? 0) + 1,
      status: 'building',
      createdAt: Date.now(),
    })
    .onConflictDoNothing({ target: [versions.datanetId, versions.number] })
    .returning()
  return row
}

/** A number that failed is used again, because the chain takes numbers in order. */
async function restart(ctx: Ctx, failed: Version): Promise<Version | undefined> {
  const [row] = await ctx.db
    .update(versions)
    .set({ status: 'building', error: null, createdAt: Date.now() })
    .where(and(eq(versions.id, failed.id), eq(versions.status, 'failed')))
    .returning()
  return row
}

/** Enqueues the publication of a version that was built; idempotent by its key. */
export async function publishVersion(ctx: Ctx, version: Version): Promise<void> {
  if (version.status !== 'publishing' || !version.root || !version.manifest) return
  await enqueueTransaction(ctx, {
    key: `version:${version.id}`,
    to: ctx.settings.CONTRACTS.datanetRegistry,
    data: encodeFunctionData({
      abi: datanetRegistryAbi,
      functionName: 'publishVersion',
      args: [
        chainId(version.datanetId),
        version.number,
        version.root,
        version.manifest,
        version.records ?? 0,
      ],
    }),
    value: 0n,
  })
}

/**
 * Records how the publication ended. A revert that is told again, after its number was started anew, is not about what is being
 * built now.
 */
export async function settleVersion(ctx: Ctx, id: string, outcome: Outcome): Promise<void> {
  if (outcome.status === 'success') {
    const { txHash, blockNumber } = outcome
    await ctx.db
      .update(versions)
      .set({ status: 'published', txHash, blockNumber, publishedAt: Date.now() })
      .where(eq(versions.id, id))
    return
  }
  await ctx.db
    .update(versions)
    .set({ status: 'failed', error: outcome.reason })
    .where(and(eq(versions.id, id), inArray(versions.status, ['publishing', 'published'])))
}

/** Ends a version that cannot be built, or that the queue gave up on; its number can be started again. */
export async function failVersion(
  ctx: Ctx,
  id: string,
  error = 'Building failed again and again on our side. Publish again.',
): Promise<void> {
  await ctx.db
    .update(versions)
    .set({ status: 'failed', error })
    .where(and(eq(versions.id, id), eq(versions.status, 'building')))
}

/** Versions of a Datanet, newest first, from before number `after`; up to limit + 1. */
export async function listVersions(
  ctx: Ctx,
  datanetId: string,
  { limit, after }: { limit: number; after?: number },
): Promise<Version[]> {
  await getDatanet(ctx, datanetId)
  return ctx.db
    .select()
    .from(versions)
    .where(
      and(
        eq(versions.datanetId, datanetId),
        after === undefined ? undefined : lt(versions.number, after),
      ),
    )
    .orderBy(desc(versions.number))
    .limit(limit + 1)
}

/** A version by Datanet and number. Throws `version/not-found`. */
export async function getVersion(ctx: Ctx, datanetId: string, number: number): Promise<Version> {
  const [row] = await ctx.db
    .select()
    .from(versions)
    .where(and(eq(versions.datanetId, datanetId), eq(versions.number, number)))
  if (!row)
    throw new Problem('version/not-found', { detail: `${datanetId} has no version ${number}.` })
  return row
}

/** The manifest of a version, or null while it is being built. */
export async function readManifest(
  ctx: Ctx,
  { manifest }: Version,
): Promise<DatanetManifest | null> {
  if (!manifest) return null
  return cached(`manifest:${manifest}`, MANIFEST_CACHE_MS, () => manifestAt(ctx.env, manifest))
}

/** The manifest of the version that has a root; throws when it is missing or another's. */
export async function versionManifest(
  env: Pick<Env, 'BLOBS'>,
  { root, manifest }: { root: Hex; manifest: Hex },
): Promise<DatanetManifest> {
  const found = await manifestAt(env, manifest)
  if (found.root !== root) throw new Error(`manifest ${manifest} is not of Datanet version ${root}`)
  return found
}

async function manifestAt(env: Pick<Env, 'BLOBS'>, sha256: Hex): Promise<DatanetManifest> {
  const found = await getJson(env, sha256, datanetManifest)
  if (!found) throw new Error(`the manifest ${sha256} of a Datanet version is missing`)
  return found
}
