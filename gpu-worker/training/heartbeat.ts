/** Starts the heartbeat thread of a lease and is the job's reporter. */
import { Worker } from 'node:worker_threads'
import type { BlobRef, JobProgress } from '#protocol/wire.ts'
import { log } from '../log.ts'
import type { JobEvent, Reporter } from './job-context.ts'

export type HeartbeatSettings = { edgeUrl: string; token: string; leaseId: string }

export type HeartbeatInput =
  | { type: 'progress'; phase: JobProgress['phase']; done: number }
  | { type: 'event'; event: JobEvent }
  | { type: 'checkpoint'; blob: BlobRef }
  | { type: 'stop' }

export type HeartbeatNews =
  | { type: 'ended'; reason: 'cancelled' | 'lost' }
  | { type: 'trouble'; message: string }

export type Heartbeat = Reporter & {
  /** Aborts when the edge cancels the job or no longer knows the lease; the reason is a LeaseEnded. */
  signal: AbortSignal
  /** Delivers what is left and ends the thread. */
  stop: () => Promise<void>
}

/** The job must stop: its owner cancelled it, or another worker has it. */
export class LeaseEnded extends Error {
  readonly reason: 'cancelled' | 'lost'
  constructor(reason: 'cancelled' | 'lost') {
    super(`the lease ended: ${reason}`)
    this.name = 'LeaseEnded'
    this.reason = reason
  }
}

const MESSAGE_CHARS = 2_000

/** Starts beating at once. */
export function startHeartbeat(settings: HeartbeatSettings): Heartbeat {
  const thread = new Worker(new URL('heartbeat-thread.ts', import.meta.url), {
    workerData: settings,
  })
  const ended = new AbortController()
  const gone = new Promise<void>((resolve) => thread.once('exit', () => resolve()))
  const fields = { leaseId: settings.leaseId }
  thread.on('message', (news: HeartbeatNews) => {
    if (news.type === 'ended') ended.abort(new LeaseEnded(news.reason))
    else log('warn', 'heartbeat failed', { ...fields, message: news.message })
  })
  // Without a heartbeat another worker will get the lease, so this one must let go of it.
  thread.on('error', (error) => {
    log('error', 'heartbeat thread died', { ...fields, error })
    ended.abort(new LeaseEnded('lost'))
  })
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  const post = (input: HeartbeatInput) => thread.postMessage(input)
  return {
    progress: (phase, done) => post({ type: 'progress', phase, done }),
    event: ({ level = 'info', message, ...rest }) =>
      post({
        type: 'event',
        event: {
          at: new Date().toISOString(),
          level,
          message: message.slice(0, MESSAGE_CHARS),
          ...rest,
        },
      }),
    checkpoint: (blob) => post({ type: 'checkpoint', blob }),
    signal: ended.signal,
    stop: async () => {
      post({ type: 'stop' })
      await gone
    },
  }
}
