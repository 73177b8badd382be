import { createRoute, z } from '@hono/zod-openapi'
import { revocationReason } from '#protocol/revocations.ts'
import { requireScope } from '../auth/authenticate.ts'
import { CONTRIBUTION_STATUSES } from '../db/schema.ts'
import { listSchema, MAX_PAGE, page } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers, faults } from '../http/openapi.ts'
import { seconds } from '../http/time.ts'
import { acceptContribution } from './accept.ts'
import { getContribution, listVerdicts, type Contribution } from './contributions.ts'
import { chainId } from './datanets.ts'
import { contributionMetadata, readMetadata } from './metadata.ts'

const verdict = z.enum(['accepted', 'needs_review', 'rejected'])
const text = z.string().openapi({ format: 'binary' })

const acceptedSchema = z
  .object({
    id: z.string(),
    object: z.literal('contribution'),
    datanet: z.string(),
    status: z.literal('received'),
    sha256: z.string(),
    bytes: z.int(),
    created_at: z.int(),
  })
  .openapi('AcceptedContribution')

const contributionSchema = z
  .object({
    id: z.string(),
    object: z.literal('contribution'),
    datanet: z.string(),
    contributor: z.string(),
    status: z.enum(CONTRIBUTION_STATUSES),
    sha256: z.string(),
    bytes: z.int(),
    content_type: z.string(),
    metadata: contributionMetadata,
    counts: z
      .object({
        rows: z.int(),
        accepted: z.int(),
        needs_review: z.int(),
        rejected: z.int(),
        discounted: z.int(),
        repaired: z.int(),
        redacted: z.int(),
        reasons: z.record(z.string(), z.int()),
      })
      .nullable(),
    errors: faults.nullable(),
    pipeline_hash: z.string().nullable(),
    records_file: z.string().nullable(),
    batch: z
      .object({
        id: z.string(),
        root: z.string(),
        records: z.int(),
        tx: z.string().nullable(),
        block: z.int().nullable(),
      })
      .nullable()
      .openapi({ description: 'What is anchored on chain.' }),
    created_at: z.int(),
    processed_at: z.int().nullable(),
    anchored_at: z.int().nullable(),
  })
  .openapi('Contribution')

const verdictSchema = z
  .object({
    id: z.string(),
    row: z.int(),
    record: z.string().nullable(),
    cluster: z.string().nullable(),
    verdict,
    novelty: z.number(),
    reasons: z.array(z.string()),
    detail: z.string().nullable(),
    revoked: revocationReason.nullable(),
    evidence: z
      .object({
        duplicate_of: z.string(),
        measure: z.string(),
        similarity: z.number(),
        same_contributor: z.boolean(),
        same_datanet: z.boolean(),
        retained_fields: z.array(z.string()),
      })
      .nullable(),
    model_output: z.number().openapi({
      description:
        'Of the 13-word windows of what it says that no earlier record holds, the share that our models had said in answers before it came.',
    }),
  })
  .openapi('RecordVerdict')

const contributeRoute = createRoute({
  method: 'post',
  path: '/v1/datanets/{id}/contributions',
  summary: 'Contribute records',
  description:
    'The body is the file itself, at most 5 MiB. Its metadata comes as query parameters, or as JSON in the header x-openledger-metadata.',
  request: {
    params: z.object({ id: z.string() }),
    query: contributionMetadata.partial(),
    headers: z.object({ 'x-openledger-metadata': z.string().optional() }),
    body: {
      required: true,
      content: {
        'application/x-ndjson': { schema: text },
        'application/json': { schema: text },
        'text/csv': { schema: text },
        'text/tab-separated-values': { schema: text },
        'text/plain': { schema: text },
        'text/markdown': { schema: text },
      },
    },
  },
  responses: answers(202, acceptedSchema, 'The bytes are stored; their records will be judged'),
})

const getContributionRoute = createRoute({
  method: 'get',
  path: '/v1/contributions/{id}',
  summary: 'Read the state of a contribution',
  middleware: [requireScope('read')] as const,
  request: { params: z.object({ id: z.string() }) },
  responses: answers(200, contributionSchema, 'The contribution'),
})

const listVerdictsRoute = createRoute({
  method: 'get',
  path: '/v1/contributions/{id}/records',
  summary: 'List the verdicts of a contribution, row by row',
  middleware: [requireScope('read')] as const,
  request: {
    params: z.object({ id: z.string() }),
    query: z.object({
      limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(20),
      after: z.coerce.number().int().min(0).optional(),
      verdict: verdict.optional(),
    }),
  },
  responses: answers(200, listSchema(verdictSchema), 'Verdicts in row order'),
})

function view(row: Contribution) {
  const { counts } = row
  return {
    id: row.id,
    object: 'contribution' as const,
    datanet: row.datanetId,
    contributor: row.contributor,
    status: row.status,
    sha256: row.sha256,
    bytes: row.bytes,
    content_type: row.contentType,
    metadata: row.metadata,
    counts: counts && {
      rows: counts.rows,
      accepted: counts.accepted,
      needs_review: counts.needsReview,
      rejected: counts.rejected,
      discounted: counts.discounted,
      repaired: counts.repaired,
      redacted: counts.redacted,
      reasons: counts.reasons as Record<string, number>,
    },
    errors: row.errors,
    pipeline_hash: row.pipelineHash,
    records_file: row.recordsFile,
    batch:
      row.root && counts && counts.accepted > 0
        ? {
            id: chainId(row.id),
            root: row.root,
            records: counts.accepted,
            tx: row.txHash,
            block: row.blockNumber,
          }
        : null,
    created_at: seconds(row.createdAt),
    processed_at: seconds(row.processedAt),
    anchored_at: seconds(row.anchoredAt),
  }
}

const verdictView = (row: Awaited<ReturnType<typeof listVerdicts>>[number]) => ({
  id: String(row.row),
  row: row.row,
  record: row.recordHash,
  cluster: row.cluster,
  verdict: row.verdict,
  novelty: row.novelty / 10_000,
  reasons: row.reasons,
  detail: row.detail,
  revoked: row.revoked,
  evidence: row.evidence && {
    duplicate_of: row.evidence.duplicateOf,
    measure: row.evidence.measure,
    similarity: row.evidence.similarity,
    same_contributor: row.evidence.sameContributor,
    same_datanet: row.evidence.sameDatanet,
    retained_fields: row.evidence.retainedFields,
  },
  model_output: row.modelOutput / 10_000,
})

export const contributionRoutes = newApp()

// Only registered for the document: the file is read as it is, and the metadata has a problem of its own.
contributionRoutes.openAPIRegistry.registerPath(contributeRoute)
contributionRoutes.post('/v1/datanets/:id/contributions', requireScope('datanets'), async (c) => {
  const datanetId = c.req.param('id')
  const body = new Uint8Array(await c.req.arrayBuffer())
  const { id, sha256, createdAt } = await acceptContribution(c.get('ctx'), {
    datanetId,
    contentType: c.req.header('content-type') ?? '',
    body,
    metadata: readMetadata(c.req.header('x-openledger-metadata'), c.req.query()),
  })
  return c.json(
    {
      id,
      object: 'contribution' as const,
      datanet: datanetId,
      status: 'received' as const,
      sha256,
      bytes: body.length,
      created_at: seconds(createdAt),
    },
    202,
  )
})

contributionRoutes.openapi(getContributionRoute, async (c) =>
  c.json(view(await getContribution(c.get('ctx'), c.req.valid('param').id)), 200),
)

contributionRoutes.openapi(listVerdictsRoute, async (c) => {
  const query = c.req.valid('query')
  const rows = await listVerdicts(c.get('ctx'), c.req.valid('param').id, query)
  return c.json(page(rows.map(verdictView), query.limit), 200)
})
