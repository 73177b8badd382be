import { createRoute, z } from '@hono/zod-openapi'
import { jobPhase } from '#protocol/wire.ts'
import { requireScope } from '../auth/authenticate.ts'
import { listQuery, listSchema, page } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { seconds } from '../http/time.ts'
import { jobFeed } from '../jobs/job-feed.ts'
import type { Job } from '../jobs/leases.ts'
import { estimateRoutes } from './estimate-routes.ts'
import { previewRoutes } from './preview-routes.ts'
import { createBody, jobInput } from './job-request.ts'
import { cancelJob, createJob, getJob, listJobs } from './jobs.ts'
import { pauseJob, resumeJob } from './pause.ts'

const jobSchema = z
  .object({
    object: z.literal('fine_tuning.job'),
    id: z.string(),
    created_at: z.int(),
    finished_at: z.int().nullable(),
    model: z.string(),
    fine_tuned_model: z.string().nullable(),
    organization_id: z.string(),
    status: z.enum([
      'validating_files',
      'queued',
      'running',
      'paused',
      'succeeded',
      'failed',
      'cancelled',
    ]),
    hyperparameters: z.object({ n_epochs: z.number(), batch_size: z.int() }),
    method: z.object({
      type: z.literal('lora'),
      lora: z.object({
        hyperparameters: z.record(
          z.string(),
          z.union([z.number(), z.string(), z.boolean(), z.array(z.string())]),
        ),
      }),
    }),
    seed: z.int(),
    training_file: z.string(),
    validation_file: z.null(),
    result_files: z.array(z.string()),
    trained_tokens: z.int().nullable(),
    error: z
      .object({ code: z.string(), message: z.string(), param: z.string().nullable() })
      .nullable(),
    openledger: z.object({
      datanets: z.array(z.object({ id: z.string(), version: z.int(), root: z.string() })),
      base_digest: z.string(),
      adapter_digest: z.string().nullable(),
      adapter_manifest: z.string().nullable(),
      price_per_token: z.string(),
      phase: z.enum([...jobPhase.options, 'registering']).nullable(),
      progress: z.number().nullable(),
      attempts: z.int(),
    }),
  })
  .openapi('FineTuningJob')

function jobView(job: Job): z.input<typeof jobSchema> {
  const { manifest, error } = job
  const { seed, ...hyperparameters } = manifest.method
  return {
    object: 'fine_tuning.job',
    id: job.id,
    created_at: seconds(job.createdAt),
    finished_at: seconds(job.finishedAt),
    model: manifest.base.name,
    fine_tuned_model: job.fineTunedModel,
    organization_id: job.accountId,
    status: job.status === 'registering' ? 'running' : job.status,
    hyperparameters: { n_epochs: hyperparameters.epochs, batch_size: hyperparameters.batchSize },
    method: { type: 'lora', lora: { hyperparameters } },
    seed,
    training_file: manifest.datanets.map(({ id, version }) => `${id}@${version}`).join(','),
    validation_file: null,
    result_files: [],
    trained_tokens: job.trainedTokens,
    error: error && { ...error, param: null },
    openledger: {
      datanets: manifest.datanets.map(({ id, version, root }) => ({ id, version, root })),
      base_digest: manifest.base.digest,
      adapter_digest: job.adapterDigest,
      adapter_manifest: job.adapterManifest,
      price_per_token: job.pricePerToken,
      phase: job.status === 'registering' ? 'registering' : job.phase,
      progress: job.status === 'succeeded' ? 1 : job.progress,
      attempts: job.attempts,
    },
  }
}

const eventSchema = z
  .object({
    object: z.literal('fine_tuning.job.event'),
    id: z.string(),
    created_at: z.int(),
    level: z.enum(['info', 'warn', 'error']),
    message: z.string(),
    type: z.enum(['message', 'metrics']),
    data: z.record(z.string(), z.number()).nullable(),
  })
  .openapi('FineTuningJobEvent')

const scope = requireScope('models')
const params = z.object({ id: z.string() })
const oneJob = answers(200, jobSchema, 'The job')

const createJobRoute = createRoute({
  method: 'post',
  path: '/v1/fine_tuning/jobs',
  summary: 'Tune a base model on Datanet versions',
  middleware: [scope] as const,
  request: jsonBody(createBody),
  responses: oneJob,
})
const listRoute = createRoute({
  method: 'get',
  path: '/v1/fine_tuning/jobs',
  summary: 'Your fine-tuning jobs, newest first',
  middleware: [scope] as const,
  request: { query: listQuery },
  responses: answers(200, listSchema(jobSchema), 'A page of jobs'),
})
const getRoute = createRoute({
  method: 'get',
  path: '/v1/fine_tuning/jobs/{id}',
  summary: 'A fine-tuning job',
  middleware: [scope] as const,
  request: { params },
  responses: oneJob,
})
const cancelRoute = createRoute({
  method: 'post',
  path: '/v1/fine_tuning/jobs/{id}/cancel',
  summary: 'Cancel a fine-tuning job',
  middleware: [scope] as const,
  request: { params },
  responses: oneJob,
})
const pauseRoute = createRoute({
  method: 'post',
  path: '/v1/fine_tuning/jobs/{id}/pause',
  summary: 'Pause a fine-tuning job',
  description: 'The job keeps its last checkpoint; what was trained after it is trained again.',
  middleware: [scope] as const,
  request: { params },
  responses: oneJob,
})
const resumeRoute = createRoute({
  method: 'post',
  path: '/v1/fine_tuning/jobs/{id}/resume',
  summary: 'Put a paused fine-tuning job back into the queue',
  middleware: [scope] as const,
  request: { params },
  responses: oneJob,
})
const eventsRoute = createRoute({
  method: 'get',
  path: '/v1/fine_tuning/jobs/{id}/events',
  summary: 'Events of a job: a page, newest first, or live as server-sent events',
  description:
    'With `Accept: text/event-stream` every event follows in order, after the one named by `Last-Event-ID`, until `[DONE]`.',
  middleware: [scope] as const,
  request: {
    params,
    query: listQuery,
    headers: z.object({ 'last-event-id': z.string().optional() }),
  },
  responses: answers(200, listSchema(eventSchema), 'A page of events'),
})

export const jobRoutes = newApp()
jobRoutes.route('/', estimateRoutes)
jobRoutes.route('/', previewRoutes)

jobRoutes.openapi(createJobRoute, async (c) => {
  const job = await createJob(c.get('ctx'), jobInput(c.req.valid('json')))
  return c.json(jobView(job), 200)
})
jobRoutes.openapi(listRoute, async (c) => {
  const query = c.req.valid('query')
  const jobs = await listJobs(c.get('ctx'), query)
  return c.json(page(jobs.map(jobView), query.limit), 200)
})
jobRoutes.openapi(getRoute, async (c) =>
  c.json(jobView(await getJob(c.get('ctx'), c.req.valid('param').id)), 200),
)
jobRoutes.openapi(cancelRoute, async (c) =>
  c.json(jobView(await cancelJob(c.get('ctx'), c.req.valid('param').id)), 200),
)
jobRoutes.openapi(pauseRoute, async (c) =>
  c.json(jobView(await pauseJob(c.get('ctx'), c.req.valid('param').id)), 200),
)
jobRoutes.openapi(resumeRoute, async (c) =>
  c.json(jobView(await resumeJob(c.get('ctx'), c.req.valid('param').id)), 200),
)
jobRoutes.openapi(eventsRoute, async (c) => {
  const { id } = await getJob(c.get('ctx'), c.req.valid('param').id)
  const feed = jobFeed(c.env, id)
  if (c.req.header('accept')?.includes('text/event-stream')) {
    const events = await feed.stream(c.req.valid('header')['last-event-id'])
    // The schema describes the other answer of this route.
    return new Response(events, { headers: EVENT_STREAM }) as never
  }
  const { limit, after } = c.req.valid('query')
  const events = await feed.list(limit + 1, after)
  return c.json(
    page(
      events.map((event) => ({ ...event, data: event.data ?? null })),
      limit,
    ),
    200,
  )
})

const EVENT_STREAM = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }
