import { createRoute, z } from '@hono/zod-openapi'
import { listQuery, listSchema, page } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import { seconds } from '../http/time.ts'
import { listModels, resolveModel, type Adapter, type Base } from './catalogue.ts'

const modelSchema = z
  .object({
    object: z.literal('model'),
    id: z.string(),
    created: z.int(),
    owned_by: z.string(),
    openledger: z.object({
      kind: z.enum(['base', 'adapter']),
      digest: z.string(),
      base_digest: z.string(),
      context_length: z.int().optional(),
      price_per_token: z.string().optional().openapi({ description: 'Wei, as it is on chain.' }),
      adapter: z
        .object({
          job_id: z.string(),
          manifest: z.string(),
          index_root: z.string(),
          datanets: z.array(z.object({ id: z.string(), version: z.int(), root: z.string() })),
          tx_hash: z.string().nullable(),
        })
        .nullable(),
    }),
  })
  .openapi('Model')

function modelView(
  id: string,
  { base, adapter }: { base: Base | null; adapter: Adapter | null },
  terms?: { owner: string; pricePerToken: bigint },
): z.input<typeof modelSchema> {
  const created = adapter?.registeredAt ?? base?.createdAt ?? 0
  return {
    object: 'model',
    id,
    created: seconds(created),
    owned_by: terms?.owner ?? adapter?.owner ?? 'openledger',
    openledger: {
      kind: adapter ? 'adapter' : 'base',
      digest: adapter?.digest ?? base?.digest ?? '',
      base_digest: adapter?.base ?? base?.digest ?? '',
      ...(base && { context_length: base.contextLength }),
      ...(terms && { price_per_token: terms.pricePerToken.toString() }),
      adapter: adapter && {
        job_id: adapter.jobId,
        manifest: adapter.manifest,
        index_root: adapter.indexRoot,
        datanets: adapter.datanets.map(({ id, version, root }) => ({ id, version, root })),
        tx_hash: adapter.txHash,
      },
    },
  }
}

const listRoute = createRoute({
  method: 'get',
  path: '/v1/models',
  summary: 'Models by name: bases, then adapters',
  security: [],
  request: { query: listQuery },
  responses: answers(200, listSchema(modelSchema), 'A page of models'),
})
// Names contain slashes; clients send them encoded or not.
const getRoute = createRoute({
  method: 'get',
  path: '/v1/models/{id}',
  summary: 'A model, as the chain has it now',
  security: [],
  request: { params: z.object({ id: z.string() }) },
  responses: answers(200, modelSchema, 'The model'),
})

export const modelRoutes = newApp()

modelRoutes.openapi(listRoute, async (c) => {
  const query = c.req.valid('query')
  const models = await listModels(c.get('ctx'), query)
  return c.json(
    page(
      models.map((model) => modelView(model.id, model)),
      query.limit,
    ),
    200,
  )
})
modelRoutes.openapi(getRoute, async (c) => {
  const { id } = c.req.valid('param')
  const model = await resolveModel(c.get('ctx'), id)
  return c.json(modelView(id, model, model), 200)
})
modelRoutes.get('/v1/models/:owner/:slug', async (c) => {
  const id = `${c.req.param('owner')}/${c.req.param('slug')}`
  const model = await resolveModel(c.get('ctx'), id)
  return c.json(modelView(id, model, model), 200)
})
