import { createRoute, z } from '@hono/zod-openapi'
import { address, bytes32 } from '#protocol/wire.ts'
import { findLogs, readHead, type Head, type LogView } from '../db/chain-index.ts'
import { readLedger } from '../db/ledger.ts'
import type { Ctx } from '../context.ts'
import { listQuery, listSchema, page, type ListQuery } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import { Problem } from '../problem.ts'
import { chainIndexer, INDEX_STATES, type IndexStatus } from './indexer.ts'

const chainSchema = z
  .object({
    object: z.literal('chain'),
    chain_id: z.int(),
    state: z.enum(INDEX_STATES).openapi({
      description: 'Whether our index follows the chain, or what keeps it from doing so.',
    }),
    error: z.string().nullable(),
    heads: z
      .object({ latest: z.int(), safe: z.int(), final: z.int() })
      .nullable()
      .openapi({ description: 'Newest indexed block; newest safe and final ones. Null at first.' }),
    posted: z.int().nullable().openapi({ description: 'Block up to which the ledger is.' }),
    lag_seconds: z.int().nullable().openapi({ description: 'Our clock minus the newest block’s.' }),
    checked_at: z.int().nullable().openapi({ description: 'Unix milliseconds.' }),
  })
  .openapi('Chain')

const chainView = (head: Head | null, status: IndexStatus, { settings }: Ctx) => ({
  object: 'chain' as const,
  chain_id: settings.CHAIN_ID,
  state: status.state,
  error: status.error,
  heads: head && { latest: head.indexed, safe: head.safe, final: head.final },
  posted: head?.posted ?? null,
  lag_seconds: status.lagSeconds,
  checked_at: status.checkedAt,
})

const chainRoute = createRoute({
  method: 'get',
  path: '/v1/chain',
  summary: 'How far the index of the chain is, and whether it can be trusted now',
  security: [],
  responses: answers(200, chainSchema, 'State and heads'),
})

const chainEventSchema = z
  .object({
    object: z.literal('chain.event'),
    id: z.string(),
    contract: z.string(),
    event: z.string(),
    account: address.nullable(),
    args: z.record(z.string(), z.unknown()),
    status: z.enum(['pending', 'safe', 'final']).openapi({
      description: 'pending: in a block. safe: derived from the L1. final: from final L1 blocks.',
    }),
    block_number: z.int(),
    block_hash: bytes32,
    tx_hash: bytes32,
    created_at: z.int(),
  })
  .openapi('ChainEvent')

/** An indexed log on the API. */
const chainEventView = (log: LogView) => ({
  object: 'chain.event' as const,
  id: eventId(log),
  contract: log.contract,
  event: log.event,
  account: log.account,
  args: log.args,
  status: log.certainty,
  block_number: log.block,
  block_hash: log.blockHash,
  tx_hash: log.txHash,
  created_at: log.time,
})

/** Id of an event on the API. */
export const eventId = ({ block, logIndex }: Pick<LogView, 'block' | 'logIndex'>) =>
  `evt_${block}_${logIndex}`

/** The place of a list that an event's id stands for; throws `request/invalid`. */
export function eventPlace({ after }: ListQuery): { block: number; logIndex: number } | undefined {
  if (after === undefined) return undefined
  const match = /^evt_(\d{1,15})_(\d{1,9})$/.exec(after)
  if (!match)
    throw new Problem('request/invalid', { param: 'after', detail: 'after is the id of an event.' })
  return { block: Number(match[1]), logIndex: Number(match[2]) }
}

const eventsQuery = listQuery.extend({
  contract: z.string().optional().openapi({ example: 'attributionSettlement' }),
  event: z.string().optional().openapi({ example: 'EpochSubmitted' }),
  account: address.optional(),
})

const eventsRoute = createRoute({
  method: 'get',
  path: '/v1/chain/events',
  summary: 'What the contracts have logged, newest first',
  security: [],
  request: { query: eventsQuery },
  responses: answers(200, listSchema(chainEventSchema), 'Events with how sure they are'),
})

export const chainRoutes = newApp()

chainRoutes.openapi(chainRoute, async (c) => {
  const ctx = c.get('ctx')
  const status = await chainIndexer(ctx.env).status()
  return c.json(chainView(await readLedger(ctx.env, readHead), status, ctx), 200)
})
chainRoutes.openapi(eventsRoute, async (c) => {
  const { limit, contract, event, account, after } = c.req.valid('query')
  const before = eventPlace({ limit, after })
  const logs = await readLedger(c.get('ctx').env, (sql) =>
    findLogs(sql, {
      limit: limit + 1,
      ...(contract && { contract }),
      ...(event && { event }),
      ...(account && { account }),
      ...(before && { before }),
    }),
  )
  return c.json(page(logs.map(chainEventView), limit), 200)
})
