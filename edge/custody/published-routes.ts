import { createRoute, z } from '@hono/zod-openapi'
import { and, eq } from 'drizzle-orm'
import type { Hex } from '#protocol/bytes.ts'
import { adapterManifest, address, bytes32 } from '#protocol/wire.ts'
import { blobKey, getJson } from '../blobs/store.ts'
import type { Ctx } from '../context.ts'
import { adapters } from '../db/schema-models.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import { Problem } from '../problem.ts'
import { epochKey } from '../settlement/epoch-files.ts'
import { hasStake } from '../chain/stake.ts'

/**
 * The files against which a stranger checks what the chain says, each named by a hash that is on chain or in a file
 * whose hash is: manifests and segments of epochs, manifests of registered adapters and their attribution indexes. Weights are for
 * workers, the owner and validators.
 */

const binary = {
  200: {
    description: 'The bytes',
    content: { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } },
  },
}
const epochRoute = createRoute({
  method: 'get',
  path: '/v1/epoch-files/{hash}',
  summary:
    'The manifest of an epoch by its hash on chain, or a segment that it lists, as the data-availability layer has it',
  security: [],
  request: { params: z.object({ hash: bytes32 }) },
  responses: binary,
})
const adapterFileRoute = createRoute({
  method: 'get',
  path: '/v1/adapters/{digest}/files/{sha256}',
  summary: 'The manifest of a registered adapter, or a file that it names',
  security: [],
  request: { params: z.object({ digest: bytes32, sha256: bytes32 }) },
  responses: binary,
})

const networkRoute = createRoute({
  method: 'get',
  path: '/v1/network',
  summary: 'The chain and the contracts behind this API',
  security: [],
  responses: answers(
    200,
    z
      .object({
        object: z.literal('network'),
        chain_id: z.int(),
        contracts: z.record(z.string(), address),
      })
      .openapi('Network'),
    'Chain id and addresses; whoever trusts nobody compares them with the published deployment',
  ),
})

export const publishedRoutes = newApp()

publishedRoutes.openapi(networkRoute, (c) => {
  const { CHAIN_ID, CONTRACTS } = c.get('ctx').settings
  return c.json({ object: 'network' as const, chain_id: CHAIN_ID, contracts: CONTRACTS }, 200)
})
publishedRoutes.openapi(epochRoute, async (c) =>
  bytesOf(await c.get('ctx').env.BLOBS.get(epochKey(c.req.valid('param').hash))),
)
publishedRoutes.openapi(adapterFileRoute, async (c) => {
  const { digest, sha256 } = c.req.valid('param')
  const ctx = c.get('ctx')
  await requireReadable(ctx, digest, sha256)
  return bytesOf(await ctx.env.BLOBS.get(blobKey(sha256)))
})

const bytesOf = (object: R2ObjectBody | null): Response => {
  if (!object) throw new Problem('blob/not-found')
  return new Response(object.body, {
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': String(object.size),
      'cache-control': 'private, max-age=31536000, immutable',
    },
  })
}

/** Throws `blob/not-found` unless the adapter is registered and names the file, `auth/forbidden` when it is weights. */
async function requireReadable(ctx: Ctx, digest: Hex, sha256: Hex): Promise<void> {
  const [adapter] = await ctx.db
    .select()
    .from(adapters)
    .where(and(eq(adapters.digest, digest), eq(adapters.status, 'registered')))
  if (!adapter)
    throw new Problem('blob/not-found', { detail: `No adapter ${digest} is registered.` })
  if (sha256 === adapter.manifest) return
  const manifest = await getJson(ctx.env, adapter.manifest, adapterManifest)
  if (!manifest) throw new Problem('blob/not-found', { detail: adapter.manifest })
  const names = Object.entries(manifest.files).flatMap(([name, file]) =>
    file.sha256 === sha256 ? [name] : [],
  )
  if (names.length === 0)
    throw new Problem('blob/not-found', { detail: `The adapter has no file ${sha256}.` })
  if (names.some((name) => name.startsWith('index/'))) return
  const { actor } = ctx
  const isTheirs =
    actor.kind === 'worker' ||
    (actor.kind === 'account' &&
      (actor.address === adapter.owner || (await hasStake(ctx, actor.address))))
  if (!isTheirs)
    throw new Problem('auth/forbidden', {
      detail: 'The weights of an adapter are for its owner, workers and staked validators.',
    })
}
