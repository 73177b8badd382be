import { z } from 'zod'
import { MAX_CITATIONS, address, bytes32, jobManifest, signedReceipt, uint32 } from './wire.ts'

/** What edge and gpu-worker say to each other about one answer: the request, the stream, the explanation, the texts kept. */

export const chatMessage = z.object({
  role: z.enum(['system', 'user', 'assistant']),
  content: z.string(),
})

/** What a model is asked. */
const modelInput = z.union([
  z.object({ messages: z.array(chatMessage).min(1) }),
  z.object({ prompt: z.string() }),
])

/** The words of a prompt, against which echoes are told. */
export const promptText = (input: z.infer<typeof modelInput>): string =>
  'prompt' in input ? input.prompt : input.messages.map(({ content }) => content).join('\n')

/** edge -> gpu-worker: generate an answer, attribute it, sign the receipt. */
export const generateRequest = z.object({
  requestId: bytes32,
  payer: address,
  base: bytes32,
  /** Adapter digest and the hash of its manifest; absent for the bare base. */
  adapter: z.object({ digest: bytes32, manifest: bytes32 }).optional(),
  input: modelInput,
  /** Whether the texts are kept for validators; the receipt says so. */
  store: z.boolean().default(true),
  /** Whether the explanation tells the sentences apart. */
  sentences: z.boolean().default(false),
  /** Records of these Datanet versions are looked for and quoted to the model before the messages. */
  retrieval: z
    .object({
      versions: jobManifest.shape.datanets,
      topK: z.int().min(1).max(MAX_CITATIONS),
    })
    .optional(),
  maxTokens: z.int().min(1),
  temperature: z.number().min(0).max(2).default(1),
  topP: z.number().gt(0).max(1).default(1),
  topK: z.int().min(0).default(0),
  seed: z.int().min(0).max(0xffff_ffff).optional(),
  stop: z.array(z.string().min(1)).max(4).default([]),
  minP: z.number().min(0).max(1).optional(),
  repetitionPenalty: z.number().positive().max(10).optional(),
  frequencyPenalty: z.number().min(-2).max(2).optional(),
  presencePenalty: z.number().min(-2).max(2).optional(),
  /** Added to logits, by token id. */
  logitBias: z.record(z.string().regex(/^\d{1,9}$/), z.number().min(-100).max(100)).optional(),
  /** Number of likeliest alternatives told with every token's log-probability; absent: none are told. */
  logprobs: z.int().min(0).max(20).optional(),
})
export type GenerateRequest = z.infer<typeof generateRequest>

/** Has a worker end an answer with what it has: its caller has gone. */
export const finishRequest = z.object({ requestId: bytes32 })
export const finishAnswer = z.object({ finishing: z.boolean() })

/** Where a paid record shows up in the answer; offsets are UTF-16 code units of the output text. */
export const explanation = z.object({
  rows: z.array(
    z.object({
      record: bytes32,
      contributor: address,
      /** Parts per million of the contributor pool. */
      share: z.int().min(0),
      snippet: z.string(),
      /** Where the snippet holds words of the answer; offsets in the snippet. */
      highlights: z.array(z.object({ start: z.int(), end: z.int() })),
      spans: z.array(z.object({ start: z.int(), end: z.int(), text: z.string() })),
    }),
  ),
  /** Parts per million of the contributor pool that went to the base pool. */
  unattributed: z.int().min(0),
  attributionMs: z.number(),
  /** The records of most influence on each sentence, at offsets of the output text; absent unless asked for. */
  sentences: z
    .array(
      z.object({
        start: z.int(),
        end: z.int(),
        rows: z.array(
          z.object({
            record: bytes32,
            contributor: address,
            /** Parts per million of the influence of these rows. */
            share: z.int().min(0),
            /** Thousandths of a null deviation. */
            significance: z.int(),
          }),
        ),
      }),
    )
    .optional(),
  /** What was quoted to the model, in the order of the receipt's citations; absent when nothing was. */
  citations: z
    .array(
      z.object({
        record: bytes32,
        contributor: address,
        datanet: z.string(),
        version: z.int(),
        text: z.string(),
      }),
    )
    .optional(),
})
export type Explanation = z.infer<typeof explanation>

/** An explanation without the answer's words: where spans lie stays, what they say does not. */
export const withoutWords = (explanation: Explanation): Explanation => ({
  ...explanation,
  rows: explanation.rows.map((row) => ({
    ...row,
    spans: row.spans.map((span) => ({ ...span, text: '' })),
  })),
})

/** What is kept of a request for the challenge window, so that its gradient can be computed again. */
export const keptTexts = z.object({
  input: modelInput,
  output: z.string(),
  /** Token ids of `output`, as they were drawn: tokenizing it again may give others. */
  tokens: z.array(uint32),
})
export type KeptTexts = z.infer<typeof keptTexts>

const tokenLogprob = z.object({ token: z.string(), logprob: z.number() })
/** A token of the answer, with its likeliest alternatives; natural logarithms. */
const tokenLogprobs = tokenLogprob.extend({ top: z.array(tokenLogprob).max(20) })
export type TokenLogprobs = z.infer<typeof tokenLogprobs>

export const generateError = z.object({
  type: z.literal('error'),
  code: z.string(),
  message: z.string(),
  /** Seconds after which to ask again; only when too many requests wait. */
  retryAfter: z.int().positive().optional(),
})

/** gpu-worker -> edge: one JSON object a line, in this order: tokens, end, receipt; or an error at any point. */
export const generateEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('token'),
    text: z.string(),
    /** Of the tokens that begin in this text, when they were asked for. */
    logprobs: z.array(tokenLogprobs).optional(),
  }),
  z.object({
    type: z.literal('end'),
    finishReason: z.enum(['stop', 'length']),
    promptTokens: uint32,
    completionTokens: uint32,
  }),
  signedReceipt.extend({
    type: z.literal('receipt'),
    explanation,
    /** Token ids of the answer's text. */
    tokens: z.array(uint32),
    /** What the model read, when records were quoted to it: the receipt's `promptHash` is of this. */
    input: modelInput.optional(),
  }),
  generateError,
])
export type GenerateEvent = z.infer<typeof generateEvent>
