import { z } from '@hono/zod-openapi'
import { chatMessage, type GenerateRequest } from '#protocol/wire.ts'
import { Problem } from '../problem.ts'

/**
 * What callers of the OpenAI routes may ask. An option that would change the answer and that we cannot honour is
 * refused by name, never ignored; its neutral values pass, because many clients send them always.
 */

export const DEFAULT_MAX_TOKENS = 256
const MAX_MESSAGES = 1_000
const MAX_STOPS = 4

export type Attribution = 'full' | 'summary' | 'none'

/** A request for tokens, whichever route it came by. */
export type GenerationInput = Pick<
  GenerateRequest,
  'input' | 'temperature' | 'topP' | 'topK' | 'seed' | 'stop'
> & {
  model: string
  /** Null: the default, cut to the model's context. */
  maxTokens: number | null
  stream: boolean
  includeUsage: boolean
  attribution: Attribution
}

const isEmpty = (value: unknown) =>
  Array.isArray(value) ? value.length === 0 : Object.keys(value as object).length === 0
const is =
  (...values: unknown[]) =>
  (value: unknown) =>
    values.includes(value)

/** Options without support, by the values that ask for nothing. */
const NEUTRAL: Record<string, (value: unknown) => boolean> = {
  n: is(1),
  best_of: is(1),
  echo: is(false),
  suffix: is(''),
  logprobs: is(false, 0),
  top_logprobs: is(0),
  presence_penalty: is(0),
  frequency_penalty: is(0),
  logit_bias: isEmpty,
  tools: isEmpty,
  tool_choice: is('none', 'auto'),
  functions: isEmpty,
  function_call: is('none', 'auto'),
  response_format: (value) => (value as { type?: unknown }).type === 'text',
  modalities: (value) => Array.isArray(value) && value.every((mode) => mode === 'text'),
  store: is(false),
  service_tier: is('auto', 'default'),
}

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
  seed: z.int().min(0).max(0xffff_ffff).optional(),
  stop: z
    .union([z.string().min(1), z.array(z.string().min(1)).max(MAX_STOPS)])
    .default([])
    .openapi({ description: `Up to ${MAX_STOPS} texts before which the answer ends.` }),
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().default(false),
      include_obfuscation: z.literal(false).optional(),
    })
    .optional(),
  attribution: z
    .enum(['full', 'summary', 'none'])
    .default('summary')
    .openapi({ description: 'How much of the attribution comes with the answer.' }),
}

const textPart = z.object({ type: z.literal('text'), text: z.string() })
const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([z.string(), z.array(textPart).min(1)]),
  name: z.string().optional(),
})

export const chatBody = z
  .object({
    ...sampling,
    messages: z.array(message).min(1).max(MAX_MESSAGES),
    max_completion_tokens: z.int().min(1).optional(),
  })
  .openapi('CreateChatCompletion')

export const completionBody = z
  .object({ ...sampling, prompt: z.union([z.string(), z.array(z.string()).length(1)]) })
  .openapi('CreateCompletion')

/** Reads a chat request. Throws `request/invalid` that names the option at fault. */
export function parseChat(body: unknown): GenerationInput {
  const { messages, max_completion_tokens, ...rest } = parse(chatBody, body)
  return {
    ...samplingOf(rest),
    maxTokens: max_completion_tokens ?? rest.max_tokens ?? null,
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
  const { prompt, ...rest } = parse(completionBody, body)
  return {
    ...samplingOf(rest),
    maxTokens: rest.max_tokens ?? null,
    input: { prompt: typeof prompt === 'string' ? prompt : prompt.join('') },
  }
}

type Sampling = z.infer<z.ZodObject<typeof sampling>>

const samplingOf = (options: Sampling): Omit<GenerationInput, 'input' | 'maxTokens'> => ({
  model: options.model,
  temperature: options.temperature,
  topP: options.top_p,
  topK: options.top_k,
  ...(options.seed !== undefined && { seed: options.seed }),
  stop: typeof options.stop === 'string' ? [options.stop] : options.stop,
  stream: options.stream,
  includeUsage: options.stream_options?.include_usage ?? false,
  attribution: options.attribution,
})

function parse<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape>, body: unknown) {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new Problem('request/invalid', { detail: 'Send a JSON object.' })
  const given = Object.entries(body).filter(([, value]) => value !== null && value !== undefined)
  for (const [name, value] of given) {
    if (name in schema.shape || IGNORED.some((ignored) => ignored === name)) continue
    if (NEUTRAL[name]?.(value)) continue
    throw new Problem('request/invalid', {
      detail: name in NEUTRAL ? `${name} is not supported.` : `There is no option ${name}.`,
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
