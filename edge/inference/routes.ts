import { createRoute } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { TokenLogprobs } from '#protocol/wire.ts'
import { requireScope } from '../auth/authenticate.ts'
import type { AppEnv } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { Problem } from '../problem.ts'
import { startGeneration, type Ended, type Generation } from './generate.ts'
import { chatSchema, completionSchema, newFrame, wholeBody, type Style } from './openai.ts'
import {
  chatBody,
  completionBody,
  parseChat,
  parseCompletion,
  type GenerationInput,
} from './request.ts'
import { streamAnswer } from './stream.ts'

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
  const generation = await startGeneration(ctx, input, gone.signal)
  const frame = newFrame(style, generation, ctx.requestId, input)
  if (input.stream) return streamAnswer(ctx, generation, frame, gone)
  const { end, ...said } = await collect(generation)
  if (!input.store) c.header('cache-control', 'no-store') // not even for a repeated Idempotency-Key
  return c.json(wholeBody(frame, said, end))
}

type Said = { text: string; logprobs: TokenLogprobs[] | null; end: Ended }

async function collect({ answers }: Generation): Promise<Said> {
  let text = ''
  let logprobs: TokenLogprobs[] | null = null
  for await (const answer of answers) {
    if (answer.type === 'end') return { text, logprobs, end: answer }
    text += answer.text
    if (answer.logprobs) logprobs = [...(logprobs ?? []), ...answer.logprobs]
  }
  throw new Problem('inference/failed')
}

async function jsonOf(c: Context<AppEnv>): Promise<unknown> {
  try {
    return await c.req.json()
  } catch (cause) {
    throw new Problem('request/invalid', { detail: 'The body is not JSON.', cause })
  }
}
