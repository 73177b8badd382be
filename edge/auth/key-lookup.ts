import { eq } from 'drizzle-orm'
import type { Hex } from '#protocol/bytes.ts'
import { nearestDb, type AccountActor, type Ctx, type Db } from '../context.ts'
import { accounts, apiKeys } from '../db/schema.ts'
import { Problem } from '../problem.ts'
import { hashSecret } from './secrets.ts'

const CACHE_MS = 60_000 // a revoked key stops working everywhere within this time
const CACHE_KEYS = 10_000
const LAST_USED_DEBOUNCE_MS = 300_000

type Known = { actor: AccountActor; expiresAt: number | null; cachedAt: number }
const cache = new Map<string, Known>()

/**
 * The account of an API key, from this isolate's cache or else the nearest replica, so that no request waits for
 * D1's primary unless its key is younger than replication. Throws `auth/invalid-key`.
 */
export async function findKey(ctx: Ctx, key: string): Promise<AccountActor> {
  const hash = await hashSecret(key)
  const now = Date.now()
  let known = cache.get(hash)
  if (!known || now - known.cachedAt >= CACHE_MS) {
    known = (await load(nearestDb(ctx.env), hash, now)) ?? (await load(ctx.db, hash, now))
    if (!known) {
      cache.delete(hash)
      throw new Problem('auth/invalid-key')
    }
    if (cache.size >= CACHE_KEYS) cache.clear()
    cache.set(hash, known)
    ctx.waitUntil(touch(ctx, known.actor.keyId, now))
  }
  if (known.expiresAt !== null && known.expiresAt <= now)
    throw new Problem('auth/invalid-key', { detail: 'The API key has expired.' })
  return known.actor
}

/** Forgets a key here at once; other isolates follow when their entry ages out. */
export const forgetKey = (hash: string): boolean => cache.delete(hash)

async function load(db: Db, hash: string, now: number): Promise<Known | undefined> {
  const [row] = await db
    .select()
    .from(apiKeys)
    .innerJoin(accounts, eq(accounts.id, apiKeys.accountId))
    .where(eq(apiKeys.hash, hash))
    .limit(1)
  if (!row || row.api_keys.revokedAt !== null) return undefined
  return {
    actor: {
      kind: 'account',
      accountId: row.accounts.id,
      address: row.accounts.address as Hex,
      keyId: row.api_keys.id,
      scopes: row.api_keys.scopes,
    },
    expiresAt: row.api_keys.expiresAt,
    cachedAt: now,
  }
}

const touch = (ctx: Ctx, keyId: string, now: number) =>
  ctx.env.DB.prepare(
    'UPDATE api_keys SET last_used_at = ?1 WHERE id = ?2 AND coalesce(last_used_at, 0) < ?1 - ?3',
  )
    .bind(now, keyId, LAST_USED_DEBOUNCE_MS)
    .run()
