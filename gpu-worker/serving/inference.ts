/** The inference thread as seen from the thread that serves HTTP. */
import { Worker } from 'node:worker_threads'
import type { SessionOptions } from '#engine/session.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { Evidence, EvidenceRequest } from '#protocol/evidence.ts'
import type { GenerateEvent, GenerateRequest } from '#protocol/generation.ts'
import { pause } from '../blobs.ts'
import { log } from '../log.ts'
import type { Settings } from '../settings.ts'
import type { Tier } from './adapter-store.ts'
import type { CacheLoad } from './byte-cache.ts'
import type { InferenceStatus } from './inference-service.ts'

export type ThreadSettings = { session: SessionOptions; settings: Settings }
export type ThreadInput =
  | { type: 'generate'; id: number; request: GenerateRequest }
  | { type: 'explain'; id: number; request: EvidenceRequest }
  | { type: 'abort'; id: number }
  | { type: 'finish'; id: number }
export type ThreadOutput =
  | { type: 'ready' }
  | { type: 'event'; id: number; event: GenerateEvent }
  | { type: 'evidence'; id: number; evidence: Evidence }
  | { type: 'done'; id: number }
  | { type: 'status'; status: InferenceStatus }
  | { type: 'loaded'; tier: Tier; seconds: number }

export type Inference = {
  /** Hands every event over as it comes and resolves after the last one; failures are error events. */
  generate: (
    request: GenerateRequest,
    onEvent: (event: GenerateEvent) => void,
    signal: AbortSignal,
  ) => Promise<void>
  /** Has the answer to a request end with what it has; false when there is no such request. */
  finish: (requestId: Hex) => Promise<boolean>
  /** What the indexes say of records for an answer given earlier, or the error event. */
  explain: (request: EvidenceRequest) => Promise<Evidence | ErrorEvent>
  status: () => InferenceStatus
  stop: () => Promise<void>
}

export type ErrorEvent = Extract<GenerateEvent, { type: 'error' }>
type Pending = {
  onEvent: (event: GenerateEvent) => void
  onEvidence?: (evidence: Evidence) => void
  done: () => void
}

const NOTHING_HELD: CacheLoad = {
  resident: [],
  residentBytes: 0,
  budgetBytes: 0,
  hits: 0,
  misses: 0,
  evictions: 0,
}
const IDLE: InferenceStatus = {
  capacity: 0,
  active: 0,
  waiting: 0,
  running: [],
  queued: [],
  deferrals: 0,
  tokensPerSecond: 0,
  adapters: NOTHING_HELD,
  indexes: NOTHING_HELD,
}
const RESTART_AFTER_MS = 1_000

/** Starts the thread and waits until it has loaded the model. A thread that dies is replaced; its requests fail. */
export async function startInference(
  options: ThreadSettings,
  onLoad: (tier: Tier, seconds: number) => void = () => {},
): Promise<Inference> {
  const pending = new Map<number, Pending>()
  /** Ids of the answers under way, by request. */
  const answering = new Map<Hex, number>()
  let status = IDLE
  let nextId = 1
  let stopping = false

  const failAll = (message: string): void => {
    for (const [id, { onEvent, done }] of pending) {
      pending.delete(id)
      onEvent({ type: 'error', code: 'inference/failed', message })
      done()
    }
    status = IDLE
  }
  const start = (): Promise<Worker> =>
    new Promise((resolve, reject) => {
      const thread = new Worker(new URL('inference-thread.ts', import.meta.url), {
        workerData: options,
      })
      let isReady = false
      thread.on('message', (output: ThreadOutput) => {
        if (output.type === 'status') status = output.status
        else if (output.type === 'loaded') onLoad(output.tier, output.seconds)
        else if (output.type === 'event') pending.get(output.id)?.onEvent(output.event)
        else if (output.type === 'evidence') pending.get(output.id)?.onEvidence?.(output.evidence)
        else if (output.type === 'done') {
          pending.get(output.id)?.done()
          pending.delete(output.id)
        } else {
          isReady = true
          resolve(thread)
        }
      })
      thread.on('error', (error) => {
        if (!isReady) reject(error)
        else log('error', 'inference thread died', { error })
      })
      thread.on('exit', () => {
        failAll('the inference thread died')
        if (!isReady) reject(new Error('the inference thread ended before it was ready'))
        else if (!stopping) current = pause(RESTART_AFTER_MS).then(restart)
      })
    })
  const restart = (): Promise<Worker> =>
    start().catch((error: unknown) => {
      log('error', 'inference thread does not start', { error })
      return pause(RESTART_AFTER_MS).then(restart)
    })
  let current = Promise.resolve(await start())

  const channel = async () => {
    const thread = await current
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    return (input: ThreadInput) => thread.postMessage(input)
  }

  return {
    generate: async (request, onEvent, signal) => {
      const id = nextId++
      const post = await channel()
      const abort = () => post({ type: 'abort', id })
      const finished = new Promise<void>((done) => pending.set(id, { onEvent, done }))
      post({ type: 'generate', id, request })
      answering.set(request.requestId, id)
      signal.addEventListener('abort', abort, { once: true })
      if (signal.aborted) abort()
      await finished
      answering.delete(request.requestId)
      signal.removeEventListener('abort', abort)
    },
    finish: async (requestId) => {
      const id = answering.get(requestId)
      if (id === undefined) return false
      const post = await channel()
      post({ type: 'finish', id })
      return true
    },
    explain: async (request) => {
      const id = nextId++
      const post = await channel()
      return new Promise((resolve) => {
        let told: Evidence | ErrorEvent | null = null
        const failed = {
          type: 'error',
          code: 'inference/failed',
          message: 'no evidence came',
        } as const
        pending.set(id, {
          onEvent: (event) => (told = event.type === 'error' ? event : told),
          onEvidence: (evidence) => (told = evidence),
          done: () => resolve(told ?? failed),
        })
        post({ type: 'explain', id, request })
      })
    },
    status: () => status,
    stop: async () => {
      stopping = true
      await (await current).terminate()
    },
  }
}
