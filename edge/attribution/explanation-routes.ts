import { createRoute, z } from '@hono/zod-openapi'
import { spanVerdict } from '#protocol/evidence.ts'
import { revocation } from '#protocol/revocations.ts'
import { explanation } from '#protocol/generation.ts'
import { address, bytes32 } from '#protocol/wire.ts'
import type { ReceiptRow } from '#protocol/receipt.ts'
import { revocationsAt } from '../datanets/revocations.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'
import {
  explainContributor,
  explainRecord,
  explainRows,
  valuesOf,
  type RecordReason,
} from './explanation.ts'
import { REASONS, thresholdsOf, type Reason, type RowEvidence } from './reasons.ts'
import { findReceipt } from './receipts.ts'

const MAX_RECORDS = 100

const integer = z.string().openapi({ description: 'A decimal integer.' })
const reason = z.enum(Object.keys(REASONS) as [Reason, ...Reason[]])
const span = z.object({ outputStart: z.int(), recordStart: z.int(), length: z.int() })

const rowSchema = z.object({
  record: bytes32,
  cluster: bytes32,
  contributor: address,
  influence: integer,
  significance: integer.openapi({ description: 'Thousandths of a null deviation.' }),
  text: integer.openapi({ description: 'Millinats.' }),
  spans: z.array(span).openapi({ description: 'Tokens of the answer and of the record.' }),
  amount: integer.openapi({ description: 'Wei.' }),
})

const explanationSchema = z
  .object({
    object: z.literal('receipt.explanation'),
    receipt_id: z.string(),
    method: z.object({
      version: z.int(),
      params_hash: bytes32,
      index_root: bytes32,
      revocations: z
        .object({ entries: z.int(), head: bytes32 })
        .openapi({ description: 'The log of revoked records when the answer was given.' }),
    }),
    thresholds: z.object({
      significance: integer.nullable(),
      influence: integer,
      min_share: integer.nullable(),
      coverage: integer.nullable(),
      top_k: z.int().nullable(),
      row_cost: integer.nullable(),
    }),
    information: z.object({ covered: integer, total: integer }),
    pool: integer,
    unattributed: integer,
    rows: z.array(
      rowSchema.extend({
        reason,
        meaning: z.string(),
        texts: explanation.shape.rows.element
          .nullable()
          .openapi({ description: 'For the payer only, and while they are kept.' }),
      }),
    ),
  })
  .openapi('ReceiptExplanation')

const reasonSchema = z
  .object({
    object: z.literal('record.reason'),
    record: bytes32,
    reason,
    meaning: z.string(),
    duplicate_of: bytes32.nullable(),
    revocation: revocation
      .nullable()
      .openapi({ description: 'The entry of GET /v1/revocations by which it was revoked.' }),
    row: rowSchema.nullable().openapi({ description: 'As the receipt lists it.' }),
    evidence: z
      .object({
        record: bytes32,
        cluster: bytes32,
        contributor: address,
        influence: integer,
        significance: integer,
        rank: z.int().openapi({ description: 'Place by influence in the whole index.' }),
        text: integer.nullable(),
        spans: z
          .array(
            z.object({
              outputStart: z.int(),
              length: z.int(),
              information: z.int(),
              verdict: spanVerdict,
              holders: z.int(),
            }),
          )
          .nullable()
          .openapi({ description: 'Null when the texts are not kept any more.' }),
      })
      .nullable()
      .openapi({ description: 'The query vector scored again by a worker.' }),
  })
  .openapi('RecordReason')

const params = z.object({ id: z.string() })

const explanationRoute = createRoute({
  method: 'get',
  path: '/v1/receipts/{id}/explanation',
  summary: 'Every listed record of an answer with its scores, spans, amount and reason',
  security: [],
  request: { params },
  responses: answers(200, explanationSchema, 'The explanation'),
})

const recordRoute = createRoute({
  method: 'get',
  path: '/v1/receipts/{id}/records/{record}',
  summary: 'Why a record is paid for an answer, or why not',
  security: [],
  request: { params: params.extend({ record: bytes32 }) },
  responses: answers(200, reasonSchema, 'The reason, with the numbers behind it'),
})

const contributorRoute = createRoute({
  method: 'get',
  path: '/v1/receipts/{id}/contributors/{contributor}',
  summary: 'Why a contributor’s records are paid for an answer, or why not: the most influential',
  security: [],
  request: {
    params: params.extend({ contributor: address }),
    query: z.object({ limit: z.coerce.number().int().min(1).max(MAX_RECORDS).default(20) }),
  },
  responses: answers(
    200,
    z
      .object({
        object: z.literal('contributor.reasons'),
        contributor: address,
        indexed: z.int().openapi({ description: 'Records of theirs that the model learned from.' }),
        records: z.array(reasonSchema),
      })
      .openapi('ContributorReasons'),
    'The reasons',
  ),
})

export const explanationRoutes = newApp()

explanationRoutes.openapi(explanationRoute, async (c) => {
  const ctx = c.get('ctx')
  const view = await findReceipt(ctx, c.req.valid('param').id)
  const { receipt } = view.signed
  const values = await valuesOf(ctx, view)
  const rows = explainRows(view, ctx)
  const pool = receipt.unattributed + receipt.rows.reduce((sum, { amount }) => sum + amount, 0n)
  return c.json(
    {
      object: 'receipt.explanation' as const,
      receipt_id: view.id,
      method: {
        version: receipt.methodVersion,
        params_hash: receipt.paramsHash,
        index_root: receipt.indexRoot,
        revocations: await revocationsAt(ctx, Number(receipt.time)),
      },
      thresholds: thresholdsOf(receipt, values),
      information: { covered: receipt.covered.toString(), total: receipt.total.toString() },
      pool: pool.toString(),
      unattributed: receipt.unattributed.toString(),
      rows: rows.map(({ reason: why, texts, ...row }) => ({
        ...rowView(row),
        reason: why,
        meaning: REASONS[why],
        texts,
      })),
    },
    200,
  )
})

explanationRoutes.openapi(recordRoute, async (c) => {
  const ctx = c.get('ctx')
  const { id, record } = c.req.valid('param')
  return c.json(reasonView(await explainRecord(ctx, await findReceipt(ctx, id), record)), 200)
})

explanationRoutes.openapi(contributorRoute, async (c) => {
  const ctx = c.get('ctx')
  const { id, contributor } = c.req.valid('param')
  const view = await findReceipt(ctx, id)
  const { limit } = c.req.valid('query')
  const { reasons, indexed } = await explainContributor(ctx, view, contributor, limit)
  return c.json(
    {
      object: 'contributor.reasons' as const,
      contributor,
      indexed,
      records: reasons.map(reasonView),
    },
    200,
  )
})

const rowView = ({ influence, significance, text, amount, ...row }: ReceiptRow) => ({
  ...row,
  influence: influence.toString(),
  significance: significance.toString(),
  text: text.toString(),
  amount: amount.toString(),
})

const evidenceView = ({ influence, significance, text, ...row }: RowEvidence) => ({
  ...row,
  influence: influence.toString(),
  significance: significance.toString(),
  text: text === null ? null : text.toString(),
})

const reasonView = ({ reason: why, duplicateOf, row, evidence, ...reasoned }: RecordReason) => ({
  object: 'record.reason' as const,
  ...reasoned,
  reason: why,
  meaning: REASONS[why],
  duplicate_of: duplicateOf,
  row: row && rowView(row),
  evidence: evidence && evidenceView(evidence),
})
