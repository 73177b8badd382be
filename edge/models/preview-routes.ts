import { createRoute, z } from '@hono/zod-openapi'
import { MAX_PREVIEW_RECORDS, previewRow } from '#protocol/preview.ts'
import { requireScope } from '../auth/authenticate.ts'
import { columnMapping } from '../datanets/datanet-routes.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { baseModel, methodBody, methodOf, versionRef } from './job-request.ts'
import { previewRows, type Preview, type PreviewInput } from './preview.ts'

const previewBody = z
  .strictObject({
    model: baseModel,
    datanet: versionRef.optional().openapi({ description: 'A version whose rows are shown.' }),
    limit: z.int().min(1).max(MAX_PREVIEW_RECORDS).optional(),
    after: z.int().min(0).optional().openapi({ description: 'Row of the version to go on after.' }),
    rows: z
      .array(z.record(z.string(), z.unknown()))
      .min(1)
      .max(MAX_PREVIEW_RECORDS)
      .optional()
      .openapi({
        description: 'Rows of your own in place of a version, as a file would hold them.',
      }),
    columns: columnMapping.optional(),
    method: methodBody.optional(),
  })
  .superRefine(({ datanet, rows }, context) => {
    if ((datanet === undefined) === (rows === undefined))
      context.addIssue({
        code: 'custom',
        path: ['datanet'],
        message: 'Name a Datanet version or send rows, one of the two.',
      })
  })
  .openapi('PreviewFineTuning')

const { tokens, trainedTokens, cutTokens, ids, mask, spans } = previewRow.shape
const rowSchema = z
  .object({
    row: z.int(),
    record: z.string().nullable(),
    format: z.enum(['chat', 'completion', 'text']),
    tokens,
    trained_tokens: trainedTokens.openapi({ description: 'Within the sequence length.' }),
    truncated: z.boolean(),
    cut_tokens: cutTokens,
    token_ids: ids.openapi({ description: 'Within the sequence length.' }),
    mask: mask.openapi({ description: '1 for every token that the model learns to predict.' }),
    spans,
  })
  .openapi('PreviewedRow')

const previewSchema = z
  .object({
    object: z.literal('fine_tuning.preview'),
    model: z.string(),
    sequence_length: z.int(),
    data: z.array(rowSchema),
    refused: z.array(z.object({ row: z.int(), code: z.string(), detail: z.string() })),
    totals: z.object({
      rows: z.int(),
      refused: z.int(),
      tokens: z.int(),
      trained_tokens: z.int(),
      cut_tokens: z.int(),
      truncated: z.int(),
      empty: z.int().openapi({ description: 'Rows with nothing to train on.' }),
      longest: z.int(),
    }),
  })
  .openapi('FineTuningPreview')

const previewRoute = createRoute({
  method: 'post',
  path: '/v1/fine_tuning/preview',
  summary: 'How rows are tokenized, which tokens are trained and what is cut; creates nothing',
  middleware: [requireScope('models')] as const,
  request: jsonBody(previewBody),
  responses: answers(200, previewSchema, 'The rows as training sees them'),
})

const DEFAULT_ROWS = 10

export const previewRoutes = newApp()

previewRoutes.openapi(previewRoute, async (c) => {
  const { model, datanet, rows = [], columns, limit, after, method } = c.req.valid('json')
  const input: PreviewInput = {
    model,
    method: methodOf(method, undefined),
    source: datanet ? { ...datanet, limit: limit ?? DEFAULT_ROWS, after } : { rows, columns },
  }
  const preview = await previewRows(c.get('ctx'), input)
  return c.json(previewView(preview, input.method.sequenceLength), 200)
})

function previewView(
  { base, rows, refused }: Preview,
  sequenceLength: number,
): z.input<typeof previewSchema> {
  const sum = (of: (row: Preview['rows'][number]) => number) =>
    rows.reduce((n, row) => n + of(row), 0)
  return {
    object: 'fine_tuning.preview',
    model: base,
    sequence_length: sequenceLength,
    data: rows.map((row) => ({
      row: row.row,
      record: row.record,
      format: row.format,
      tokens: row.tokens,
      trained_tokens: row.trainedTokens,
      truncated: row.cutTokens > 0,
      cut_tokens: row.cutTokens,
      token_ids: row.ids,
      mask: row.mask,
      spans: row.spans,
    })),
    refused: refused.map(({ row, error, detail }) => ({ row, code: error, detail })),
    totals: {
      rows: rows.length,
      refused: refused.length,
      tokens: sum((row) => row.tokens),
      trained_tokens: sum((row) => row.trainedTokens),
      cut_tokens: sum((row) => row.cutTokens),
      truncated: sum((row) => Number(row.cutTokens > 0)),
      empty: sum((row) => Number(row.trainedTokens === 0)),
      longest: rows.reduce((n, row) => Math.max(n, row.tokens), 0),
    },
  }
}
