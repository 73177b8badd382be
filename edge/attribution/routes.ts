import { createRoute, z } from '@hono/zod-openapi'
import { RECEIPT_STATUSES } from '#protocol/receipt.ts'
import { toJson } from '#protocol/bytes.ts'
import { explanation } from '#protocol/generation.ts'
import { bytes32, hex } from '#protocol/wire.ts'
import type { Ctx } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import { findReceipt, proveReceipt, type ReceiptView } from './receipts.ts'

const receiptSchema = z
  .object({
    object: z.literal('receipt'),
    id: z.string(),
    status: z.enum(RECEIPT_STATUSES),
    epoch: z.int().nullable(),
    tx_hash: bytes32.nullable(),
    block_number: z.int().nullable(),
    receipt: z
      .record(z.string(), z.unknown())
      .openapi({ description: 'The EIP-712 message; integers beyond 2^53 as decimal strings.' }),
    signature: hex(65),
    query: z.string().openapi({ description: 'The int8 query vector in base64.' }),
    explanation: explanation.optional().openapi({ description: 'For the payer only.' }),
  })
  .openapi('Receipt')

/** The signed receipt is public; the texts in its explanation are the payer's alone. */
const receiptView = (view: ReceiptView, { actor }: Ctx) => ({
  object: 'receipt' as const,
  id: view.id,
  status: view.status,
  epoch: view.epoch?.epoch ?? null,
  tx_hash: view.epoch?.tx_hash ?? null,
  block_number: view.epoch?.block_number ?? null,
  receipt: JSON.parse(toJson(view.signed.receipt)) as Record<string, unknown>,
  signature: view.signed.signature,
  query: view.signed.query,
  ...(actor.kind === 'account' &&
    actor.accountId === view.accountId && { explanation: view.explanation }),
})

const params = z.object({ id: z.string() })

const receiptRoute = createRoute({
  method: 'get',
  path: '/v1/receipts/{id}',
  summary: 'A signed receipt and how far its settlement is',
  security: [],
  request: { params },
  responses: answers(200, receiptSchema, 'The receipt'),
})

const proofRoute = createRoute({
  method: 'get',
  path: '/v1/receipts/{id}/proof',
  summary: 'Proof that a receipt is in its epoch',
  security: [],
  request: { params },
  responses: answers(
    200,
    z
      .object({
        object: z.literal('receipt.proof'),
        epoch: z.int(),
        root: bytes32,
        count: z.int(),
        index: z.int(),
        spent: z.string(),
        leaf: bytes32,
        proof: z.array(bytes32),
      })
      .openapi('ReceiptProof'),
    'Leaf, position, siblings and root',
  ),
})

export const attributionRoutes = newApp()

attributionRoutes.openapi(receiptRoute, async (c) => {
  const ctx = c.get('ctx')
  return c.json(receiptView(await findReceipt(ctx, c.req.valid('param').id), ctx), 200)
})
attributionRoutes.openapi(proofRoute, async (c) => {
  const { spent, ...proof } = await proveReceipt(c.get('ctx'), c.req.valid('param').id)
  return c.json({ object: 'receipt.proof' as const, ...proof, spent: spent.toString() }, 200)
})
