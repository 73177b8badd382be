import { createRoute, z } from '@hono/zod-openapi'
import { address, bytes32 } from '#protocol/wire.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import { reconcile, type Reconciliation } from './reconciliation.ts'
import { rewardsOf, type Rewards } from './rewards.ts'

const wei = z
  .string()
  .openapi({ description: 'Wei, as a decimal integer.', example: '1200000000000' })
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

const reconciliationSchema = z
  .object({
    object: z.literal('ledger.reconciliation'),
    balanced: z.boolean(),
    epoch: z.int(),
    ledger: z.object({ epochs: z.int(), drawn: wei, credited: wei }),
    chain: z.object({ last_epoch: z.int(), drawn: wei, claimed: wei, balance: wei }),
    differences: z.object({
      epochs: z.int(),
      drawn: wei,
      entries: wei,
      accounts: z.array(z.object({ account: address, ledger: wei, payouts: wei, difference: wei })),
      overclaimed: z.array(
        z.object({ account: address, claimed: wei, payouts: wei, difference: wei }),
      ),
      claimed: wei,
      uncovered: wei,
    }),
    accounts_compared: z.int(),
    settlement: z.object({
      waiting: z.int(),
      error: z.string().nullable(),
      insolvent: z.array(address),
    }),
  })
  .openapi('Reconciliation')

function reconciliationView({ ledger, chain, differences, ...rest }: Reconciliation) {
  return {
    object: 'ledger.reconciliation' as const,
    balanced: rest.balanced,
    epoch: rest.epoch,
    ledger: {
      epochs: ledger.epochs,
      drawn: ledger.drawn.toString(),
      credited: ledger.credited.toString(),
    },
    chain: {
      last_epoch: chain.lastEpoch,
      drawn: chain.drawn.toString(),
      claimed: chain.claimed.toString(),
      balance: chain.balance.toString(),
    },
    differences: {
      epochs: differences.epochs,
      drawn: differences.drawn.toString(),
      entries: differences.entries.toString(),
      accounts: differences.accounts.map(({ account, ledger, payouts, difference }) => ({
        account,
        ledger: ledger.toString(),
        payouts: payouts.toString(),
        difference: difference.toString(),
      })),
      overclaimed: differences.overclaimed.map(({ account, claimed, payouts, difference }) => ({
        account,
        claimed: claimed.toString(),
        payouts: payouts.toString(),
        difference: difference.toString(),
      })),
      claimed: differences.claimed.toString(),
      uncovered: differences.uncovered.toString(),
    },
    accounts_compared: rest.accountsCompared,
    settlement: rest.settlement,
  }
}

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
