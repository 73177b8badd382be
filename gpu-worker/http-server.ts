/** The worker's HTTP interface: POST routes for the edge, GET /health and /metrics for operators. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { toJson } from '#protocol/bytes.ts'
import { evidenceRequest, type EvidenceRequest } from '#protocol/evidence.ts'
import { exportRequest, type ExportRequest } from '#protocol/export.ts'
import { previewRequest, type PreviewRequest, type PreviewRow } from '#protocol/preview.ts'
import {
  finishRequest,
  generateRequest,
  type GenerateEvent,
  type GenerateRequest,
} from '#protocol/generation.ts'
import { describeError, log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Inference } from './serving/inference.ts'
import type { Exporter } from './training/exporter.ts'

export type HttpOptions = {
  token: string
  inference: Inference
  metrics: Metrics
  /** What training would make of records. */
  preview: (request: PreviewRequest) => Promise<PreviewRow[]>
  exporter: Exporter
  /** Body of /health. */
  health: () => object
}

const MOST_BODY_BYTES = 4 * 2 ** 20
const EXPORT_AGAIN_SECONDS = 10
/** Errors that are told by a status, so that the edge asks another worker or tells its caller when to come back. */
const REFUSALS: Readonly<Record<string, number>> = {
  'request/quota': 429,
  'model/unavailable': 503,
}

/** Creates the server; the caller listens. */
export function createHttpServer(options: HttpOptions): Server {
  return createServer((request, response) => {
    route(request, response, options).catch((error: unknown) => {
      log('error', 'request failed', { path: request.url, error })
      if (!response.headersSent) refuse(response, 500, 'Something failed on our side')
      else response.destroy()
    })
  })
}

async function route(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
): Promise<void> {
  const path = new URL(request.url ?? '/', 'http://worker').pathname
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  if (path === '/health' && isRead) return json(response, 200, options.health())
  if (path === '/metrics' && isRead) {
    const text = await options.metrics.render()
    response.writeHead(200, { 'content-type': options.metrics.contentType })
    response.end(text)
    return
  }
  const post = POSTS[path]
  if (!post) return refuse(response, 404, 'There is no such route')
  if (request.method !== 'POST') return refuse(response, 405, 'Use POST')
  if (!isAuthorized(request, options.token)) return refuse(response, 401, 'The token is not valid')
  const body = await readBody(request)
  if (body === null) return refuse(response, 413, `A request has at most ${MOST_BODY_BYTES} bytes`)
  await post(parseJson(body), response, options)
}

type Post = (body: unknown, response: ServerResponse, options: HttpOptions) => Promise<void>

const POSTS: Readonly<Record<string, Post>> = {
  '/generate': handle(generateRequest, generate),
  '/finish': handle(finishRequest, async ({ requestId }, response, { inference }) =>
    json(response, 200, { finishing: await inference.finish(requestId) }),
  ),
  '/explain': handle(evidenceRequest, explain),
  '/preview': handle(previewRequest, async (request, response, { preview }) => {
    const rows = await preview(request).catch(toMessage)
    if (typeof rows === 'string') return refuse(response, 422, rows)
    json(response, 200, { rows })
  }),
  '/export': handle(exportRequest, download),
}

/** A handler of bodies that fit a schema; others are refused. */
function handle<T>(
  schema: z.ZodType<T>,
  answer: (request: T, response: ServerResponse, options: HttpOptions) => Promise<void>,
): Post {
  return async (body, response, options) => {
    const parsed = schema.safeParse(body)
    if (!parsed.success) return refuse(response, 400, z.prettifyError(parsed.error))
    await answer(parsed.data, response, options)
  }
}

async function explain(
  request: EvidenceRequest,
  response: ServerResponse,
  { inference }: HttpOptions,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(line(await inference.explain(request)))
}

/** Why a record or an adapter cannot be worked on, in words for its owner. */
const toMessage = (error: unknown): string => {
  log('warn', 'refused', { error })
  return describeError(error)
}

async function download(
  request: ExportRequest,
  response: ServerResponse,
  { exporter }: HttpOptions,
): Promise<void> {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  const file = await exporter.export(request, gone.signal).catch(toMessage)
  if (typeof file === 'string') return refuse(response, 422, file)
  if (!file) return refuse(response, 503, 'Too many exports are being made', EXPORT_AGAIN_SECONDS)
  response.writeHead(200, { 'content-type': 'application/zip', 'content-length': file.bytes })
  await pipeline(file.stream, response)
}

async function generate(
  request: GenerateRequest,
  response: ServerResponse,
  { inference, metrics }: HttpOptions,
): Promise<void> {
  const startedAt = performance.now()
  const seconds = () => (performance.now() - startedAt) / 1000
  const gone = new AbortController()
  response.on('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  const begin = () => {
    const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' }
    if (!response.headersSent) response.writeHead(200, headers)
  }
  let outcome = 'abandoned'
  let hasText = false
  let isRefused = false
  await inference.generate(
    request,
    (event) => {
      if (event.type === 'token' && !hasText) {
        hasText = true
        metrics.firstToken.observe(seconds())
      } else if (event.type === 'end') {
        metrics.promptTokens.inc(event.promptTokens)
        metrics.completionTokens.inc(event.completionTokens)
      } else if (event.type === 'receipt') {
        outcome = 'answered'
        metrics.answer.observe(seconds())
        metrics.attribution.observe(event.explanation.attributionMs / 1000)
      } else if (event.type === 'error' && !gone.signal.aborted) outcome = event.code
      if (response.destroyed) return
      const status = event.type === 'error' && !response.headersSent && REFUSALS[event.code]
      if (event.type === 'error' && status) {
        isRefused = true
        return refuse(response, status, event.message, event.retryAfter)
      }
      begin()
      response.write(line(event))
    },
    gone.signal,
  )
  if (!isRefused) {
    begin()
    response.end()
  }
  metrics.requests.inc({ outcome })
  const { requestId, payer, adapter } = request
  log(outcome === 'answered' ? 'info' : 'warn', 'answer', {
    requestId,
    payer,
    adapter: adapter?.digest,
    outcome,
    ms: Math.round(1000 * seconds()),
  })
}

/** One event as a line of JSON; amounts as decimal strings. */
const line = (event: GenerateEvent | object): string => `${toJson(event)}\n`

/** Compares the bearer token in constant time, whatever its length. */
function isAuthorized({ headers }: IncomingMessage, token: string): boolean {
  return timingSafeEqual(digest(headers.authorization ?? ''), digest(`Bearer ${token}`))
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The body's text, or null when it is too large. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes <= MOST_BODY_BYTES) parts.push(part)
  }
  return bytes > MOST_BODY_BYTES ? null : Buffer.concat(parts).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // refused by the schema
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

function refuse(
  response: ServerResponse,
  status: number,
  title: string,
  retryAfter?: number,
): void {
  response.writeHead(status, {
    'content-type': 'application/problem+json',
    ...(retryAfter && { 'retry-after': String(retryAfter) }),
  })
  response.end(JSON.stringify({ status, title }))
}
