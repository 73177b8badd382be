import { createRoute, z } from '@hono/zod-openapi'
import { claimJson, claimTypedData, signedClaim } from '#protocol/claim.ts'
import { address, bytes32 } from '#protocol/wire.ts'
import { fenceCallers } from '../auth/authenticate.ts'
import type { Ctx } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody, wei } from '../http/openapi.ts'
import {
  CLAIM_STATUSES,
  findClaim,
  quoteClaim,
  relayClaim,
  type ClaimQuote,
  type RelayedClaim,
} from './claims.ts'

const quoteSchema = z
  .object({
    object: z.literal('rewards.claim_quote'),
    claimable: wei,
    fee: wei.openapi({ description: 'Wei that would be kept if it were sent now.' }),
    typed_data: z.record(z.string(), z.unknown()).openapi({
      description: 'EIP-712, for eth_signTypedData_v4; its message is the `claim` to hand in.',
    }),
  })
  .openapi('ClaimQuote')

const quoteView = ({ claim, claimable, fee }: ClaimQuote, { settings }: Ctx) => ({
  object: 'rewards.claim_quote' as const,
  claimable: claimable.toString(),
  fee: fee.toString(),
  typed_data: {
    ...claimTypedData(claim, {
      chainId: settings.CHAIN_ID,
      settlement: settings.CONTRACTS.attributionSettlement,
    }),
    message: claimJson(claim),
  },
})

const claimSchema = z
  .object({
    object: z.literal('rewards.claim'),
    id: z.string(),
    account: address,
    to: address,
    epoch: z.int(),
    cumulative: wei,
    fee: wei.openapi({ description: 'Wei of it that the operator keeps.' }),
    status: z.enum(CLAIM_STATUSES),
    tx_hash: bytes32.nullable(),
    block_number: z.int().nullable(),
    reason: z.string().nullable().openapi({ description: 'Why it failed.' }),
    error: z
      .string()
      .nullable()
      .openapi({ description: 'What keeps it from being sent, for now.' }),
  })
  .openapi('Claim')

const claimView = ({ cumulative, fee, txHash, blockNumber, ...rest }: RelayedClaim) => ({
  object: 'rewards.claim' as const,
  ...rest,
  cumulative: cumulative.toString(),
  fee: fee.toString(),
  tx_hash: txHash,
  block_number: blockNumber,
})

const quoteRoute = createRoute({
  method: 'get',
  path: '/v1/rewards/{address}/claim',
  summary: 'What to sign so that a claim is sent without gas of one’s own',
  middleware: [fenceCallers] as const,
  security: [],
  request: { params: z.object({ address }) },
  responses: answers(200, quoteSchema, 'The claim to sign, and the fee that sending it takes'),
})

const relayRoute = createRoute({
  method: 'post',
  path: '/v1/rewards/claims',
  summary: 'Hand in a signed claim to be sent',
  middleware: [fenceCallers] as const,
  security: [],
  request: jsonBody(signedClaim),
  responses: answers(202, claimSchema, 'The claim is kept and will be sent'),
})

const claimRoute = createRoute({
  method: 'get',
  path: '/v1/rewards/claims/{id}',
  summary: 'How a relayed claim is',
  security: [],
  request: { params: z.object({ id: z.string().regex(/^clm_[0-9a-f]{40}_\d{1,78}$/) }) },
  responses: answers(200, claimSchema, 'The claim'),
})

export const claimRoutes = newApp()

claimRoutes.openapi(quoteRoute, async (c) => {
  const ctx = c.get('ctx')
  return c.json(quoteView(await quoteClaim(ctx, c.req.valid('param').address), ctx), 200)
})
claimRoutes.openapi(relayRoute, async (c) =>
  c.json(claimView(await relayClaim(c.get('ctx'), c.req.valid('json'))), 202),
)
claimRoutes.openapi(claimRoute, async (c) =>
  c.json(claimView(await findClaim(c.get('ctx'), c.req.valid('param').id)), 200),
)
