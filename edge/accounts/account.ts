import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../env.ts'

const IDEMPOTENCY_MS = 24 * 3_600_000
const IN_FLIGHT_MS = 10 * 60_000 // a request that has not answered by then died with its isolate
const HOLD_MS = 30 * 60_000 // a hold that was never turned into a debt by then belongs to a dead request
const QUOTA_WINDOW_MS = 60_000
const LEAST_ALARM_MS = 60_000 // between two alarms

/** State of an account's quota after a request was counted. */
export type Quota = { limit: number; remaining: number; resetSeconds: number; exceeded: boolean }

/** What an Idempotency-Key means for this request. */
export type Repetition =
  | { kind: 'first' }
  | { kind: 'in-flight' }
  | { kind: 'mismatch' }
  | { kind: 'not-replayable' }
  | { kind: 'replay'; answer: StoredAnswer }

export type StoredAnswer = { status: number; contentType: string; body: string }

export type Admission = { quota: Quota; repetition: Repetition | null }

/**
 * One account: its exact quota, its idempotency keys and the money held for requests under way.
 * The object's name is the account id. What a method decides is one synchronous piece of SQL, so they never interleave.
 */
export class Account extends DurableObject<Env> {
  readonly #sql = this.ctx.storage.sql
  /** Requests in the current window. Memory is enough: an object that nobody calls has no window to keep. */
  #window = { startedAt: 0, count: 0 }

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS idempotency (
        key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, state TEXT NOT NULL,
        status INTEGER, content_type TEXT, body TEXT, created_at INTEGER NOT NULL
      );
      CREATE TABLE IF NOT EXISTS holds (
        request_id TEXT PRIMARY KEY, kind TEXT NOT NULL, wei TEXT NOT NULL, created_at INTEGER NOT NULL
      );
    `)
  }

  /** Counts a request against the quota and looks up its Idempotency-Key; a first use is remembered as in flight. */
  async admit(request: {
    limitPerMinute: number
    key?: string
    fingerprint?: string
  }): Promise<Admission> {
    const now = Date.now()
    const quota = this.#count(now, request.limitPerMinute)
    if (quota.exceeded || !request.key || !request.fingerprint) return { quota, repetition: null }
    const repetition = this.#begin(request.key, request.fingerprint, now)
    if (repetition.kind === 'first') await this.#armAlarm()
    return { quota, repetition }
  }

  /** Keeps the answer of the first request with a key for repetition; null for one that cannot be repeated. */
  finish(key: string, answer: StoredAnswer | null): void {
    this.#sql.exec(
      `UPDATE idempotency SET state = ?, status = ?, content_type = ?, body = ? WHERE key = ?`,
      answer ? 'done' : 'unrepeatable',
      answer?.status ?? null,
      answer?.contentType ?? null,
      answer?.body ?? null,
      key,
    )
  }

  /** Forgets a key whose first request had no effect, so that a retry runs it again. */
  forget(key: string): void {
    this.#sql.exec('DELETE FROM idempotency WHERE key = ?', key)
  }

  /**
   * Reserves wei for a request if that much of the balance is free. Idempotent by request id.
   * `balance` is what the vault holds for the account less its pending withdrawal.
   */
  async hold(
    requestId: string,
    wei: bigint,
    balance: bigint,
  ): Promise<{ held: boolean; available: bigint }> {
    const available = balance - this.committed().total
    if (this.#sql.exec('SELECT 1 FROM holds WHERE request_id = ?', requestId).toArray().length > 0)
      return { held: true, available }
    if (available < wei) return { held: false, available }
    this.#put(requestId, 'held', wei)
    await this.#armAlarm()
    return { held: true, available: available - wei }
  }

  /** Replaces a request's hold by what it really costs; stays until an epoch has drawn it. Idempotent. */
  owe(requestId: string, feeWei: bigint): void {
    this.#put(requestId, 'owed', feeWei)
  }

  /** Drops holds and debts: of requests that failed, or whose fee an epoch has drawn from the vault. Idempotent. */
  release(requestIds: string[]): void {
    this.#sql.exec(
      'DELETE FROM holds WHERE request_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(requestIds),
    )
  }

  /** Wei that the account may not spend again: held for requests under way, and owed for answered ones. */
  committed(): { held: bigint; owed: bigint; total: bigint } {
    const sums = { held: 0n, owed: 0n }
    for (const row of this.#sql.exec<{ kind: string; wei: string }>(
      `SELECT kind, wei FROM holds WHERE kind = 'owed' OR created_at > ?`,
      Date.now() - HOLD_MS,
    ))
      sums[row.kind === 'owed' ? 'owed' : 'held'] += BigInt(row.wei)
    return { ...sums, total: sums.held + sums.owed }
  }

  /** Forgets answers older than a day and holds of dead requests, which would be read with every sum for ever. */
  override async alarm(): Promise<void> {
    const now = Date.now()
    this.#sql.exec('DELETE FROM idempotency WHERE created_at <= ?', now - IDEMPOTENCY_MS)
    this.#sql.exec(`DELETE FROM holds WHERE kind = 'held' AND created_at <= ?`, now - HOLD_MS)
    await this.#armAlarm(now + LEAST_ALARM_MS)
  }

  /**
   * Has the alarm come when the oldest of what expires does, unless it is set. One that is set comes within a day, which is
   * soon enough for a hold: no sum counts it any more.
   */
  async #armAlarm(soonest = Date.now()): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) !== null) return
    const [next] = this.#sql
      .exec<{ at: number | null }>(
        `SELECT min(at) AS at FROM (
           SELECT min(created_at) + ? AS at FROM idempotency
           UNION ALL SELECT min(created_at) + ? FROM holds WHERE kind = 'held'
         )`,
        IDEMPOTENCY_MS,
        HOLD_MS,
      )
      .toArray()
    if (next?.at) await this.ctx.storage.setAlarm(Math.max(next.at, soonest))
  }

  #put(requestId: string, kind: 'held' | 'owed', wei: bigint): void {
    this.#sql.exec(
      `INSERT INTO holds (request_id, kind, wei, created_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (request_id) DO UPDATE SET kind = excluded.kind, wei = excluded.wei`,
      requestId,
      kind,
      wei.toString(),
      Date.now(),
    )
  }

  #count(now: number, limit: number): Quota {
    if (now - this.#window.startedAt >= QUOTA_WINDOW_MS) this.#window = { startedAt: now, count: 0 }
    this.#window.count++
    return {
      limit,
      remaining: Math.max(0, limit - this.#window.count),
      resetSeconds: Math.ceil((this.#window.startedAt + QUOTA_WINDOW_MS - now) / 1_000),
      exceeded: this.#window.count > limit,
    }
  }

  #begin(key: string, fingerprint: string, now: number): Repetition {
    const [row] = this.#sql
      .exec<{
        fingerprint: string
        state: string
        status: number | null
        content_type: string | null
        body: string | null
        created_at: number
      }>('SELECT * FROM idempotency WHERE key = ?', key)
      .toArray()
    const age = row ? now - row.created_at : Infinity
    if (!row || age >= IDEMPOTENCY_MS || (row.state === 'running' && age >= IN_FLIGHT_MS)) {
      this.#sql.exec(
        `INSERT OR REPLACE INTO idempotency (key, fingerprint, state, created_at) VALUES (?, ?, 'running', ?)`,
        key,
        fingerprint,
        now,
      )
      return { kind: 'first' }
    }
    if (row.fingerprint !== fingerprint) return { kind: 'mismatch' }
    if (row.state === 'running') return { kind: 'in-flight' }
    if (row.state === 'unrepeatable') return { kind: 'not-replayable' }
    return {
      kind: 'replay',
      answer: {
        status: row.status ?? 200,
        contentType: row.content_type ?? 'application/json',
        body: row.body ?? '',
      },
    }
  }
}
