import { createMiddleware } from 'hono/factory'
import { actorName, makeCtx, type AppEnv } from '../context.ts'
import { log } from '../log.ts'
import { Problem } from '../problem.ts'
import { newId } from '#protocol/ids.ts'

/** Gives every request an id and a context, and writes its one log line. */
export const logRequests = createMiddleware<AppEnv>(async (c, next) => {
  const started = Date.now()
  const requestId = newId('request')
  try {
    c.set('ctx', makeCtx(c.env, c.executionCtx, { actor: { kind: 'anonymous' }, requestId }))
  } catch (cause) {
    throw new Problem('server/settings', { detail: String(cause), cause })
  }
  await next()
  c.header('x-request-id', requestId)
  log(c.res.status >= 500 ? 'error' : 'info', {
    requestId,
    actor: actorName(c.get('ctx').actor),
    method: c.req.method,
    path: c.req.path,
    status: c.res.status,
    ms: Date.now() - started,
    ...(c.error && { error: c.error }),
  })
})
