import { createMiddleware } from 'hono/factory'
import { sha256Hex } from '#protocol/bytes.ts'
import type { Quota, Repetition, StoredAnswer } from '../accounts/account.ts'
import type { AppEnv } from '../context.ts'
import { Problem } from '../problem.ts'

const MAX_KEY_CHARS = 255
const MAX_STORED_CHARS = 500_000 // a row of a Durable Object holds 2 MB

/**
 * One call to the account's object per request: counts it against the quota (draft-ietf-httpapi-ratelimit-headers)
 * and, for a POST with an Idempotency-Key, repeats the first answer instead of the work
 * (draft-ietf-httpapi-idempotency-key-header). Answers with 429 or 5xx are not kept: the retry shall run.
 * Streams and answers that must not be stored (`cache-control: no-store`) are not repeated but refused.
 */
export const admit = createMiddleware<AppEnv>(async (c, next) => {
  const { actor, env, settings } = c.get('ctx')
  if (actor.kind !== 'account') return next()
  const key = c.req.method === 'POST' ? idempotencyKey(c.req.header('idempotency-key')) : undefined
  const fingerprint =
    key &&
    `${c.req.method} ${c.req.url} ${sha256Hex(new Uint8Array(await c.req.raw.clone().arrayBuffer()))}`
  const account = env.ACCOUNT.getByName(actor.accountId)
  const { quota, repetition } = await account.admit({
    limitPerMinute: settings.QUOTA_PER_MINUTE,
    key,
    fingerprint,
  })
  const headers = quotaHeaders(quota)
  if (quota.exceeded)
    throw new Problem('request/quota', { retryAfter: quota.resetSeconds, headers })
  const stored = repetition && replay(repetition)
  if (stored) c.res = stored
  else await next()
  for (const [name, value] of Object.entries(headers)) c.header(name, value)
  if (!key || repetition?.kind !== 'first') return
  if (c.res.status === 429 || c.res.status >= 500) await account.forget(key)
  else await account.finish(key, await storable(c.res))
})

function idempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header // the draft writes a quoted string, most clients send it bare
  if (key.length === 0 || key.length > MAX_KEY_CHARS)
    throw new Problem('idempotency/invalid', { detail: `Send 1 to ${MAX_KEY_CHARS} characters.` })
  return key
}

function replay(repetition: Repetition): Response | null {
  switch (repetition.kind) {
    case 'first':
      return null
    case 'in-flight':
      throw new Problem('idempotency/in-flight', { retryAfter: 1 })
    case 'mismatch':
      throw new Problem('idempotency/mismatch')
    case 'not-replayable':
      throw new Problem('idempotency/not-replayable')
    case 'replay': {
      const { status, contentType, body } = repetition.answer
      return new Response(body, {
        status,
        headers: { 'content-type': contentType, 'idempotency-replayed': 'true' },
      })
    }
  }
}

async function storable(response: Response): Promise<StoredAnswer | null> {
  const contentType = response.headers.get('content-type') ?? 'application/json'
  const secret = response.headers.get('cache-control') === 'no-store'
  if (secret || contentType.startsWith('text/event-stream')) return null
  const body = await response.clone().text()
  return body.length > MAX_STORED_CHARS ? null : { status: response.status, contentType, body }
}

const quotaHeaders = ({ limit, remaining, resetSeconds }: Quota): Record<string, string> => ({
  'ratelimit-policy': `"default";q=${limit};w=60`,
  ratelimit: `"default";r=${remaining};t=${resetSeconds}`,
})
