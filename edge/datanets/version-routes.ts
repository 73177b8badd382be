import { createRoute, z } from '@hono/zod-openapi'
import { bytes32, datanetManifest } from '#protocol/wire.ts'
import { requireScope } from '../auth/authenticate.ts'
import { VERSION_STATUSES } from '../db/schema.ts'
import { listSchema, MAX_PAGE, page } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import { seconds } from '../http/time.ts'
import { chainId } from './datanets.ts'
import { createVersion, getVersion, listVersions, readManifest, type Version } from './versions.ts'
import { listRows, proveRecord, type NumberedRow } from './viewer.ts'

const versionSchema = z
  .object({
    id: z.string(),
    object: z.literal('datanet.version'),
    datanet: z.string(),
    version: z.int(),
    status: z.enum(VERSION_STATUSES),
    root: z.string().nullable(),
    manifest: z.string().nullable().openapi({ description: 'SHA-256 of the manifest.' }),
    records: z.int().nullable(),
    revoked: z
      .int()
      .nullable()
      .openapi({ description: 'Anchored records that it leaves out because they are revoked.' }),
    tx: z.string().nullable(),
    block: z.int().nullable(),
    error: z.string().nullable(),
    created_at: z.int(),
    published_at: z.int().nullable(),
  })
  .openapi('DatanetVersion')

const rowSchema = z
  .object({
    id: z.string(),
    record: z.string(),
    cluster: z.string(),
    contributor: z.string(),
    fields: z.record(z.string(), z.unknown()),
    metadata: z.record(z.string(), z.unknown()),
  })
  .openapi('DatanetRow')

const ofDatanet = z.object({ id: z.string() })
const ofVersion = ofDatanet.extend({ version: z.coerce.number().int().positive() })
/** Pages by number, because that is the order of what they list. */
const numberedQuery = z.object({
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(20),
  after: z.coerce.number().int().min(0).optional(),
})

const createVersionRoute = createRoute({
  method: 'post',
  path: '/v1/datanets/{id}/versions',
  summary: 'Publish the next version of a Datanet',
  middleware: [requireScope('datanets')] as const,
  request: { params: ofDatanet },
  responses: answers(202, versionSchema, 'The version is being built'),
})

const listVersionsRoute = createRoute({
  method: 'get',
  path: '/v1/datanets/{id}/versions',
  summary: 'List the versions of a Datanet',
  security: [],
  request: { params: ofDatanet, query: numberedQuery },
  responses: answers(
    200,
    listSchema(versionSchema),
    'Versions, newest first; `after` is a version number',
  ),
})

const getVersionRoute = createRoute({
  method: 'get',
  path: '/v1/datanets/{id}/versions/{version}',
  summary: 'Read a version and its manifest',
  security: [],
  request: { params: ofVersion },
  responses: answers(
    200,
    versionSchema.extend({ contents: datanetManifest.nullable() }),
    'The version',
  ),
})

const listRowsRoute = createRoute({
  method: 'get',
  path: '/v1/datanets/{id}/versions/{version}/rows',
  summary: 'Read rows of a version',
  security: [],
  request: { params: ofVersion, query: numberedQuery },
  responses: answers(200, listSchema(rowSchema), 'Rows; `after` is a row index from 0'),
})

const proofRoute = createRoute({
  method: 'get',
  path: '/v1/datanets/{id}/versions/{version}/records/{record}/proof',
  summary: 'Prove that a record is in a version',
  security: [],
  request: { params: ofVersion.extend({ record: bytes32 }) },
  responses: answers(
    200,
    z.object({
      object: z.literal('datanet.proof'),
      record: z.string(),
      cluster: z.string(),
      contributor: z.string(),
      leaf: z.string(),
      proof: z.array(z.string()),
      root: z.string(),
      registry: z.string(),
      datanet: z.string().openapi({ description: 'Id of the Datanet on chain.' }),
    }),
    'A Merkle proof against the root on chain',
  ),
})

const view = (row: Version) => ({
  id: row.id,
  object: 'datanet.version' as const,
  datanet: row.datanetId,
  version: row.number,
  status: row.status,
  root: row.root,
  manifest: row.manifest,
  records: row.records,
  revoked: row.revoked,
  tx: row.txHash,
  block: row.blockNumber,
  error: row.error,
  created_at: seconds(row.createdAt),
  published_at: seconds(row.publishedAt),
})

const rowView = ({ index, fields, metadata, ...row }: NumberedRow) => ({
  id: String(index),
  ...row,
  fields: JSON.parse(fields) as Record<string, unknown>,
  metadata: JSON.parse(metadata) as Record<string, unknown>,
})

export const versionRoutes = newApp()

versionRoutes.openapi(createVersionRoute, async (c) =>
  c.json(view(await createVersion(c.get('ctx'), c.req.valid('param').id)), 202),
)

versionRoutes.openapi(listVersionsRoute, async (c) => {
  const query = c.req.valid('query')
  const rows = await listVersions(c.get('ctx'), c.req.valid('param').id, query)
  return c.json(page(rows.map(view), query.limit), 200)
})

versionRoutes.openapi(getVersionRoute, async (c) => {
  const { id, version } = c.req.valid('param')
  const row = await getVersion(c.get('ctx'), id, version)
  return c.json({ ...view(row), contents: await readManifest(c.get('ctx'), row) }, 200)
})

versionRoutes.openapi(listRowsRoute, async (c) => {
  const { id, version } = c.req.valid('param')
  const query = c.req.valid('query')
  const rows = await listRows(c.get('ctx'), id, version, query)
  return c.json(page(rows.map(rowView), query.limit), 200)
})

versionRoutes.openapi(proofRoute, async (c) => {
  const { id, version, record } = c.req.valid('param')
  const proof = await proveRecord(c.get('ctx'), id, version, record)
  const registry = c.get('ctx').settings.CONTRACTS.datanetRegistry
  return c.json({ object: 'datanet.proof' as const, ...proof, registry, datanet: chainId(id) }, 200)
})
