import { z } from '@hono/zod-openapi'
import { explanation, type Explanation, type TokenLogprobs } from '#protocol/generation.ts'
import { receiptId } from '../attribution/receipts.ts'
import { seconds } from '../http/time.ts'
import type { AtLeastOne } from './choices.ts'
import type { Ended, Generation } from './generate.ts'
import { chatLogprobs, chatLogprobsSchema, textLogprobs, textLogprobsSchema } from './logprobs.ts'
import type { Attribution } from './request.ts'
import type { Retrieval } from './retrieval.ts'

/** OpenAI's answers: `chat` for /v1/chat/completions, `text` for /v1/completions. */
export type Style = 'chat' | 'text'

export type Frame = {
  style: Style
  id: string
  /** Unix seconds. */
  created: number
  model: Generation['model']
  /** Which of the answers to the request. */
  choice: number
  attribution: Attribution
  /** Set when citations were asked for. */
  retrieval: Retrieval | null
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
        sentences: explanation.shape.sentences,
      })
      .optional(),
    citations: z
      .array(
        z.object({
          record: z.string(),
          contributor: z.string(),
          datanet: z.string(),
          version: z.int(),
          text: z.string(),
          amount: z.string().openapi({ description: 'Wei.' }),
        }),
      )
      .optional()
      .openapi({
        description:
          'With `retrieval`: what was quoted to the model, numbered from 1 in this order.',
      }),
  })
  .openapi('OpenLedgerAnswer')

const furtherSchema = openledgerSchema
  .optional()
  .openapi({ description: 'The receipt of every choice but the first, whose stands above.' })

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
        index: z.int(),
        message: z.object({
          role: z.literal('assistant'),
          content: z.string(),
          refusal: z.null(),
        }),
        logprobs: chatLogprobsSchema.nullable(),
        finish_reason: finishReason,
        openledger: furtherSchema,
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
        index: z.int(),
        text: z.string(),
        logprobs: textLogprobsSchema.nullable(),
        finish_reason: finishReason,
        openledger: furtherSchema,
      }),
    ),
  })
  .openapi('Completion')

/** A new frame; `requestId` is the HTTP request's. */
export const newFrame = (
  style: Style,
  model: Generation['model'],
  requestId: string,
  {
    attribution,
    retrieval,
    includeUsage,
  }: Pick<Frame, 'attribution' | 'retrieval' | 'includeUsage'>,
): Frame => ({
  style,
  id: `${style === 'chat' ? 'chatcmpl' : 'cmpl'}-${requestId.replace(/^req_/, '')}`,
  created: seconds(Date.now()),
  model,
  choice: 0,
  attribution,
  retrieval,
  includeUsage,
})

/** An answer in one piece, and which of the choices it is. */
export type Said = { choice: number; text: string; logprobs: TokenLogprobs[] | null; end: Ended }

/** Whole answers in one body, of `chatSchema` or `completionSchema`. */
export const wholeBody = (frame: Frame, answers: AtLeastOne<Said>) => ({
  ...head(frame, { chat: 'chat.completion', text: 'text_completion' }),
  choices: answers.map(({ choice, text, logprobs, end }, place) => ({
    index: choice,
    ...(frame.style === 'chat'
      ? { message: { role: 'assistant', content: text, refusal: null } }
      : { text }),
    logprobs: logprobsOf(frame, logprobs, 0),
    finish_reason: end.finishReason,
    ...(place > 0 && { openledger: openledgerOf(frame, end) }),
  })),
  usage: usageOf(answers.map(({ end }) => end)),
  openledger: openledgerOf(frame, answers[0].end),
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

/** The last chunk of a choice, with its receipt. */
export const lastChunk = (frame: Frame, end: Ended) => ({
  ...chunk(frame, {}, end.finishReason),
  openledger: openledgerOf(frame, end),
})

/** After the last choice, what all of them used. */
export const usageChunk = (frame: Frame, ends: readonly Ended[]) => ({
  ...chunk(frame, {}, null),
  choices: [],
  usage: usageOf(ends),
})

function chunk(
  frame: Frame,
  delta: { role?: string; content?: string },
  finish: string | null,
  logprobs: ReturnType<typeof logprobsOf> = null,
) {
  const choice =
    frame.style === 'chat'
      ? { index: frame.choice, delta, logprobs, finish_reason: finish }
      : { index: frame.choice, text: delta.content ?? '', logprobs, finish_reason: finish }
  return {
    ...head(frame, { chat: 'chat.completion.chunk', text: 'text_completion' }),
    choices: [choice],
    ...(frame.includeUsage && { usage: null }),
  }
}

/** In the form of the route; null when they were not asked for. */
const logprobsOf = ({ style }: Frame, told: TokenLogprobs[] | null, offset: number) =>
  told && (style === 'chat' ? chatLogprobs(told) : textLogprobs(told, offset))

const head = ({ style, id, created, model }: Frame, object: Record<Style, string>) => ({
  id,
  object: object[style],
  created,
  model: model.id,
  system_fingerprint: model.digest,
})

const usageOf = (ends: readonly Ended[]) => {
  const prompt = ends.reduce((sum, { promptTokens }) => sum + promptTokens, 0)
  const completion = ends.reduce((sum, { completionTokens }) => sum + completionTokens, 0)
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  }
}

const openledgerOf = (
  { model, attribution, retrieval }: Frame,
  { signed, explanation: { citations = [], ...explained } }: Ended,
) => ({
  receipt_id: receiptId(signed.receipt.requestId),
  adapter_digest: model.adapter?.digest ?? null,
  ...(attribution !== 'none' && {
    attribution: attribution === 'summary' ? summaryOf(explained) : explained,
  }),
  ...(retrieval && {
    citations: citations.map((citation, i) => ({
      ...citation,
      amount: (signed.receipt.citations[i]?.amount ?? 0n).toString(),
    })),
  }),
})

/** Who shaped the answer and how much, without where. */
const summaryOf = (whole: Explanation): Explanation => ({
  ...whole,
  rows: whole.rows.map((row) => ({ ...row, spans: [] })),
})
