import { createRoute, z } from '@hono/zod-openapi'
import { address, hex } from '#protocol/wire.ts'
import { SCOPES } from '../context.ts'
import { listQuery, listSchema, page } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { seconds } from '../http/time.ts'
import { fenceCallers, requireScope } from './authenticate.ts'
import { delegateKey, listKeys, revokeKey, type KeyRow } from './keys.ts'
import { issueNonce, logIn } from './login.ts'

const scopes = z.array(z.enum(SCOPES)).min(1)
const keySchema = z
  .object({
    id: z.string(),
    object: z.literal('api_key'),
    name: z.string(),
    hint: z.string(),
    scopes,
    created_at: z.int(),
    expires_at: z.int().nullable(),
    last_used_at: z.int().nullable(),
  })
  .openapi('ApiKey')
const newKeySchema = keySchema
  .extend({ key: z.string().openapi({ description: 'Shown here only, never again.' }) })
  .openapi('NewApiKey')

const keyView = (row: KeyRow) => ({
  id: row.id,
  object: 'api_key' as const,
  name: row.name,
  hint: row.hint,
  scopes: row.scopes,
  created_at: seconds(row.createdAt),
  expires_at: seconds(row.expiresAt),
  last_used_at: seconds(row.lastUsedAt),
})

const nonceRoute = createRoute({
  method: 'post',
  path: '/v1/auth/nonce',
  summary: 'Start a wallet login',
  middleware: [fenceCallers] as const,
  security: [],
  request: jsonBody(z.strictObject({ address })),
  responses: answers(
    200,
    z.object({
      nonce: z.string(),
      domain: z.string(),
      uri: z.string(),
      chain_id: z.int(),
      expires_at: z.int(),
    }),
    'What the EIP-4361 message has to say',
  ),
})

const loginRoute = createRoute({
  method: 'post',
  path: '/v1/auth/login',
  summary: 'Finish a wallet login',
  middleware: [fenceCallers] as const,
  security: [],
  request: jsonBody(z.strictObject({ message: z.string().max(4000), signature: hex(65) })),
  responses: answers(
    200,
    z.object({ account: z.string(), address: z.string(), api_key: z.string(), key: keySchema }),
    'The account of the wallet and a new API key',
  ),
})

const createKeyRoute = createRoute({
  method: 'post',
  path: '/v1/api_keys',
  summary: 'Create an API key',
  middleware: [requireScope('keys')] as const,
  request: jsonBody(
    z.strictObject({
      name: z.string().min(1).max(100),
      scopes: scopes.default([...SCOPES]),
      expires_in_days: z.int().min(1).max(3650).optional(),
    }),
  ),
  responses: answers(201, newKeySchema, 'The new key'),
})

const listKeysRoute = createRoute({
  method: 'get',
  path: '/v1/api_keys',
  summary: 'List API keys',
  middleware: [requireScope('keys')] as const,
  request: { query: listQuery },
  responses: answers(200, listSchema(keySchema), 'Keys that are not revoked'),
})

const revokeKeyRoute = createRoute({
  method: 'delete',
  path: '/v1/api_keys/{id}',
  summary: 'Revoke an API key',
  middleware: [requireScope('keys')] as const,
  request: { params: z.object({ id: z.string() }) },
  responses: answers(
    200,
    z.object({ id: z.string(), object: z.literal('api_key'), deleted: z.literal(true) }),
    'The key is revoked',
  ),
})

export const authRoutes = newApp()

authRoutes.openapi(nonceRoute, async (c) => {
  const { chainId, expiresAt, ...challenge } = await issueNonce(
    c.get('ctx'),
    c.req.valid('json').address,
  )
  return c.json({ ...challenge, chain_id: chainId, expires_at: seconds(expiresAt) }, 200)
})

authRoutes.openapi(loginRoute, async (c) => {
  const { accountId, address, key } = await logIn(c.get('ctx'), c.req.valid('json'))
  c.header('cache-control', 'no-store')
  return c.json({ account: accountId, address, api_key: key.key, key: keyView(key) }, 200)
})

authRoutes.openapi(createKeyRoute, async (c) => {
  const { expires_in_days: expiresInDays, ...input } = c.req.valid('json')
  const key = await delegateKey(c.get('ctx'), { ...input, expiresInDays })
  c.header('cache-control', 'no-store')
  return c.json({ ...keyView(key), key: key.key }, 201)
})

authRoutes.openapi(listKeysRoute, async (c) => {
  const query = c.req.valid('query')
  return c.json(page((await listKeys(c.get('ctx'), query)).map(keyView), query.limit), 200)
})

authRoutes.openapi(revokeKeyRoute, async (c) => {
  const { id } = c.req.valid('param')
  await revokeKey(c.get('ctx'), id)
  return c.json({ id, object: 'api_key' as const, deleted: true as const }, 200)
})
