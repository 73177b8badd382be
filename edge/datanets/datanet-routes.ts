import { createRoute, z } from '@hono/zod-openapi'
import { requireScope } from '../auth/authenticate.ts'
import { DATANET_STATUSES } from '../db/schema.ts'
import { listQuery, listSchema, page } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { seconds } from '../http/time.ts'
import {
  createDatanet,
  datanetStatistics,
  getDatanet,
  listDatanets,
  type Datanet,
} from './datanets.ts'
import { licenceExpression as licence } from './licence.ts'
import { profileInput, profileOf } from './profile-input.ts'

const column = z.string().min(1).max(200).optional()
/** Columns of a file by what they hold. */
export const columnMapping = z
  .strictObject({
    messages: column,
    prompt: column,
    context: column,
    completion: column,
    text: column,
  })
  .openapi({ description: 'Columns that make a record, where the usual names do not.' })

const input = z.strictObject({
  name: z.string().trim().min(1).max(100),
  slug: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,63}$/)
    .optional(),
  description: z.string().max(4000),
  licence,
  licences: z
    .array(licence)
    .max(50)
    .default([])
    .openapi({ description: 'Licences that contributions may come under, beside `licence`.' }),
  domain: z.string().min(1).max(100),
  schema: columnMapping.optional(),
  profile: profileInput.strict().optional(),
})

const datanetSchema = z
  .object({
    id: z.string(),
    object: z.literal('datanet'),
    name: z.string(),
    slug: z.string(),
    description: z.string(),
    owner: z.string(),
    licence: z.string(),
    licences: z.array(z.string()),
    domain: z.string(),
    schema: z.record(z.string(), z.string()).nullable(),
    profile: z.record(z.string(), z.unknown()),
    status: z.enum(DATANET_STATUSES).openapi({ description: 'State on chain.' }),
    tx: z.string().nullable(),
    error: z.string().nullable(),
    created_at: z.int(),
  })
  .openapi('Datanet')

const statisticsSchema = z.object({
  contributions: z.record(z.string(), z.int()),
  contributors: z.int(),
  records: z.object({
    accepted: z.int(),
    anchored: z.int(),
    needs_review: z.int(),
    rejected: z.int(),
  }),
  reasons: z.record(z.string(), z.int()),
})

const createDatanetRoute = createRoute({
  method: 'post',
  path: '/v1/datanets',
  summary: 'Create a Datanet',
  middleware: [requireScope('datanets')] as const,
  request: jsonBody(input),
  responses: answers(202, datanetSchema, 'Created; its registration on chain is under way'),
})

const listDatanetsRoute = createRoute({
  method: 'get',
  path: '/v1/datanets',
  summary: 'List Datanets',
  security: [],
  request: { query: listQuery },
  responses: answers(200, listSchema(datanetSchema), 'Datanets, newest first'),
})

const getDatanetRoute = createRoute({
  method: 'get',
  path: '/v1/datanets/{id}',
  summary: 'Read a Datanet and its statistics',
  security: [],
  request: { params: z.object({ id: z.string() }) },
  responses: answers(200, datanetSchema.extend({ statistics: statisticsSchema }), 'The Datanet'),
})

const view = (row: Datanet) => ({
  id: row.id,
  object: 'datanet' as const,
  name: row.name,
  slug: row.slug,
  description: row.description,
  owner: row.owner,
  licence: row.licence,
  licences: row.licences,
  domain: row.domain,
  schema: row.columns,
  profile: row.profile,
  status: row.status,
  tx: row.txHash,
  error: row.error,
  created_at: seconds(row.createdAt),
})

export const datanetRoutes = newApp()

datanetRoutes.openapi(createDatanetRoute, async (c) => {
  const { schema, profile, ...rest } = c.req.valid('json')
  const datanet = await createDatanet(c.get('ctx'), {
    ...rest,
    columns: schema ?? null,
    profile: profileOf(profile),
  })
  return c.json(view(datanet), 202)
})

datanetRoutes.openapi(listDatanetsRoute, async (c) => {
  const query = c.req.valid('query')
  return c.json(page((await listDatanets(c.get('ctx'), query)).map(view), query.limit), 200)
})

datanetRoutes.openapi(getDatanetRoute, async (c) => {
  const { id } = c.req.valid('param')
  const datanet = await getDatanet(c.get('ctx'), id)
  return c.json({ ...view(datanet), statistics: await datanetStatistics(c.get('ctx'), id) }, 200)
})
