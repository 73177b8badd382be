import { createRoute } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { requireScope } from '../auth/authenticate.ts'
import type { AppEnv } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { Problem } from '../problem.ts'
import { answersThatEnded, startChoices } from './choices.ts'
import { chatSchema, completionSchema, newFrame, wholeBody, type Style } from './openai.ts'
import {
  chatBody,
  completionBody,
  parseChat,
  parseCompletion,
  type GenerationInput,
} from './request.ts'
import { streamAnswers } from './stream.ts'

const scope = requireScope('inference')

const chatRoute = createRoute({
  method: 'post',
  path: '/v1/chat/completions',
  summary: 'Answer a conversation, with the records that shaped the answer',
  request: jsonBody(chatBody),
  responses: answers(200, chatSchema, 'The answer; with `stream`, server-sent chunks'),
})
const completionRoute = createRoute({
  method: 'post',
  path: '/v1/completions',
  summary: 'Continue a text, with the records that shaped the continuation',
  request: jsonBody(completionBody),
  responses: answers(200, completionSchema, 'The continuation; with `stream`, server-sent chunks'),
})

export const inferenceRoutes = newApp()

// Only registered for the document: request.ts parses the bodies, because it names unsupported options.
inferenceRoutes.openAPIRegistry.registerPath(chatRoute)
inferenceRoutes.openAPIRegistry.registerPath(completionRoute)
inferenceRoutes.post('/v1/chat/completions', scope, async (c) =>
  respond(c, 'chat', parseChat(await jsonOf(c))),
)
inferenceRoutes.post('/v1/completions', scope, async (c) =>
  respond(c, 'text', parseCompletion(await jsonOf(c))),
)

async function respond(
  c: Context<AppEnv>,
  style: Style,
  input: GenerationInput,
): Promise<Response> {
  const ctx = c.get('ctx')
  const gone = new AbortController()
  c.req.raw.signal.addEventListener('abort', () => gone.abort())
  const answered = answerTo(c, style, input, gone)
  // Runs to its end also when the caller does not wait, so that held funds are let go.
  ctx.waitUntil(answered.then(undefined, () => undefined))
  return answered
}

async function answerTo(
  c: Context<AppEnv>,
  style: Style,
  input: GenerationInput,
  gone: AbortController,
): Promise<Response> {
  const ctx = c.get('ctx')
  const generations = await startChoices(ctx, input, gone)
  const frame = newFrame(style, generations[0].model, ctx.requestId, input)
  if (input.stream) return streamAnswers(ctx, generations, frame, gone)
  const said = await answersThatEnded(ctx, generations)
  if (!input.store) c.header('cache-control', 'no-store') // not even for a repeated Idempotency-Key
  return c.json(wholeBody(frame, said))
}

async function jsonOf(c: Context<AppEnv>): Promise<unknown> {
  try {
    return await c.req.json()
  } catch (cause) {
    throw new Problem('request/invalid', { detail: 'The body is not JSON.', cause })
  }
}
