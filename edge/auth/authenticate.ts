import { createMiddleware } from 'hono/factory'
import type { AppEnv, Scope } from '../context.ts'
import { Problem } from '../problem.ts'
import { isApiKey, secretsEqual } from './secrets.ts'
import { findKey } from './key-lookup.ts'

/** Reads the bearer token and sets the actor: an API key's account, a gpu-worker, or nobody. A wrong token is refused. */
export const authenticate = createMiddleware<AppEnv>(async (c, next) => {
  const header = c.req.header('authorization')
  if (header === undefined) return next()
  const token = /^Bearer (\S+)$/i.exec(header)?.[1]
  if (!token)
    throw new Problem('auth/invalid-key', { detail: 'Send `Authorization: Bearer <key>`.' })
  const ctx = c.get('ctx')
  if (isApiKey(token)) ctx.actor = await findKey(ctx, token)
  else if (await secretsEqual(token, ctx.settings.WORKER_TOKEN)) ctx.actor = { kind: 'worker' }
  else throw new Problem('auth/invalid-key')
  return next()
})

/** Lets only API keys with the scope pass. */
export const requireScope = (scope: Scope) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const { actor } = c.get('ctx')
    if (actor.kind !== 'account') throw new Problem('auth/required')
    if (!actor.scopes.includes(scope))
      throw new Problem('auth/scope', { detail: `The key needs the scope "${scope}".` })
    return next()
  })

/** Lets only gpu-workers pass. */
export const requireWorker = createMiddleware<AppEnv>(async (c, next) => {
  if (c.get('ctx').actor.kind !== 'worker')
    throw new Problem('auth/required', { detail: 'Only a gpu-worker may call this.' })
  return next()
})

/** Slows down whoever calls all the time what works without an account and has nobody to pay for it: logins, claims. */
export const fenceCallers = createMiddleware<AppEnv>(async (c, next) => {
  const key = c.req.header('cf-connecting-ip') ?? 'local'
  const { success } = await c.env.CALLERS.limit({ key })
  if (!success) throw new Problem('request/quota', { retryAfter: 60 })
  return next()
})
