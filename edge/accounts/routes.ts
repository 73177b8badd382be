import { createRoute, z } from '@hono/zod-openapi'
import { requireScope } from '../auth/authenticate.ts'
import { accountOf } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { answers, wei } from '../http/openapi.ts'
import { accountBalance } from './balance.ts'

const accountRoute = createRoute({
  method: 'get',
  path: '/v1/account',
  summary: 'Read the account and its balance',
  middleware: [requireScope('read')] as const,
  responses: answers(
    200,
    z.object({
      id: z.string(),
      object: z.literal('account'),
      address: z.string(),
      balance: z.object({
        deposited: wei,
        pending: wei.openapi({ description: 'Deposited in blocks that are not safe yet.' }),
        withdrawing: wei,
        held: wei,
        available: wei,
      }),
      vault: z.string().openapi({ description: 'Contract to deposit to.' }),
    }),
    'The account',
  ),
})

export const accountRoutes = newApp()

accountRoutes.openapi(accountRoute, async (c) => {
  const ctx = c.get('ctx')
  const { accountId, address } = accountOf(ctx)
  const balance = await accountBalance(ctx)
  return c.json(
    {
      id: accountId,
      object: 'account' as const,
      address,
      balance: {
        deposited: balance.deposited.toString(),
        pending: balance.pending.toString(),
        withdrawing: balance.withdrawing.toString(),
        held: balance.held.toString(),
        available: balance.available.toString(),
      },
      vault: ctx.settings.CONTRACTS.inferenceVault,
    },
    200,
  )
})
