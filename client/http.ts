import { z } from 'zod'

/** RFC 9457 problem details as the API sends them, with OpenAI's `error` member. */
const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  requestId: z.string().optional(),
  errors: z
    .array(z.object({ row: z.int().optional(), field: z.string().optional(), detail: z.string() }))
    .optional(),
  error: z.object({
    message: z.string(),
    type: z.string(),
    code: z.string().nullable(),
    param: z.string().nullable().optional(),
  }),
})
export type ProblemBody = z.infer<typeof problem>

/** The API refused a request. `problem` is its body when it was problem+json; `type` ends in e.g. `datanet/not-found`. */
export class ApiError extends Error {
  readonly status: number
  readonly problem: ProblemBody | null

  constructor(status: number, body: ProblemBody | null, message: string) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.problem = body
  }

  /** Whether this is the problem of the given type, such as `funds/insufficient`. */
  is(type: string): boolean {
    return this.problem?.type === `urn:openledger:problem:${type}`
  }
}

export type HttpOptions = {
  baseUrl: string
  apiKey?: string
  /** How long a request is tried again over network errors, 429 and 503; three seconds at most until there was an answer. */
  retryForMs?: number
}

export type RequestOptions = {
  query?: Record<string, string | number | undefined>
  /** JSON body. */
  json?: unknown
  /** Body as it is. */
  body?: string | Uint8Array<ArrayBuffer>
  headers?: Record<string, string>
  signal?: AbortSignal
}

const RETRY_FOR_MS = 30_000
/** Who never answered is more likely not there than away for a moment. */
const UNKNOWN_FOR_MS = 3_000
const FIRST_DELAY_MS = 200
const MAX_DELAY_MS = 3_000

export type Http = {
  /** Sends a request and returns a successful response; throws ApiError. */
  send: (method: string, path: string, options?: RequestOptions) => Promise<Response>
  /** The same, with the JSON body checked against a schema; throws ZodError when it does not fit. */
  json: <T>(
    method: string,
    path: string,
    schema: z.ZodType<T, unknown>,
    options?: RequestOptions,
  ) => Promise<T>
}

/**
 * HTTP with retries. Every POST carries one Idempotency-Key over all its attempts, so that a lost answer never
 * does the work twice.
 */
export function createHttp({ baseUrl, apiKey, retryForMs = RETRY_FOR_MS }: HttpOptions): Http {
  let isKnown = false
  const send: Http['send'] = async (method, path, options = {}) => {
    const url = new URL(path, baseUrl)
    for (const [name, value] of Object.entries(options.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value))
    const init: RequestInit = {
      method,
      headers: {
        ...(apiKey && { authorization: `Bearer ${apiKey}` }),
        ...(options.json !== undefined && { 'content-type': 'application/json' }),
        ...(method === 'POST' && { 'idempotency-key': crypto.randomUUID() }),
        ...options.headers,
      },
      ...(options.json !== undefined && { body: JSON.stringify(options.json) }),
      ...(options.body !== undefined && { body: options.body }),
      ...(options.signal && { signal: options.signal }),
    }
    const started = Date.now()
    for (let attempt = 0; ; attempt++) {
      const outcome = await fetch(url, init).catch((error: unknown) => error)
      isKnown ||= outcome instanceof Response
      if (outcome instanceof Response && outcome.ok) return outcome
      options.signal?.throwIfAborted()
      const failure = outcome instanceof Response ? await apiError(outcome) : outcome
      const delay = retryDelay(failure, outcome, attempt)
      const patienceMs = isKnown ? retryForMs : Math.min(retryForMs, UNKNOWN_FOR_MS)
      if (delay === null || Date.now() + delay > started + patienceMs) throw failure
      await new Promise((resolve) => setTimeout(resolve, delay))
    }
  }
  return {
    send,
    json: async (method, path, schema, options) =>
      schema.parse(await (await send(method, path, options)).json()),
  }
}

/** Milliseconds until the next attempt, or null when another one makes no sense. */
function retryDelay(failure: unknown, outcome: unknown, attempt: number): number | null {
  const backoff = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt) * (0.75 + Math.random() / 2)
  if (!(outcome instanceof Response)) return failure instanceof TypeError ? backoff : null // fetch: network error
  // In flight: an attempt whose answer was lost is still at work under this key.
  const again =
    outcome.status === 429 ||
    outcome.status === 503 ||
    (failure instanceof ApiError && failure.is('idempotency/in-flight'))
  if (!again) return null
  const retryAfterMs = Number(outcome.headers.get('retry-after')) * 1000
  return retryAfterMs > 0 ? retryAfterMs : backoff
}

/** The error of a refused response. */
async function apiError(response: Response): Promise<ApiError> {
  const text = await response.text()
  const parsed = problem.safeParse(parseJson(text))
  if (!parsed.success)
    return new ApiError(response.status, null, `${response.status} ${text.slice(0, 200)}`)
  const { status, title, detail } = parsed.data
  return new ApiError(
    response.status,
    parsed.data,
    [`${status} ${title}${detail ? `: ${detail}` : ''}`, ...faultLines(parsed.data)].join('\n'),
  )
}

const MOST_FAULTS = 20

/** The faults that the detail does not name, one by one. */
function faultLines({ detail = '', errors = [] }: ProblemBody): string[] {
  return errors
    .filter((fault) => !detail.includes(fault.detail))
    .slice(0, MOST_FAULTS)
    .map(({ row, field, detail: said }) => {
      const place = row === undefined ? field : `row ${row}`
      return `  ${place === undefined || /^row \d/i.test(said) ? '' : `${place}: `}${said}`
    })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
