import { createRoute, z } from '@hono/zod-openapi'
import { chatMessage } from '#protocol/generation.ts'
import { findReceipt } from '../attribution/receipts.ts'
import { accountOf, type Ctx } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import { Problem } from '../problem.ts'
import { readTexts } from './texts.ts'
import { hasStake } from '../chain/stake.ts'

const textsSchema = z
  .object({
    object: z.literal('receipt.texts'),
    id: z.string(),
    input: z.union([
      z.object({ messages: z.array(chatMessage) }),
      z.object({ prompt: z.string() }),
    ]),
    output: z.string(),
    tokens: z.array(z.int()).openapi({ description: 'Token ids of `output`.' }),
  })
  .openapi('ReceiptTexts')

const textsRoute = createRoute({
  method: 'get',
  path: '/v1/receipts/{id}/texts',
  summary:
    'Prompt and answer of a receipt, for its payer and for validators, within the challenge window',
  request: { params: z.object({ id: z.string() }) },
  responses: answers(200, textsSchema, 'The texts'),
})

export const custodyRoutes = newApp()

custodyRoutes.openapi(textsRoute, async (c) => {
  const { id } = c.req.valid('param')
  const { input, output, tokens } = await textsOf(c.get('ctx'), id)
  c.header('cache-control', 'no-store')
  return c.json({ object: 'receipt.texts' as const, id, input, output, tokens }, 200)
})

/** The texts of a receipt; throws `receipt/not-found`, `auth/forbidden`, `receipt/no-texts`. */
async function textsOf(ctx: Ctx, id: string) {
  const actor = accountOf(ctx)
  const { accountId, signed } = await findReceipt(ctx, id)
  if (actor.accountId !== accountId && !(await hasStake(ctx, actor.address)))
    throw new Problem('auth/forbidden', {
      detail: 'Only the payer and staked validators may read the texts of a receipt.',
    })
  const texts = await readTexts(ctx, signed.receipt)
  if (!texts)
    throw new Problem('receipt/no-texts', {
      detail: 'They were not kept (store: false), or were erased when the receipt became final.',
    })
  return texts
}
