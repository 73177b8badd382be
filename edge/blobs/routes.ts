import { createRoute, z } from '@hono/zod-openapi'
import type { Hex } from '#protocol/bytes.ts'
import { blobRef } from '#protocol/wire.ts'
import { requireWorker } from '../auth/authenticate.ts'
import type { Ctx } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import { Problem } from '../problem.ts'
import { blobKey } from './store.ts'

const MAX_BLOB_BYTES = 100 * 1024 * 1024 // the largest request body of a Cloudflare zone

const params = z.object({
  sha256: z
    .string()
    .regex(/^(0x)?[0-9a-f]{64}$/)
    .transform((text) => (text.startsWith('0x') ? text : `0x${text}`) as Hex),
})
const binary = { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } }

const putRoute = createRoute({
  method: 'put',
  path: '/v1/blobs/{sha256}',
  summary: 'Store bytes under their hash',
  middleware: [requireWorker] as const,
  request: { params, body: { required: true, content: binary } },
  responses: answers(200, blobRef, 'The bytes are stored'),
})

const getRoute = createRoute({
  method: 'get',
  path: '/v1/blobs/{sha256}',
  summary: 'Read the bytes under a hash',
  middleware: [requireWorker] as const,
  request: { params },
  responses: { 200: { description: 'The bytes', content: binary } },
})

export const blobRoutes = newApp()

blobRoutes.openapi(putRoute, async (c) => {
  const { sha256 } = c.req.valid('param')
  const bytes = await storeStream(c.get('ctx'), sha256, c.req.raw)
  return c.json({ sha256, bytes }, 200)
})

blobRoutes.openapi(getRoute, async (c) => {
  const { sha256 } = c.req.valid('param')
  const object = await c.get('ctx').env.BLOBS.get(blobKey(sha256))
  if (!object) throw new Problem('blob/not-found', { detail: sha256 })
  return c.body(object.body, 200, {
    'content-type': 'application/octet-stream',
    'content-length': String(object.size),
    etag: object.httpEtag,
    'cache-control': 'private, max-age=31536000, immutable',
  })
})

/**
 * Streams a request's body into R2, which refuses it unless it has the hash. Idempotent: a blob that is there is
 * not written again. Answers its size. Throws `blob/hash-mismatch`.
 */
async function storeStream({ env }: Ctx, sha256: Hex, request: Request): Promise<number> {
  const known = await env.BLOBS.head(blobKey(sha256))
  if (known) {
    // Read to its end: cancelling it now and then loses the connection, and with it the answer.
    await request.body?.pipeTo(new WritableStream())
    return known.size
  }
  const length = Number(request.headers.get('content-length') ?? Number.NaN)
  if (!Number.isInteger(length))
    throw new Problem('request/invalid', {
      detail: 'Send a content-length.',
      param: 'content-length',
    })
  if (length > MAX_BLOB_BYTES)
    throw new Problem('request/too-large', {
      detail: `A blob has at most ${MAX_BLOB_BYTES} bytes.`,
    })
  try {
    const body = length === 0 ? new Uint8Array() : request.body
    await env.BLOBS.put(blobKey(sha256), body, { sha256: sha256.slice(2) })
  } catch (cause) {
    // R2's error has no code; its text names the checksum (error 10037, BadDigest).
    if (/checksum|digest|hash/i.test(String(cause)))
      throw new Problem('blob/hash-mismatch', { cause })
    throw cause
  }
  return length
}
