import { createRoute, z } from '@hono/zod-openapi'
import {
  heartbeatReply,
  jobFailure,
  jobProgress,
  jobResult,
  lease,
  workerHello,
} from '#protocol/wire.ts'
import { requireWorker } from '../auth/authenticate.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { completeLease } from '../models/completion.ts'
import { failLease, heartbeat, leaseJob } from './leases.ts'
import { registerWorker } from './workers.ts'

const params = z.object({ id: z.string() })
const done = z.object({ ok: z.literal(true) })

const registerRoute = createRoute({
  method: 'post',
  path: '/v1/workers',
  summary: 'Register a gpu-worker',
  middleware: [requireWorker] as const,
  request: jsonBody(workerHello),
  responses: answers(200, z.object({ workerId: z.string() }), 'Who the worker is from now on'),
})
const leaseRoute = createRoute({
  method: 'post',
  path: '/v1/workers/{id}/leases',
  summary: 'Ask for a job; also the sign that the worker lives',
  middleware: [requireWorker] as const,
  request: { params },
  responses: {
    ...answers(200, lease, 'A job to run'),
    204: { description: 'There is nothing to do' },
  },
})
const heartbeatRoute = createRoute({
  method: 'post',
  path: '/v1/leases/{id}/heartbeat',
  summary: 'Keep a lease and report progress',
  middleware: [requireWorker] as const,
  request: { params, ...jsonBody(jobProgress) },
  responses: answers(200, heartbeatReply, 'Until when the lease runs'),
})
const completeRoute = createRoute({
  method: 'post',
  path: '/v1/leases/{id}/complete',
  summary: 'Hand in a trained adapter, whose files are in the store',
  middleware: [requireWorker] as const,
  request: { params, ...jsonBody(jobResult) },
  responses: answers(200, done, 'The adapter is being registered'),
})
const failRoute = createRoute({
  method: 'post',
  path: '/v1/leases/{id}/fail',
  summary: 'Give a job up',
  middleware: [requireWorker] as const,
  request: { params, ...jsonBody(jobFailure) },
  responses: answers(200, done, 'The job is queued again or has failed'),
})

export const workerRoutes = newApp()

workerRoutes.openapi(registerRoute, async (c) => {
  const workerId = await registerWorker(c.get('ctx'), c.req.valid('json'))
  return c.json({ workerId }, 200)
})
workerRoutes.openapi(leaseRoute, async (c) => {
  const leased = await leaseJob(c.get('ctx'), c.req.valid('param').id)
  return leased ? c.json(leased, 200) : c.body(null, 204)
})
workerRoutes.openapi(heartbeatRoute, async (c) =>
  c.json(await heartbeat(c.get('ctx'), c.req.valid('param').id, c.req.valid('json')), 200),
)
workerRoutes.openapi(completeRoute, async (c) => {
  await completeLease(c.get('ctx'), c.req.valid('param').id, c.req.valid('json').manifest)
  return c.json({ ok: true as const }, 200)
})
workerRoutes.openapi(failRoute, async (c) => {
  await failLease(c.get('ctx'), c.req.valid('param').id, c.req.valid('json'))
  return c.json({ ok: true as const }, 200)
})
