import { createRoute, z } from '@hono/zod-openapi'
import { and, eq } from 'drizzle-orm'
import type { Hex } from '#protocol/bytes.ts'
import { parseModelName } from '#protocol/model.ts'
import { address, bytes32 } from '#protocol/wire.ts'
import type { Ctx } from '../context.ts'
import { PAID_FOR } from '../db/postings.ts'
import { adapters } from '../db/schema-models.ts'
import { listQuery, listSchema, page } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers, wei } from '../http/openapi.ts'
import { Problem } from '../problem.ts'
import { attributionGraph } from './graph.ts'
import { receiptId } from './receipts.ts'
import { BOARDS, listPayments, listStandings, type PaymentFilter } from './settled.ts'

const filterQuery = z.object({
  contributor: address.optional(),
  record: bytes32.optional(),
  payer: address.optional(),
  model: z.string().optional().openapi({
    description: 'A model’s name: every adapter that has had it; or one with @sha256-...',
  }),
  datanet: z.string().optional().openapi({
    description: 'A Datanet’s id: what was paid out of it.',
  }),
  paid_for: z.enum(PAID_FOR).optional(),
  since: z.coerce.number().int().min(0).optional().openapi({ description: 'Unix seconds.' }),
})

/** The payments that a request means; an unknown model has none. */
async function filterOf(
  { db }: Ctx,
  { model, paid_for: paidFor, ...filter }: z.infer<typeof filterQuery>,
): Promise<PaymentFilter> {
  if (model === undefined) return { ...filter, paidFor }
  const name = parseModelName(model)
  if (!name?.adapter)
    throw new Problem('request/invalid', {
      detail: 'model names an adapter: <base>:<owner>/<slug>.',
      param: 'model',
    })
  const found = await db
    .select({ digest: adapters.digest })
    .from(adapters)
    .where(
      and(
        eq(adapters.name, `${name.base}:${name.adapter}`),
        name.digest ? eq(adapters.digest, name.digest) : undefined,
      ),
    )
  return { ...filter, paidFor, adapters: found.map(({ digest }): Hex => digest) }
}

const attributionSchema = z
  .object({
    object: z.literal('attribution'),
    id: z.string(),
    receipt_id: z.string(),
    epoch: z.int(),
    adapter_digest: bytes32,
    cluster: bytes32,
    record: bytes32,
    contributor: address,
    datanet: z.string().nullable(),
    paid_for: z.enum(PAID_FOR).openapi({
      description: 'That the record shaped the answer, or that it was quoted for it.',
    }),
    amount: wei,
    created: z.int().openapi({ description: 'When the answer was given, Unix seconds.' }),
  })
  .openapi('Attribution')

const attributionsRoute = createRoute({
  method: 'get',
  path: '/v1/attributions',
  summary: 'What settled answers paid to records, newest epoch first',
  security: [],
  request: { query: listQuery.extend(filterQuery.shape) },
  responses: answers(200, listSchema(attributionSchema), 'A page of payments'),
})

const standingSchema = z
  .object({
    object: z.literal('standing'),
    id: z.string(),
    subject: z.string().openapi({
      description: 'Address, Datanet id, record hash, or digest of an adapter or of a base alone.',
    }),
    amount: wei,
    answers: z.int(),
    records: z.int(),
  })
  .openapi('Standing')

const leaderboardRoute = createRoute({
  method: 'get',
  path: '/v1/leaderboards/{board}',
  summary: 'Contributors, Datanets, records or models by what settled answers paid to records',
  security: [],
  request: {
    params: z.object({ board: z.enum(BOARDS) }),
    query: listQuery.extend(filterQuery.shape),
  },
  responses: answers(200, listSchema(standingSchema), 'A page of the ranking, the most wei first'),
})

const graphSchema = z
  .object({
    object: z.literal('attribution.graph'),
    nodes: z.array(
      z.object({
        id: z.string(),
        kind: z.enum(['datanet', 'contributor', 'record', 'model']),
        name: z.string(),
        amount: wei,
      }),
    ),
    edges: z.array(
      z.object({
        from: z.string(),
        to: z.string(),
        amount: wei,
        answers: z.int().openapi({
          description: 'Answers that the wei were paid for; of a contributor, at least so many.',
        }),
      }),
    ),
    shown: wei.openapi({ description: 'Wei that the graph shows: the largest flows.' }),
    total: wei.openapi({ description: 'Wei that there are.' }),
    answers: z.int(),
  })
  .openapi('AttributionGraph')

const graphRoute = createRoute({
  method: 'get',
  path: '/v1/attributions/graph',
  summary: 'From Datanets through contributors or records to models, in wei and answers',
  security: [],
  request: {
    query: filterQuery.extend({
      level: z.enum(['contributors', 'records']).default('contributors'),
    }),
  },
  responses: answers(200, graphSchema, 'The graph'),
})

export const settledRoutes = newApp()

settledRoutes.openapi(attributionsRoute, async (c) => {
  const { limit, after, ...query } = c.req.valid('query')
  const ctx = c.get('ctx')
  const rows = await listPayments(ctx, await filterOf(ctx, query), { limit, after })
  const views = rows.map(({ requestId, adapter, paidFor, amount, time, ...row }) => ({
    object: 'attribution' as const,
    ...row,
    receipt_id: receiptId(requestId),
    adapter_digest: adapter,
    paid_for: paidFor,
    amount: amount.toString(),
    created: time,
  }))
  return c.json(page(views, limit), 200)
})

settledRoutes.openapi(leaderboardRoute, async (c) => {
  const { limit, after, ...query } = c.req.valid('query')
  const ctx = c.get('ctx')
  const { board } = c.req.valid('param')
  const rows = await listStandings(ctx, board, await filterOf(ctx, query), { limit, after })
  const views = rows.map(({ amount, ...row }) => ({
    object: 'standing' as const,
    ...row,
    amount: amount.toString(),
  }))
  return c.json(page(views, limit), 200)
})

settledRoutes.openapi(graphRoute, async (c) => {
  const { level, ...query } = c.req.valid('query')
  const ctx = c.get('ctx')
  const { nodes, edges, shown, total, ...graph } = await attributionGraph(
    ctx,
    await filterOf(ctx, query),
    level,
  )
  return c.json(
    {
      object: 'attribution.graph' as const,
      nodes: nodes.map((node) => ({ ...node, amount: node.amount.toString() })),
      edges: edges.map((edge) => ({ ...edge, amount: edge.amount.toString() })),
      shown: shown.toString(),
      total: total.toString(),
      ...graph,
    },
    200,
  )
})
