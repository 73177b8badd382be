import { z } from '@hono/zod-openapi'
import { chatMessage, type GenerateRequest } from '#protocol/generation.ts'
import { MAX_CITATIONS } from '#protocol/wire.ts'
import { Problem } from '../problem.ts'
import type { Retrieval } from './retrieval.ts'

/**
 * What callers of the OpenAI routes may ask. An option that would change the answer and that we cannot honour is
 * refused by name, never ignored; its neutral values pass, because many clients send them always.
 */

export const DEFAULT_MAX_TOKENS = 256
const MAX_MESSAGES = 1_000
const MAX_STOPS = 4
const MAX_RETRIEVED_DATANETS = 8
const MAX_BIASES = 1_000
const MAX_TOP_LOGPROBS = 20
/** Answers to one request; each is a request of its own to the workers. */
const MAX_CHOICES = 16
const MAX_COMPLETION_LOGPROBS = 5

export type Attribution = 'sentences' | 'full' | 'summary' | 'none'

/** A request for tokens, whichever route it came by. */
export type GenerationInput = Pick<GenerateRequest, 'input'> & {
  model: string
  /** How tokens are drawn; what has its neutral value is left out. */
  sampling: Omit<
    GenerateRequest,
    | 'input'
    | 'store'
    | 'sentences'
    | 'requestId'
    | 'payer'
    | 'base'
    | 'adapter'
    | 'maxTokens'
    | 'retrieval'
  >
  /** Null: the default, cut to the model's context. */
  maxTokens: number | null
  /** Null: nothing is retrieved. */
  retrieval: Retrieval | null
  choices: number
  stream: boolean
  includeUsage: boolean
  attribution: Attribution
  /** Whether the texts are kept for the challenge window. */
  store: boolean
}

const isEmpty = (value: unknown) =>
  typeof value === 'object' && Object.keys(value ?? {}).length === 0
const is =
  (...values: unknown[]) =>
  (value: unknown) =>
    values.includes(value)

/** Options without support, by the values that ask for nothing. */
const NEUTRAL = new Map<string, (value: unknown) => boolean>(
  Object.entries({
    best_of: is(1),
    echo: is(false),
    suffix: is(''),
    tools: isEmpty,
    tool_choice: is('none', 'auto'),
    functions: isEmpty,
    function_call: is('none', 'auto'),
    response_format: (value: unknown) => (value as { type?: unknown }).type === 'text',
    modalities: (value: unknown) => Array.isArray(value) && value.every((mode) => mode === 'text'),
    service_tier: is('auto', 'default'),
  }),
)

/** Why, where the name alone would puzzle. */
const REASONS = new Map([
  ['best_of', 'best_of must be 1: every answer generated is paid for and shown.'],
  ['echo', 'echo is not supported: only what the model wrote is attributed.'],
])

/** Options that say something about the call and nothing about the answer. */
const IGNORED = [
  'user',
  'metadata',
  'parallel_tool_calls',
  'safety_identifier',
  'prompt_cache_key',
] as const

const sampling = {
  model: z.string(),
  max_tokens: z.int().min(1).optional(),
  temperature: z.number().min(0).max(2).default(1),
  top_p: z.number().gt(0).max(1).default(1),
  top_k: z.int().min(0).default(0).openapi({ description: '0: no limit.' }),
  min_p: z.number().min(0).max(1).default(0).openapi({
    description: 'Drops tokens less likely than this share of the likeliest.',
  }),
  repetition_penalty: z.number().gt(0).max(10).default(1),
  frequency_penalty: z.number().min(-2).max(2).default(0),
  presence_penalty: z.number().min(-2).max(2).default(0),
  logit_bias: z
    .record(z.string().regex(/^\d{1,9}$/, 'expected a token id'), z.number().min(-100).max(100))
    .refine((bias) => Object.keys(bias).length <= MAX_BIASES, `at most ${MAX_BIASES} tokens`)
    .default({}),
  seed: z.int().min(0).max(0xffff_ffff).optional(),
  stop: z
    .union([z.string().min(1), z.array(z.string().min(1)).max(MAX_STOPS)])
    .default([])
    .openapi({ description: `Up to ${MAX_STOPS} texts before which the answer ends.` }),
  n: z.int().min(1).max(MAX_CHOICES).default(1).openapi({
    description:
      'Answers wanted. Each is generated, paid for (its prompt included) and receipted by itself; the i-th draws with `seed` + i.',
  }),
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().default(false),
      include_obfuscation: z.literal(false).optional(),
    })
    .optional(),
  store: z.boolean().default(true).openapi({
    description:
      'false: nothing of the texts is kept, so nobody can check the gradient of the answer again. Fingerprints of the answer are, as of every answer: nobody can read it from them, and they recognise it when it is handed in as a record.',
  }),
  attribution: z.enum(['sentences', 'full', 'summary', 'none']).default('summary').openapi({
    description:
      'How much of the attribution comes with the answer; with `sentences` also which records shaped each of them.',
  }),
}

const textPart = z.object({ type: z.literal('text'), text: z.string() })
const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([z.string(), z.array(textPart).min(1)], {
    error: 'expected a text, or a list of parts of the type text',
  }),
  name: z.string().optional(),
})

const retrieval = z.strictObject({
  datanets: z
    .array(
      z
        .string()
        .regex(/^dn_[A-Za-z0-9]{1,64}(@[1-9][0-9]{0,8})?$/, 'expected dn_... or dn_...@<version>'),
    )
    .min(1)
    .max(MAX_RETRIEVED_DATANETS),
  top_k: z.int().min(1).max(MAX_CITATIONS).default(4),
})

export const chatBody = z
  .object({
    ...sampling,
    retrieval: retrieval.optional().openapi({
      description:
        'Records of these Datanets that fit the last question are quoted to the model, cited and paid from `split.retrieval`.',
    }),
    messages: z.array(message).min(1).max(MAX_MESSAGES),
    max_completion_tokens: z.int().min(1).optional(),
    logprobs: z.boolean().default(false),
    top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).default(0),
  })
  .openapi('CreateChatCompletion')

export const completionBody = z
  .object({
    ...sampling,
    prompt: z.union([z.string(), z.array(z.string()).length(1)]),
    logprobs: z
      .int()
      .min(0)
      .max(MAX_COMPLETION_LOGPROBS)
      .optional()
      .openapi({ description: 'Likeliest alternatives told with every token.' }),
  })
  .openapi('CreateCompletion')

/** Reads a chat request. Throws `request/invalid` that names the option at fault. */
export function parseChat(body: unknown): GenerationInput {
  const parsed = parse(chatBody, body)
  const {
    messages,
    max_completion_tokens,
    logprobs,
    top_logprobs,
    retrieval: wanted,
    ...rest
  } = parsed
  if (top_logprobs > 0 && !logprobs)
    throw new Problem('request/invalid', {
      detail: 'top_logprobs needs logprobs to be true.',
      param: 'top_logprobs',
    })
  return {
    ...inputOf(rest, logprobs ? top_logprobs : undefined),
    maxTokens: max_completion_tokens ?? rest.max_tokens ?? null,
    retrieval: wanted ? { datanets: [...new Set(wanted.datanets)], topK: wanted.top_k } : null,
    input: {
      messages: messages.map(({ role, content }) => ({
        role: role === 'developer' ? 'system' : role,
        content: typeof content === 'string' ? content : content.map((part) => part.text).join(''),
      })) satisfies z.infer<typeof chatMessage>[],
    },
  }
}

/** Reads a completion request. Throws `request/invalid` that names the option at fault. */
export function parseCompletion(body: unknown): GenerationInput {
  const { prompt, logprobs, ...rest } = parse(completionBody, body)
  return {
    ...inputOf(rest, logprobs),
    maxTokens: rest.max_tokens ?? null,
    retrieval: null,
    input: { prompt: typeof prompt === 'string' ? prompt : prompt.join('') },
  }
}

type Sampling = z.infer<z.ZodObject<typeof sampling>>

const inputOf = (
  options: Sampling,
  logprobs: number | undefined,
): Omit<GenerationInput, 'input' | 'maxTokens' | 'retrieval'> => ({
  model: options.model,
  sampling: {
    temperature: options.temperature,
    topP: options.top_p,
    topK: options.top_k,
    stop: typeof options.stop === 'string' ? [options.stop] : options.stop,
    ...(options.seed !== undefined && { seed: options.seed }),
    ...(options.min_p > 0 && { minP: options.min_p }),
    ...(options.repetition_penalty !== 1 && { repetitionPenalty: options.repetition_penalty }),
    ...(options.frequency_penalty !== 0 && { frequencyPenalty: options.frequency_penalty }),
    ...(options.presence_penalty !== 0 && { presencePenalty: options.presence_penalty }),
    ...(!isEmpty(options.logit_bias) && { logitBias: options.logit_bias }),
    ...(logprobs !== undefined && { logprobs }),
  },
  choices: options.n,
  stream: options.stream,
  includeUsage: options.stream_options?.include_usage ?? false,
  attribution: options.attribution,
  store: options.store,
})

function parse<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape>, body: unknown) {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new Problem('request/invalid', { detail: 'Send a JSON object.' })
  const given = Object.entries(body).filter(([, value]) => value !== null && value !== undefined)
  for (const [name, value] of given) {
    if (Object.hasOwn(schema.shape, name) || IGNORED.some((ignored) => ignored === name)) continue
    if (NEUTRAL.get(name)?.(value)) continue
    throw new Problem('request/invalid', {
      detail:
        REASONS.get(name) ??
        (NEUTRAL.has(name) ? `${name} is not supported.` : `There is no option ${name}.`),
      param: name,
    })
  }
  const parsed = schema.safeParse(Object.fromEntries(given))
  if (parsed.success) return parsed.data
  const errors = parsed.error.issues.map((issue) => ({
    field: issue.path.join('.'),
    detail: issue.message,
  }))
  const [first] = errors
  throw new Problem('request/invalid', {
    detail: `${first?.field}: ${first?.detail}`,
    param: first?.field,
    errors,
  })
}
