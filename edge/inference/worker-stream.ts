import { generateEvent, type GenerateEvent, type GenerateRequest } from '#protocol/wire.ts'
import { log } from '../context.ts'
import type { Worker } from '../jobs/workers.ts'
import { isProblemType, Problem } from '../problem.ts'

const MAX_LINE_CHARS = 4_000_000 // a receipt of 50 rows with 64 spans each is under 1 MB
/** Between two events; attribution is the longest silence. */
const SILENCE_MS = 120_000
const RETRY_AFTER_SECONDS = 5

export type WorkerCall = {
  worker: Worker
  events: AsyncGenerator<GenerateEvent, void, undefined>
}

/**
 * Asks workers in turn until one takes the request. Throws `model/unavailable` when none does: one that is down or
 * full is passed over, and nothing was generated. The signal breaks the connection, which stops the worker.
 */
export async function callWorker(
  workers: readonly Worker[],
  token: string,
  request: GenerateRequest,
  signal: AbortSignal,
): Promise<WorkerCall> {
  for (const worker of workers) {
    if (signal.aborted) break
    const silence = watchSilence()
    let response: Response
    try {
      response = await fetch(`${worker.url}/generate`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(request),
        signal: AbortSignal.any([signal, silence.signal]),
      })
    } catch (error) {
      silence.end()
      log('warn', { during: 'inference', worker: worker.id, error })
      continue
    }
    if (response.ok && response.body) return { worker, events: readEvents(response.body, silence) }
    silence.end()
    const said = (await response.text()).slice(0, 500)
    log('warn', { during: 'inference', worker: worker.id, status: response.status, said })
    if (response.status < 500 && response.status !== 429)
      throw new Problem('inference/failed', { detail: `The worker answered ${response.status}.` })
  }
  throw new Problem('model/unavailable', { retryAfter: RETRY_AFTER_SECONDS })
}

/** The problem that a worker's error event stands for; its codes are those of the problem table. */
export function workerProblem({ code, message }: { code: string; message: string }): Problem {
  if (isProblemType(code)) return new Problem(code, { detail: message })
  return new Problem('inference/failed', { detail: message })
}

type Silence = { signal: AbortSignal; heard: () => void; end: () => void }

/** A signal that aborts when nothing is heard for too long. */
function watchSilence(): Silence {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const end = () => clearTimeout(timer)
  const heard = () => {
    end()
    timer = setTimeout(
      () => controller.abort(new Error('the worker has fallen silent')),
      SILENCE_MS,
    )
  }
  heard()
  return { signal: controller.signal, heard, end }
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
      silence.heard()
      rest += decoder.decode(bytes, { stream: true })
      const lines = rest.split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > MAX_LINE_CHARS) throw new Error('the worker sent too long a line')
      for (const line of lines) if (line.trim() !== '') yield generateEvent.parse(JSON.parse(line))
    }
    if (rest.trim() !== '') yield generateEvent.parse(JSON.parse(rest))
  } finally {
    silence.end()
  }
}
