import { and, desc, eq, gt, sql } from 'drizzle-orm'
import type { Hex } from '#protocol/bytes.ts'
import { parseModelName } from '#protocol/model.ts'
import { cached, readChain } from '../chain/client.ts'
import { adapterOnChain, baseOnChain } from '../chain/models.ts'
import type { Ctx } from '../context.ts'
import { adapters, bases } from '../db/schema-models.ts'
import { Problem } from '../problem.ts'

const CATALOGUE_TTL_MS = 1_000

export type Base = typeof bases.$inferSelect
export type Adapter = typeof adapters.$inferSelect

/** A model that may be served now, as the chain has it. */
export type ServedModel = {
  /** As it was asked for. */
  id: string
  base: Base
  adapter: Adapter | null
  /** Digest of what answers: the adapter's, else the base's. */
  digest: Hex
  owner: Hex
  pricePerToken: bigint
}

/** Name of an adapter in the API: an alias of the newest adapter its owner has registered under the slug. */
export const adapterName = (base: string, owner: Hex, slug: string): string =>
  `${base}:${owner}/${slug}`

/**
 * The model behind a name, checked against the chain; an alias is resolved once, here. Throws `model/not-found`,
 * `model/revoked`, `model/digest-mismatch`, `chain/unavailable`. Never falls back to another model.
 */
export async function resolveModel(ctx: Ctx, id: string): Promise<ServedModel> {
  const found = await cached(`model:${id}`, CATALOGUE_TTL_MS, () => findModel(ctx, id))
  if (!found)
    throw new Problem('model/not-found', {
      detail: `The model ${id.slice(0, 200)} does not exist.`,
      param: 'model',
    })
  const { base, adapter } = found
  const onChain = await readChain(() =>
    adapter ? adapterOnChain(ctx.settings, adapter.digest) : baseOnChain(ctx.settings, base.digest),
  )
  const baseState = adapter
    ? await readChain(() => baseOnChain(ctx.settings, base.digest))
    : onChain
  if (onChain?.revoked || baseState?.revoked)
    throw new Problem('model/revoked', { detail: `${id} was revoked.`, param: 'model' })
  if (!onChain || !baseState || (adapter && onChain.manifestHash !== adapter.manifest))
    throw new Problem('model/digest-mismatch', {
      detail: `The chain does not confirm ${id}.`,
      param: 'model',
    })
  return {
    id,
    base,
    adapter,
    digest: adapter?.digest ?? base.digest,
    owner: onChain.owner,
    pricePerToken: onChain.pricePerToken,
  }
}

async function findModel(
  ctx: Ctx,
  id: string,
): Promise<{ base: Base; adapter: Adapter | null } | null> {
  const name = parseModelName(id)
  if (!name) return null
  if (name.adapter === undefined) {
    const base = await findBase(ctx, name.base, name.digest)
    return base && { base, adapter: null }
  }
  const [row] = await ctx.db
    .select()
    .from(adapters)
    .innerJoin(bases, eq(bases.digest, adapters.base))
    .where(
      and(
        eq(adapters.name, `${name.base}:${name.adapter}`),
        eq(adapters.status, 'registered'),
        name.digest ? eq(adapters.digest, name.digest) : undefined,
      ),
    )
    .orderBy(desc(adapters.registeredAt))
    .limit(1)
  return row ? { base: row.bases, adapter: row.adapters } : null
}

/** The base model of a name, the newest when several have it and no digest says which; null when there is none. */
export async function findBase(ctx: Ctx, name: string, digest?: Hex): Promise<Base | null> {
  const [base] = await ctx.db
    .select()
    .from(bases)
    .where(and(eq(bases.name, name), digest ? eq(bases.digest, digest) : undefined))
    .orderBy(desc(bases.createdAt))
    .limit(1)
  return base ?? null
}

export type Listed = { id: string; base: Base | null; adapter: Adapter | null; createdAt: number }

/** Models that have a name: every base first, then adapters by name; up to limit + 1 after the name `after`. */
export async function listModels(
  ctx: Ctx,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<Listed[]> {
  const baseRows = after?.includes(':') ? [] : await ctx.db.select().from(bases).orderBy(bases.name)
  const named = baseRows
    .filter(({ name }) => after === undefined || name > after)
    .map((base) => ({ id: base.name, base, adapter: null, createdAt: base.createdAt }))
  const newest = await ctx.db
    .select()
    .from(adapters)
    .where(
      and(
        eq(adapters.status, 'registered'),
        after?.includes(':') ? gt(adapters.name, after) : undefined,
        sql`NOT EXISTS (SELECT 1 FROM adapters later WHERE later.name = ${adapters.name}
          AND later.status = 'registered' AND later.registered_at > ${adapters.registeredAt})`,
      ),
    )
    .orderBy(adapters.name)
    .limit(limit + 1)
  const adapted = newest.map((adapter) => ({
    id: adapter.name,
    base: null,
    adapter,
    createdAt: adapter.registeredAt ?? adapter.createdAt,
  }))
  return [...named, ...adapted].slice(0, limit + 1)
}
