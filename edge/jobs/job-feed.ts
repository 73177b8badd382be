import { DurableObject } from 'cloudflare:workers'
import { sha256Hex } from '#protocol/bytes.ts'
import { newId } from '#protocol/ids.ts'
import type { JobProgress } from '#protocol/wire.ts'
import type { Env } from '../env.ts'
import { seconds } from '../http/time.ts'

export type JobEventInput = JobProgress['events'][number]

/** An event of a fine-tuning job in OpenAI's shape. */
export type JobEvent = {
  object: 'fine_tuning.job.event'
  id: string
  /** Unix seconds. */
  created_at: number
  level: 'info' | 'warn' | 'error'
  message: string
  type: 'message' | 'metrics'
  data: JobEventInput['metrics'] | null
}

type EventRow = {
  seq: number
  id: string
  at: string
  level: JobEvent['level']
  message: string
  metrics: string | null
}

const PING_MS = 15_000 // proxies close what is silent for a minute
const MAX_SUBSCRIBERS = 100
const encoder = new TextEncoder()

/** The feed of a job; its name is the job's id. */
export const jobFeed = ({ JOBS }: Pick<Env, 'JOBS'>, jobId: string) => JOBS.getByName(jobId)

/** Events of one fine-tuning job: kept for ever, pushed to whoever listens. */
export class JobFeed extends DurableObject<Env> {
  readonly #sql = this.ctx.storage.sql
  readonly #subscribers = new Set<WritableStreamDefaultWriter<Uint8Array>>()
  #ping: ReturnType<typeof setInterval> | null = null

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, hash TEXT NOT NULL UNIQUE,
        at TEXT NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL, metrics TEXT
      );
      CREATE TABLE IF NOT EXISTS ended (at INTEGER NOT NULL);
    `)
  }

  /**
   * Adds events and pushes them. Idempotent: an event is its content with its time, so a heartbeat that is sent again
   * because its answer was lost adds nothing.
   */
  append(events: JobEventInput[]): void {
    for (const { at, level, message, metrics } of events) {
      const [row] = this.#sql
        .exec<EventRow>(
          `INSERT INTO event (id, hash, at, level, message, metrics) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (hash) DO NOTHING RETURNING seq, id, at, level, message, metrics`,
          newId('event'),
          sha256Hex(JSON.stringify([at, level, message, metrics])),
          at,
          level,
          message,
          metrics ? JSON.stringify(metrics) : null,
        )
        .toArray()
      if (row) for (const subscriber of this.#subscribers) this.#push(subscriber, sse(row))
    }
  }

  /** Adds last words; listeners are told that nothing follows. Idempotent. */
  end(events: JobEventInput[]): void {
    this.append(events)
    if (!this.#hasEnded()) this.#sql.exec('INSERT INTO ended (at) VALUES (?)', Date.now())
    for (const subscriber of this.#subscribers) this.#close(subscriber)
  }

  /** Newest first: up to `limit` events older than the one with id `after`. */
  list(limit: number, after: string | undefined): JobEvent[] {
    const before = after === undefined ? null : this.#seqOf(after)
    return this.#sql
      .exec<EventRow>(
        'SELECT * FROM event WHERE seq < ? ORDER BY seq DESC LIMIT ?',
        before ?? Number.MAX_SAFE_INTEGER,
        limit,
      )
      .toArray()
      .map(eventView)
  }

  /**
   * Server-sent events: everything after the event with id `lastEventId` (everything when it is unknown), then what
   * happens, until the job ends; the last data is `[DONE]`.
   */
  stream(lastEventId: string | undefined): ReadableStream<Uint8Array> {
    const { readable, writable } = new IdentityTransformStream()
    const writer = writable.getWriter()
    const from = lastEventId === undefined ? 0 : (this.#seqOf(lastEventId) ?? 0)
    const [oldest] = this.#subscribers
    if (oldest && this.#subscribers.size >= MAX_SUBSCRIBERS) this.#drop(oldest) // it reconnects
    this.#subscribers.add(writer)
    for (const row of this.#sql.exec<EventRow>(
      'SELECT * FROM event WHERE seq > ? ORDER BY seq',
      from,
    ))
      this.#push(writer, sse(row))
    if (this.#hasEnded()) this.#close(writer)
    else this.#ping ??= setInterval(() => this.#pingAll(), PING_MS)
    return readable
  }

  #hasEnded(): boolean {
    return this.#sql.exec('SELECT at FROM ended LIMIT 1').toArray().length > 0
  }

  #seqOf(id: string): number | null {
    return (
      this.#sql.exec<{ seq: number }>('SELECT seq FROM event WHERE id = ?', id).toArray()[0]?.seq ??
      null
    )
  }

  /** Queues text for a listener; one that has gone away is dropped. */
  #push(writer: WritableStreamDefaultWriter<Uint8Array>, text: string): void {
    writer.write(encoder.encode(text)).catch(() => this.#drop(writer))
  }

  #close(writer: WritableStreamDefaultWriter<Uint8Array>): void {
    this.#push(writer, 'data: [DONE]\n\n')
    writer.close().catch(() => undefined) // it went away before it could be told
    this.#forget(writer)
  }

  #drop(writer: WritableStreamDefaultWriter<Uint8Array>): void {
    writer.abort().catch(() => undefined) // already closed by the other side
    this.#forget(writer)
  }

  #forget(writer: WritableStreamDefaultWriter<Uint8Array>): void {
    this.#subscribers.delete(writer)
    if (this.#subscribers.size > 0 || this.#ping === null) return
    clearInterval(this.#ping)
    this.#ping = null
  }

  #pingAll(): void {
    for (const subscriber of this.#subscribers) this.#push(subscriber, ': ping\n\n')
  }
}

const eventView = (row: EventRow): JobEvent => ({
  object: 'fine_tuning.job.event',
  id: row.id,
  created_at: seconds(Date.parse(row.at)),
  level: row.level,
  message: row.message,
  type: row.metrics ? 'metrics' : 'message',
  data: row.metrics ? (JSON.parse(row.metrics) as JobEventInput['metrics']) : null,
})

const sse = (row: EventRow) => `id: ${row.id}\ndata: ${JSON.stringify(eventView(row))}\n\n`
