import { z } from '@hono/zod-openapi'
import type { Explanation, TokenLogprobs } from '#protocol/wire.ts'
import { receiptId } from '../attribution/receipts.ts'
import type { Ended, Generation } from './generate.ts'
import { chatLogprobs, chatLogprobsSchema, textLogprobs, textLogprobsSchema } from './logprobs.ts'
import type { Attribution } from './request.ts'

/** OpenAI's answers: `chat` for /v1/chat/completions, `text` for /v1/completions. */
export type Style = 'chat' | 'text'

export type Frame = {
  style: Style
  id: string
  /** Unix seconds. */
  created: number
  generation: Pick<Generation, 'model' | 'requestId'>
  attribution: Attribution
  includeUsage: boolean
}

const finishReason = z.enum(['stop', 'length'])
const usageSchema = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
})
const openledgerSchema = z
  .object({
    receipt_id: z.string(),
    adapter_digest: z.string().nullable(),
    attribution: z
      .object({
        rows: z.array(
          z.object({
            record: z.string(),
            contributor: z.string(),
            share: z.int().openapi({ description: 'Parts per million of the contributors’ pool.' }),
            snippet: z.string(),
            highlights: z.array(z.object({ start: z.int(), end: z.int() })),
            spans: z.array(z.object({ start: z.int(), end: z.int(), text: z.string() })),
          }),
        ),
        unattributed: z.int(),
        attributionMs: z.number(),
      })
      .optional(),
  })
  .openapi('OpenLedgerAnswer')

const common = {
  id: z.string(),
  created: z.int(),
  model: z.string(),
  system_fingerprint: z.string().openapi({ description: 'Digest of what answered.' }),
  usage: usageSchema,
  openledger: openledgerSchema,
}

export const chatSchema = z
  .object({
    ...common,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.object({
        index: z.literal(0),
        message: z.object({
          role: z.literal('assistant'),
          content: z.string(),
          refusal: z.null(),
        }),
        logprobs: chatLogprobsSchema.nullable(),
        finish_reason: finishReason,
      }),
    ),
  })
  .openapi('ChatCompletion')

export const completionSchema = z
  .object({
    ...common,
    object: z.literal('text_completion'),
    choices: z.array(
      z.object({
        index: z.literal(0),
        text: z.string(),
        logprobs: textLogprobsSchema.nullable(),
        finish_reason: finishReason,
      }),
    ),
  })
  .openapi('Completion')

/** A new frame; `requestId` is the HTTP request's. */
export const newFrame = (
  style: Style,
  generation: Generation,
  requestId: string,
  { attribution, includeUsage }: Pick<Frame, 'attribution' | 'includeUsage'>,
): Frame => ({
  style,
  id: `${style === 'chat' ? 'chatcmpl' : 'cmpl'}-${requestId.replace(/^req_/, '')}`,
  created: Math.floor(Date.now() / 1_000),
  generation,
  attribution,
  includeUsage,
})

/** The whole answer in one body, of `chatSchema` or `completionSchema`. */
export const wholeBody = (
  frame: Frame,
  { text, logprobs }: { text: string; logprobs: TokenLogprobs[] | null },
  end: Ended,
) => ({
  ...head(frame, { chat: 'chat.completion', text: 'text_completion' }),
  choices: [
    {
      index: 0,
      ...(frame.style === 'chat'
        ? { message: { role: 'assistant', content: text, refusal: null } }
        : { text }),
      logprobs: logprobsOf(frame, logprobs, 0),
      finish_reason: end.finishReason,
    },
  ],
  usage: usageOf(end),
  openledger: openledgerOf(frame, end),
})

/** The first chunk of a chat stream names the role; a text stream has none. */
export const firstChunk = (frame: Frame) =>
  frame.style === 'chat' ? chunk(frame, { role: 'assistant', content: '' }, null) : null

/** A stretch of text, the first of whose told tokens begins `offset` code units into the answer. */
export const textChunk = (
  frame: Frame,
  { text, logprobs = null }: { text: string; logprobs?: TokenLogprobs[] | null | undefined },
  offset: number,
) => chunk(frame, { content: text }, null, logprobsOf(frame, logprobs, offset))

/** The last chunk of the choice, then one with the usage when it was asked for. */
export const lastChunks = (frame: Frame, end: Ended) => [
  { ...chunk(frame, {}, end.finishReason), openledger: openledgerOf(frame, end) },
  ...(frame.includeUsage ? [{ ...chunk(frame, {}, null), choices: [], usage: usageOf(end) }] : []),
]

function chunk(
  frame: Frame,
  delta: { role?: string; content?: string },
  finish: string | null,
  logprobs: ReturnType<typeof logprobsOf> = null,
) {
  const choice =
    frame.style === 'chat'
      ? { index: 0, delta, logprobs, finish_reason: finish }
      : { index: 0, text: delta.content ?? '', logprobs, finish_reason: finish }
  return {
    ...head(frame, { chat: 'chat.completion.chunk', text: 'text_completion' }),
    choices: [choice],
    ...(frame.includeUsage && { usage: null }),
  }
}

/** In the form of the route; null when they were not asked for. */
const logprobsOf = ({ style }: Frame, told: TokenLogprobs[] | null, offset: number) =>
  told && (style === 'chat' ? chatLogprobs(told) : textLogprobs(told, offset))

const head = (
  { style, id, created, generation: { model } }: Frame,
  object: Record<Style, string>,
) => ({
  id,
  object: object[style],
  created,
  model: model.id,
  system_fingerprint: model.digest,
})

const usageOf = ({ promptTokens, completionTokens }: Ended) => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
})

const openledgerOf = ({ generation, attribution }: Frame, { explanation }: Ended) => ({
  receipt_id: receiptId(generation.requestId),
  adapter_digest: generation.model.adapter?.digest ?? null,
  ...(attribution !== 'none' && {
    attribution: attribution === 'full' ? explanation : summaryOf(explanation),
  }),
})

/** Who shaped the answer and how much, without where. */
const summaryOf = (explanation: Explanation): Explanation => ({
  ...explanation,
  rows: explanation.rows.map((row) => ({ ...row, spans: [] })),
})
