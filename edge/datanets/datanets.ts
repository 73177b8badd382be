import { and, desc, eq, lt, sql } from 'drizzle-orm'
import { encodeFunctionData } from 'viem'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { canonicalJson, keccak, type Hex } from '#protocol/bytes.ts'
import { isId, newId } from '#protocol/ids.ts'
import { cached } from '../chain/client.ts'
import { enqueueTransaction } from '../chain/enqueue.ts'
import { accountOf, nearestDb, type Ctx } from '../context.ts'
import { contributions, datanets } from '../db/schema.ts'
import type { ListQuery } from '../http/list.ts'
import { Problem } from '../problem.ts'
import type { Outcome } from '../chain/outcome.ts'
import type { ColumnMapping } from './pipeline/columns.ts'
import type { Profile } from './pipeline/profile.ts'

const CACHE_MS = 60_000

export type Datanet = typeof datanets.$inferSelect
export type DatanetInput = {
  name: string
  slug?: string
  description: string
  licence: string
  licences: string[]
  domain: string
  columns: ColumnMapping | null
  profile: Profile
}

/** `IDatanetRegistry.Access.Open`: whom a gated Datanet admits is the edge's to check. */
const OPEN_ACCESS = 0

/** The id of a Datanet, contribution or batch on chain: keccak256 of ours. */
export const chainId = (id: string): Hex => keccak(id)

/** Creates a Datanet and has it registered on chain. The row comes first: the sweep enqueues what this could not. */
export async function createDatanet(ctx: Ctx, input: DatanetInput): Promise<Datanet> {
  const actor = accountOf(ctx)
  const row: Datanet = {
    ...input,
    id: newId('datanet'),
    accountId: actor.accountId,
    owner: actor.address,
    slug: input.slug ?? slugOf(input.name),
    licences: [...new Set([input.licence, ...input.licences])],
    status: 'pending',
    txHash: null,
    error: null,
    createdAt: Date.now(),
  }
  const inserted = await ctx.db
    .insert(datanets)
    .values(row)
    .onConflictDoNothing({ target: [datanets.accountId, datanets.slug] })
    .returning({ id: datanets.id })
  if (inserted.length === 0)
    throw new Problem('datanet/slug-taken', {
      detail: `You have a Datanet "${row.slug}".`,
      param: 'slug',
    })
  await registerDatanet(ctx, row)
  return row
}

/** Enqueues the registration; idempotent by its key. */
export async function registerDatanet(ctx: Ctx, row: Datanet): Promise<void> {
  const { id, name, slug, description, licence, domain, profile } = row
  const metadataHash = keccak(
    canonicalJson({ id, name, slug, description, licence, domain, profile }),
  )
  await enqueueTransaction(ctx, {
    key: `datanet:${id}`,
    to: ctx.settings.CONTRACTS.datanetRegistry,
    data: encodeFunctionData({
      abi: datanetRegistryAbi,
      functionName: 'createDatanet',
      args: [chainId(id), row.owner, metadataHash, keccak(licence), OPEN_ACCESS],
    }),
    value: { parameter: 'fee.datanet' },
  })
}

/** Records how the registration ended. */
export async function settleDatanet(ctx: Ctx, id: string, outcome: Outcome): Promise<void> {
  await ctx.db
    .update(datanets)
    .set(
      outcome.status === 'success'
        ? { status: 'registered', txHash: outcome.txHash, error: null }
        : { status: 'failed', error: outcome.reason },
    )
    .where(eq(datanets.id, id))
}

/** A Datanet by id, fresh from the primary. Throws `datanet/not-found`. */
export async function getDatanet(ctx: Ctx, id: string): Promise<Datanet> {
  const [row] = await ctx.db.select().from(datanets).where(eq(datanets.id, id))
  if (!row) throw notFound(id)
  return row
}

/**
 * A Datanet for the accept path: what this isolate or the nearest replica knows, and the primary only for a Datanet
 * younger than replication. Everything but `status` is immutable.
 */
export function findDatanet(ctx: Ctx, id: string): Promise<Datanet> {
  if (!isId('datanet', id)) throw notFound(id)
  return cached(`datanet:${id}`, CACHE_MS, async () => {
    const [row] = await nearestDb(ctx.env).select().from(datanets).where(eq(datanets.id, id))
    return row ?? getDatanet(ctx, id)
  })
}

const notFound = (id: string) =>
  new Problem('datanet/not-found', {
    detail: `No Datanet has the id ${id.slice(0, 64)}.`,
    param: 'datanet',
  })

/** Datanets, newest first; up to limit + 1. */
export async function listDatanets(ctx: Ctx, { limit, after }: ListQuery): Promise<Datanet[]> {
  return ctx.db
    .select()
    .from(datanets)
    .where(after === undefined ? undefined : lt(datanets.id, after))
    .orderBy(desc(datanets.id))
    .limit(limit + 1)
}

export type Statistics = {
  contributions: Record<string, number>
  contributors: number
  records: { accepted: number; anchored: number; needs_review: number; rejected: number }
  reasons: Record<string, number>
}

/** Counts over all contributions of a Datanet. */
export async function datanetStatistics(ctx: Ctx, id: string): Promise<Statistics> {
  const ofDatanet = eq(contributions.datanetId, id)
  const [byStatus, [people], reasons] = await ctx.db.batch([
    ctx.db
      .select({
        status: contributions.status,
        contributions: sql<number>`count(*)`.as('contributions'),
        accepted: count('accepted'),
        needsReview: count('needsReview'),
        rejected: count('rejected'),
      })
      .from(contributions)
      .where(ofDatanet)
      .groupBy(contributions.status),
    ctx.db
      .select({
        contributors: sql<number>`count(distinct ${contributions.contributor})`.as('contributors'),
      })
      .from(contributions)
      .where(and(ofDatanet, eq(contributions.status, 'anchored'))),
    ctx.db
      .select({
        reason: sql<string>`reason.key`.as('reason'),
        records: sql<number>`sum(reason.value)`.as('records'),
      })
      .from(sql`${contributions}, json_each(${contributions.counts}, '$.reasons') AS reason`)
      .where(ofDatanet)
      .groupBy(sql`reason.key`),
  ])
  const sum = (of: (row: (typeof byStatus)[number]) => number) =>
    byStatus.reduce((n, row) => n + of(row), 0)
  return {
    contributions: Object.fromEntries(byStatus.map((row) => [row.status, row.contributions])),
    contributors: people?.contributors ?? 0,
    records: {
      accepted: sum((row) => row.accepted),
      anchored: sum((row) => (row.status === 'anchored' ? row.accepted : 0)),
      needs_review: sum((row) => row.needsReview),
      rejected: sum((row) => row.rejected),
    },
    reasons: Object.fromEntries(reasons.map((row) => [row.reason, row.records])),
  }
}

const count = (name: string) =>
  // Named, because a batch tells columns apart by name.
  sql<number>`coalesce(sum(json_extract(${contributions.counts}, ${`$.${name}`})), 0)`.as(name)

const slugOf = (name: string): string =>
  name
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '') // accents, which NFKD put beside their letters
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 64)
    .replace(/-+$/, '') || 'datanet'
