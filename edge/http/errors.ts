import type { ErrorHandler, NotFoundHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { AppEnv } from '../context.ts'
import { Problem, problemResponse } from '../problem.ts'

/** Turns whatever was thrown into problem details. Nothing internal leaks: the log line carries the cause. */
export const onError: ErrorHandler<AppEnv> = (error, c) =>
  problemResponse(asProblem(error), { id: c.get('ctx')?.requestId ?? 'unknown', path: c.req.path })

export const onNotFound: NotFoundHandler<AppEnv> = (c) =>
  problemResponse(
    new Problem('request/not-found', {
      detail: `There is no ${c.req.method} ${c.req.path}; /openapi.json says what there is.`,
    }),
    { id: c.get('ctx').requestId, path: c.req.path },
  )

function asProblem(error: Error): Problem {
  if (error instanceof Problem) return error
  // Hono throws these for a body that is not JSON, and for one that does not say that it is.
  if (error instanceof HTTPException && error.status === 400)
    return new Problem('request/invalid', { detail: error.message, cause: error })
  if (error instanceof HTTPException && error.status === 415)
    return new Problem('request/unsupported-type', {
      detail: 'Send the header `Content-Type: application/json`.',
      param: 'content-type',
      cause: error,
    })
  return new Problem('server/error', { cause: error })
}
