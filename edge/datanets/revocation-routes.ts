import { createRoute, z } from '@hono/zod-openapi'
import { revocation, REVOCATIONS_PAGE } from '#protocol/revocations.ts'
import { bytes32 } from '#protocol/wire.ts'
import { requireScope } from '../auth/authenticate.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { MAX_ROWS } from './pipeline/parse.ts'
import { listRevocations, withdraw } from './revocations.ts'

const MAX_NOTE_CHARS = 1_000

const withdrawRoute = createRoute({
  method: 'post',
  path: '/v1/contributions/{id}/withdrawal',
  summary: 'Take records of a contribution back',
  description:
    'Later versions leave them out, and answers given from now on neither pay nor cite them, also those of models that were trained on them. It cannot be undone: handed in again, they are duplicates.',
  middleware: [requireScope('datanets')] as const,
  request: {
    params: z.object({ id: z.string() }),
    ...jsonBody(
      z.strictObject({
        records: z
          .array(bytes32)
          .min(1)
          .max(MAX_ROWS)
          .optional()
          .openapi({ description: 'Hashes of records; all that were accepted when absent.' }),
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
  description: 'Each entry’s head commits to it and to all before it: protocol/revocations.ts.',
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
      .object({ object: z.literal('list'), data: z.array(revocation), has_more: z.boolean() })
      .openapi('Revocations'),
    'Entries after the one with this seq',
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
  const data = entries.slice(0, limit)
  return c.json({ object: 'list' as const, data, has_more: entries.length > limit }, 200)
})
