import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import type { Hex } from '#protocol/bytes.ts'
import { settingsOf, type Env, type Settings } from './env.ts'
import { log } from './log.ts'
import { Problem } from './problem.ts'

/** What an API key may do. `read` covers whatever only the account itself may see. */
export const SCOPES = ['read', 'datanets', 'models', 'inference', 'keys'] as const
export type Scope = (typeof SCOPES)[number]

export type AccountActor = {
  kind: 'account'
  accountId: string
  address: Hex
  keyId: string
  scopes: readonly Scope[]
}

/** On whose behalf a verb runs. */
export type Actor =
  | AccountActor
  | { kind: 'anonymous' }
  | { kind: 'worker' }
  | { kind: 'system'; name: string }

export type Db = DrizzleD1Database

/** First argument of every verb. */
export type Ctx = {
  env: Env
  settings: Settings
  db: Db
  actor: Actor
  requestId: string
  /** Keeps a promise running after the answer; its failure is logged. */
  waitUntil: (work: Promise<unknown>) => void
}

/** Variables of every Hono app here. */
export type AppEnv = { Bindings: Env; Variables: { ctx: Ctx } }

/** Builds the context of a request, queue message or alarm. */
export function makeCtx(
  env: Env,
  execution: { waitUntil: (work: Promise<unknown>) => void },
  { actor, requestId }: Pick<Ctx, 'actor' | 'requestId'>,
): Ctx {
  return {
    env,
    settings: settingsOf(env),
    db: drizzle(env.DB),
    actor,
    requestId,
    waitUntil: (work) =>
      execution.waitUntil(
        work.catch((error: unknown) => log('error', { requestId, during: 'waitUntil', error })),
      ),
  }
}

/** D1's nearest replica, which may be some seconds behind the primary. */
export const nearestDb = (env: Env): Db =>
  // A session prepares and batches as a database does, which is all that drizzle asks of it.
  drizzle(env.DB.withSession('first-unconstrained') as unknown as D1Database)

/** The account behind a request; throws `auth/required` for anybody else. */
export function accountOf(ctx: Ctx): AccountActor {
  if (ctx.actor.kind !== 'account') throw new Problem('auth/required')
  return ctx.actor
}

/** Who acts, for logs. */
export function actorName(actor: Actor): string {
  if (actor.kind === 'account') return actor.accountId
  return actor.kind === 'system' ? `system:${actor.name}` : actor.kind
}
