import { createRoute, z } from '@hono/zod-openapi'
import { MAX_WITHDRAWN, revocation, REVOCATIONS_PAGE } from '#protocol/revocations.ts'
import { address, bytes32, hex } from '#protocol/wire.ts'
import { requireScope } from '../auth/authenticate.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { getRevocationCall, listRevocations, withdraw } from './revocations.ts'

const MAX_NOTE_CHARS = 1_000

const withdrawRoute = createRoute({
  method: 'post',
  path: '/v1/contributions/{id}/withdrawal',
  summary: 'Take records of a contribution back',
  description:
    'Later versions leave them out, and answers given from now on neither pay nor cite them, also those of models that were trained on them. It cannot be undone: handed in again, they are duplicates. The contributor signs it (EIP-712 `Withdrawal(bytes32[] records)` in the DatanetRegistry’s domain), and it is sent to the chain.',
  middleware: [requireScope('datanets')] as const,
  request: {
    params: z.object({ id: z.string() }),
    ...jsonBody(
      z.strictObject({
        records: z
          .array(bytes32)
          .min(1)
          .max(MAX_WITHDRAWN)
          .openapi({ description: 'Hashes of records, in the order in which they are signed.' }),
        signature: hex(65),
        note: z
          .string()
          .max(MAX_NOTE_CHARS)
          .optional()
          .openapi({ description: 'Why; kept, and not published.' }),
      }),
    ),
  },
  responses: answers(
    200,
    z
      .object({
        object: z.literal('withdrawal'),
        contribution: z.string(),
        records: z.int().openapi({ description: 'Records of the request, all revoked now.' }),
        added: z.int().openapi({ description: 'Those that were not revoked before.' }),
        entries: z.int().openapi({ description: 'Length of the public log.' }),
        head: bytes32.openapi({ description: 'Head of the log, which commits to all of it.' }),
      })
      .openapi('Withdrawal'),
    'They are revoked',
  ),
})

const logRoute = createRoute({
  method: 'get',
  path: '/v1/revocations',
  summary: 'The log of revoked records, oldest first',
  description:
    'Each entry’s head commits to it and to all before it: protocol/revocations.ts. Its call shows it on chain; tx_hash is null while that is on its way.',
  security: [],
  request: {
    query: z.object({
      limit: z.coerce.number().int().min(1).max(REVOCATIONS_PAGE).default(REVOCATIONS_PAGE),
      after: z.coerce.number().int().min(0).default(0),
    }),
  },
  responses: answers(
    200,
    z
      .object({
        object: z.literal('list'),
        data: z.array(revocation.extend({ tx_hash: bytes32.nullable() })),
        has_more: z.boolean(),
      })
      .openapi('Revocations'),
    'Entries after the one with this seq',
  ),
})

const callRoute = createRoute({
  method: 'get',
  path: '/v1/revocations/calls/{id}',
  summary: 'A call that shows revocations on chain',
  description: 'What is signed or proven in it makes it anybody’s to send: we do, too.',
  security: [],
  request: { params: z.object({ id: bytes32 }) },
  responses: answers(
    200,
    z
      .object({
        object: z.literal('revocation.call'),
        id: bytes32,
        to: address,
        data: z.string(),
        tx_hash: bytes32.nullable(),
        block_number: z.int().nullable(),
      })
      .openapi('RevocationCall'),
    'The call, and where it is once it is in a block',
  ),
})

export const revocationRoutes = newApp()

revocationRoutes.openapi(withdrawRoute, async (c) => {
  const { id } = c.req.valid('param')
  const withdrawal = await withdraw(c.get('ctx'), id, c.req.valid('json'))
  return c.json({ object: 'withdrawal' as const, contribution: id, ...withdrawal }, 200)
})

revocationRoutes.openapi(logRoute, async (c) => {
  const { limit, after } = c.req.valid('query')
  const entries = await listRevocations(c.get('ctx'), { limit, after })
  const data = entries
    .slice(0, limit)
    .map(({ txHash, ...entry }) => ({ ...entry, tx_hash: txHash }))
  return c.json({ object: 'list' as const, data, has_more: entries.length > limit }, 200)
})

revocationRoutes.openapi(callRoute, async (c) => {
  const ctx = c.get('ctx')
  const { id, data, txHash, blockNumber } = await getRevocationCall(ctx, c.req.valid('param').id)
  const { datanetRegistry: to } = ctx.settings.CONTRACTS
  return c.json(
    {
      object: 'revocation.call' as const,
      id,
      to,
      data,
      tx_hash: txHash,
      block_number: blockNumber,
    },
    200,
  )
})
