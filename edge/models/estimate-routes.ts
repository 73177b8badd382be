import { createRoute, z } from '@hono/zod-openapi'
import { MAX_PREVIEW_RECORDS } from '#protocol/preview.ts'
import { requireScope } from '../auth/authenticate.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { BYTES_PER_TOKEN, estimateJob } from './estimate.ts'
import { baseModel, createBody, jobInput } from './job-request.ts'
import { methodLimits } from './limits.ts'

const estimateSchema = z
  .object({
    object: z.literal('fine_tuning.estimate'),
    model: z.string(),
    records: z.int(),
    training_records: z.int().openapi({
      description: 'One for every near-duplicate cluster, without those held out.',
    }),
    held_out_records: z.int(),
    bytes: z.int().openapi({ description: 'Of the content of all records, uncompressed.' }),
    tokens: z.int().openapi({ description: 'Over all epochs; an estimate, see `basis`.' }),
    steps: z.int(),
    seconds: z.int().nullable().openapi({
      description: 'At the median speed of `measured_jobs` on this base; null without any.',
    }),
    measured_jobs: z.int(),
    memory: z
      .object({
        bytes: z.int(),
        with_recompute_bytes: z.int(),
        available_bytes: z.int().openapi({ description: 'Of the worker that has the most.' }),
      })
      .nullable()
      .openapi({
        description:
          'Peak of the training process for rows as long as the sequence length; null while no worker of this base is known.',
      }),
    registration_fee: z.string().openapi({ description: 'Wei.' }),
    basis: z.string(),
  })
  .openapi('FineTuningEstimate')

const estimateRoute = createRoute({
  method: 'post',
  path: '/v1/fine_tuning/estimate',
  summary: 'What a fine-tuning job would take; creates nothing',
  middleware: [requireScope('models')] as const,
  request: jsonBody(createBody),
  responses: answers(200, estimateSchema, 'The estimate'),
})

const limitsSchema = z
  .object({
    object: z.literal('fine_tuning.limits'),
    model: z.string(),
    context_length: z.int(),
    max_datanets: z.int(),
    max_preview_rows: z.int(),
    hyperparameters: z.record(z.string(), z.record(z.string(), z.unknown())).openapi({
      description: 'JSON Schema of each: type, bounds, choices and the default.',
    }),
  })
  .openapi('FineTuningLimits')

const limitsRoute = createRoute({
  method: 'get',
  path: '/v1/fine_tuning/limits',
  summary: 'What a job on a base model may ask for',
  security: [],
  request: { query: z.object({ model: baseModel }) },
  responses: answers(200, limitsSchema, 'Bounds and defaults'),
})

export const estimateRoutes = newApp()

estimateRoutes.openapi(limitsRoute, async (c) => {
  const found = await methodLimits(c.get('ctx'), c.req.valid('query').model)
  return c.json(
    {
      object: 'fine_tuning.limits' as const,
      model: found.base,
      context_length: found.contextLength,
      max_datanets: found.maxDatanets,
      max_preview_rows: MAX_PREVIEW_RECORDS,
      hyperparameters: found.hyperparameters as Record<string, Record<string, unknown>>,
    },
    200,
  )
})

estimateRoutes.openapi(estimateRoute, async (c) => {
  const found = await estimateJob(c.get('ctx'), jobInput(c.req.valid('json')))
  const speed =
    found.seconds === null
      ? 'No job on this base has been measured yet, so its time is not known.'
      : 'The time is that of earlier jobs, indexing included, whatever their options were.'
  return c.json(
    {
      object: 'fine_tuning.estimate' as const,
      model: found.base,
      records: found.records,
      training_records: found.training.records,
      held_out_records: found.training.heldOut,
      bytes: found.bytes,
      tokens: found.tokens,
      steps: found.steps,
      seconds: found.seconds,
      measured_jobs: found.measuredJobs,
      memory: found.memory && {
        bytes: found.memory.bytes,
        with_recompute_bytes: found.memory.withRecomputeBytes,
        available_bytes: found.memory.availableBytes,
      },
      registration_fee: found.registrationFee.toString(),
      basis: `Tokens are not counted but estimated at ${BYTES_PER_TOKEN} bytes each, at most the sequence length a record. ${speed} Training may stop early.`,
    },
    200,
  )
})
