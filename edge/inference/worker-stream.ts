import {
  finishAnswer,
  generateEvent,
  type GenerateEvent,
  type GenerateRequest,
} from '#protocol/generation.ts'
import { log } from '../log.ts'
import { postToWorker, type Worker } from '../jobs/workers.ts'
import { isProblemType, Problem } from '../problem.ts'

const MAX_LINE_CHARS = 4_000_000 // a receipt of 50 rows with 64 spans each is under 1 MB
/** Waiting for the next bytes; attribution is the longest silence. */
const SILENCE_MS = 120_000
const RETRY_AFTER_SECONDS = 5
const FINISH_MS = 5_000

export type WorkerCall = {
  worker: Worker
  /** The first event, which is no error; null when there was none. */
  first: GenerateEvent | null
  /** The events after it. */
  events: AsyncGenerator<GenerateEvent, void, undefined>
}

/** Refusals that say something of the worker and not of the request: another one may answer. */
const WORKER_FAULTS = new Set([
  'model/unavailable',
  'model/digest-mismatch',
  'chain/unavailable',
  'inference/failed',
  'request/quota',
])

/**
 * Asks workers in turn until one begins to answer; after that no other is asked, because text has gone out. One that is
 * down, full or at fault is passed over. When none answers, throws what the last one that spoke said, with the
 * shortest time after which to come back. The signal breaks the connection, which stops the worker.
 */
export async function callWorker(
  workers: readonly Worker[],
  token: string,
  request: GenerateRequest,
  signal: AbortSignal,
): Promise<WorkerCall> {
  let refused: Problem | null = null
  for (const worker of workers) {
    if (signal.aborted) break
    const asked = await ask(worker, token, request, signal)
    if (!(asked instanceof Problem)) return asked
    log('warn', { during: 'inference', worker: worker.id, refused: asked })
    if (!WORKER_FAULTS.has(asked.type)) throw asked
    refused = refused ? sooner(asked, refused) : asked
  }
  throw refused ?? new Problem('model/unavailable', { retryAfter: RETRY_AFTER_SECONDS })
}

/** One worker's first event, or the problem that it has. */
async function ask(
  worker: Worker,
  token: string,
  request: GenerateRequest,
  signal: AbortSignal,
): Promise<WorkerCall | Problem> {
  const silence = watchSilence()
  try {
    const response = await postToWorker(worker, '/generate', {
      token,
      body: request,
      signal: AbortSignal.any([signal, silence.signal]),
    })
    if (!response.ok || !response.body) return await refusal(response).finally(silence.end)
    const events = readEvents(response.body, silence)
    const { value, done } = await events.next()
    if (done) return { worker, first: null, events }
    if (value.type !== 'error') return { worker, first: value, events }
    await events.return()
    return workerProblem(value)
  } catch (cause) {
    silence.end()
    const retryAfter = RETRY_AFTER_SECONDS
    return new Problem('model/unavailable', { retryAfter, cause })
  }
}

/**
 * Asks a worker to end an answer with what it has, receipt included. False when it cannot be asked, or has no such
 * answer under way.
 */
export async function finishEarly(
  worker: Worker,
  token: string,
  requestId: GenerateRequest['requestId'],
): Promise<boolean> {
  try {
    const response = await postToWorker(worker, '/finish', {
      token,
      body: { requestId },
      signal: AbortSignal.timeout(FINISH_MS),
    })
    return response.ok && finishAnswer.parse(await response.json()).finishing
  } catch (error) {
    log('warn', { during: 'inference', worker: worker.id, error })
    return false
  }
}

/** What a status other than 2xx means. */
async function refusal(response: Response): Promise<Problem> {
  const detail = (await response.text()).slice(0, 500)
  if (response.status < 500 && response.status !== 429)
    return new Problem('inference/failed', { detail: `The worker answered ${response.status}.` })
  const said = Number(response.headers.get('retry-after'))
  const retryAfter = Number.isInteger(said) && said > 0 ? said : RETRY_AFTER_SECONDS
  return response.status === 429
    ? new Problem('request/quota', { retryAfter, detail: 'Too many of your requests are waiting.' })
    : new Problem('model/unavailable', { retryAfter, cause: detail })
}

/** The newer of two refusals, with the shorter time to wait when both name one. */
function sooner(newer: Problem, older: Problem): Problem {
  const times = [newer, older].flatMap(({ details }) => details.retryAfter ?? [])
  if (newer.details.retryAfter === undefined) return newer
  return new Problem(newer.type, { ...newer.details, retryAfter: Math.min(...times) })
}

type ErrorEvent = Extract<GenerateEvent, { type: 'error' }>

/** The problem that a worker's error event stands for; its codes are those of the problem table. */
export function workerProblem({ code, message, retryAfter }: ErrorEvent): Problem {
  if (isProblemType(code))
    return new Problem(code, { detail: message, ...(retryAfter && { retryAfter }) })
  return new Problem('inference/failed', { detail: message })
}

type Silence = { signal: AbortSignal; begin: () => void; end: () => void }

/** A signal that aborts when nothing is heard for too long, from now on. */
function watchSilence(): Silence {
  const controller = new AbortController()
  const abort = () => controller.abort(new Error('the worker has fallen silent'))
  let timer: ReturnType<typeof setTimeout> | undefined
  const begin = () => {
    timer = setTimeout(abort, SILENCE_MS)
  }
  begin()
  return { signal: controller.signal, begin, end: () => clearTimeout(timer) }
}

/** Parses NDJSON; throws when a line is not an event, or the stream breaks. */
async function* readEvents(
  body: ReadableStream<Uint8Array>,
  silence: Silence,
): AsyncGenerator<GenerateEvent, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })
  let rest = ''
  try {
    for await (const bytes of body) {
      silence.end() // while the events are taken, the worker is not who is waited for
      rest += decoder.decode(bytes, { stream: true })
      const lines = rest.split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > MAX_LINE_CHARS) throw new Error('the worker sent too long a line')
      for (const line of lines) if (line.trim() !== '') yield generateEvent.parse(JSON.parse(line))
      silence.begin()
    }
    if (rest.trim() !== '') yield generateEvent.parse(JSON.parse(rest))
  } finally {
    silence.end()
  }
}
