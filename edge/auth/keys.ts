import { and, desc, eq, isNull, lt } from 'drizzle-orm'
import { newId } from '#protocol/ids.ts'
import { accountOf, type Ctx, type Scope } from '../context.ts'
import { apiKeys } from '../db/schema.ts'
import type { ListQuery } from '../http/list.ts'
import { Problem } from '../problem.ts'
import { forgetKey } from './key-lookup.ts'
import { hashSecret, newApiKey } from './secrets.ts'

const DAY_MS = 86_400_000
const HINT_CHARS = 4

export type KeyInput = { name: string; scopes: Scope[]; expiresInDays?: number }
export type KeyRow = Omit<typeof apiKeys.$inferSelect, 'hash' | 'accountId'>
export type NewKey = KeyRow & { key: string }

/** Makes a key; the answer is the only place where it is ever in the clear. */
export async function createKey(ctx: Ctx, accountId: string, input: KeyInput): Promise<NewKey> {
  const key = newApiKey()
  const now = Date.now()
  const row = {
    id: newId('apiKey'),
    name: input.name,
    hint: `${key.slice(0, 8)}…${key.slice(-HINT_CHARS)}`,
    scopes: input.scopes,
    createdAt: now,
    expiresAt: input.expiresInDays ? now + input.expiresInDays * DAY_MS : null,
    revokedAt: null,
    lastUsedAt: null,
  }
  await ctx.db.insert(apiKeys).values({ ...row, accountId, hash: await hashSecret(key) })
  return { ...row, key }
}

/** Makes a key for the caller, with no scope that the caller's own key lacks. */
export async function delegateKey(ctx: Ctx, input: KeyInput): Promise<NewKey> {
  const actor = accountOf(ctx)
  const extra = input.scopes.filter((scope) => !actor.scopes.includes(scope))
  if (extra.length > 0)
    throw new Problem('auth/scope', {
      detail: `Your key lacks ${extra.join(', ')}.`,
      param: 'scopes',
    })
  return createKey(ctx, actor.accountId, input)
}

/** The caller's keys, newest first, without revoked ones; up to limit + 1 of them. */
export async function listKeys(ctx: Ctx, { limit, after }: ListQuery): Promise<KeyRow[]> {
  return ctx.db
    .select()
    .from(apiKeys)
    .where(
      and(
        eq(apiKeys.accountId, accountOf(ctx).accountId),
        isNull(apiKeys.revokedAt),
        after === undefined ? undefined : lt(apiKeys.id, after),
      ),
    )
    .orderBy(desc(apiKeys.id))
    .limit(limit + 1)
}

/** Revokes a key of the caller: here at once, elsewhere within a minute. Idempotent. */
export async function revokeKey(ctx: Ctx, id: string): Promise<void> {
  const [row] = await ctx.db
    .update(apiKeys)
    .set({ revokedAt: Date.now() })
    .where(and(eq(apiKeys.id, id), eq(apiKeys.accountId, accountOf(ctx).accountId)))
    .returning()
  if (!row) throw new Problem('auth/key-not-found')
  forgetKey(row.hash)
}
