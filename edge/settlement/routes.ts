import { createRoute, z } from '@hono/zod-openapi'
import { toJson } from '#protocol/bytes.ts'
import { address, bytes32 } from '#protocol/wire.ts'
import { newApp } from '../http/new-app.ts'
import { answers, wei } from '../http/openapi.ts'
import { reconcile, type Reconciliation } from './reconciliation.ts'
import { rewardsOf, type Rewards } from './rewards.ts'

const hexData = z.string().openapi({ description: '0x hex.' })

const rewardsSchema = z
  .object({
    object: z.literal('rewards'),
    account: address,
    epoch: z.int(),
    cumulative: wei,
    claimed: wei,
    claimable: wei,
    pending: wei,
    proof: z.array(bytes32),
    claim: z.object({ to: address, data: hexData }).nullable(),
  })
  .openapi('Rewards')

const rewardsView = ({ cumulative, claimed, claimable, pending, ...rest }: Rewards) => ({
  object: 'rewards' as const,
  ...rest,
  cumulative: cumulative.toString(),
  claimed: claimed.toString(),
  claimable: claimable.toString(),
  pending: pending.toString(),
})

const rewardsRoute = createRoute({
  method: 'get',
  path: '/v1/rewards/{address}',
  summary: 'What an address has earned and how to claim it',
  security: [],
  request: { params: z.object({ address }) },
  responses: answers(200, rewardsSchema, 'Rewards with the claim transaction'),
})

const difference = z.object({ account: address, ledger: wei, chain: wei, difference: wei })

const reconciliationSchema = z
  .object({
    object: z.literal('ledger.reconciliation'),
    balanced: z.boolean(),
    block: z.int().openapi({ description: 'Block of the chain at which both sides are compared.' }),
    epoch: z.int(),
    ledger: z.object({
      epochs: z.int(),
      drawn: wei,
      credited: wei,
      fees: wei,
      disputed: wei.openapi({ description: 'Of epochs that are disabled and not refunded.' }),
    }),
    chain: z.object({ last_epoch: z.int(), drawn: wei, claimed: wei, balance: wei, vault: wei }),
    differences: z.object({
      epochs: z.int(),
      drawn: wei,
      entries: wei,
      receipts: wei,
      payers: z.array(difference),
      earners: z.array(difference),
      claims: z.array(difference),
      claimed: wei,
      vault: wei,
      settlement: wei,
    }),
    settlement: z.object({
      waiting: z.int(),
      error: z.string().nullable(),
      insolvent: z.array(address),
    }),
  })
  .openapi('Reconciliation')

const reconciliationView = ({ chain: { lastEpoch, ...chain }, ...rest }: Reconciliation) => ({
  object: 'ledger.reconciliation' as const,
  ...decimals({ ...rest, chain: { last_epoch: lastEpoch, ...chain } }),
})

/** Every bigint of a value as a decimal string. */
const decimals = <T>(value: T): Decimals<T> => JSON.parse(toJson(value))
type Decimals<T> = T extends bigint
  ? string
  : T extends object
    ? { [K in keyof T]: Decimals<T[K]> }
    : T

const reconciliationRoute = createRoute({
  method: 'get',
  path: '/v1/ledger/reconciliation',
  summary: 'The ledger against the chain, to the wei',
  security: [],
  responses: answers(200, reconciliationSchema, 'Both sides and every difference'),
})

export const settlementRoutes = newApp()

settlementRoutes.openapi(rewardsRoute, async (c) =>
  c.json(rewardsView(await rewardsOf(c.get('ctx'), c.req.valid('param').address)), 200),
)
settlementRoutes.openapi(reconciliationRoute, async (c) =>
  c.json(reconciliationView(await reconcile(c.get('ctx'))), 200),
)
