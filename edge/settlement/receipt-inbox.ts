import { DurableObject } from 'cloudflare:workers'
import type { Hex } from '#protocol/bytes.ts'
import { encodeItem } from '#protocol/segments.ts'
import { indexAnswers } from '../datanets/dedup-store.ts'
import type { AnswerPrint } from '../datanets/pipeline/dedup-index.ts'
import { log } from '../log.ts'
import type { Env } from '../env.ts'
import {
  INBOXES,
  inboxName,
  storedReceipt,
  type InboxRow,
  type NewReceipt,
  type StoredReceipt,
} from './epoch-tables.ts'
import { receiptBatcher } from './receipt-batcher.ts'

/** A receipt waits so long for others to go with it; an epoch waits longer. */
const FORWARD_MS = 200
const MAX_ROWS = 500
const MAX_BYTES = 8 * 2 ** 20 // a call between objects carries 32 MiB at most
const MAX_BACKOFF_MS = 30_000

const SCHEMA = `
CREATE TABLE IF NOT EXISTS receipt (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, -- never given out twice: the batcher remembers up to where it has them
  request_id TEXT NOT NULL UNIQUE,
  account_id TEXT NOT NULL, payer TEXT NOT NULL, params_hash TEXT NOT NULL,
  signed TEXT NOT NULL, explanation TEXT NOT NULL, manifests TEXT NOT NULL, received_at INTEGER NOT NULL
);
-- Fingerprints of answers, on their way to the duplicate index of Datanets.
CREATE TABLE IF NOT EXISTS answer (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, windows TEXT NOT NULL, given_at INTEGER NOT NULL
);
`

type AnswerRow = { seq: number; windows: string; given_at: number }

type Inboxes = Pick<Env, 'INBOXES'>

/** The inbox of a request. */
export const receiptInbox = (env: Inboxes, requestId: Hex) =>
  env.INBOXES.getByName(inboxName(requestId))

/** Every inbox of a deployment. */
export const receiptInboxes = (env: Inboxes) =>
  Array.from({ length: INBOXES }, (_, i) => env.INBOXES.getByName(String(i)))

/**
 * A shard of the way in: receipts are in SQLite here before their caller sees the end of the answer, and go to the one
 * ReceiptBatcher in bulk. A row is deleted only once the batcher has it, and the batcher skips what it has: whoever
 * dies in between, a receipt gets there once. The answers' fingerprints go to D1 behind them, in the same way.
 */
export class ReceiptInbox extends DurableObject<Env> {
  #armed = false
  #failures = 0

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    ctx.storage.sql.exec(SCHEMA)
  }

  /** Takes a checked receipt. Idempotent by its request; throws when the request has another receipt here. */
  async append(receipt: NewReceipt): Promise<void> {
    const { signed, explanation: shown, accountId, manifests, answer } = receipt
    const { sql } = this.ctx.storage
    const { requestId, payer, paramsHash } = signed.receipt
    const text = encodeItem(signed)
    sql.exec(
      `INSERT OR IGNORE INTO receipt (request_id, account_id, payer, params_hash, signed, explanation, manifests,
         received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      requestId,
      accountId,
      payer,
      paramsHash,
      text,
      JSON.stringify(shown),
      JSON.stringify(manifests),
      Date.now(),
    )
    const kept = sql
      .exec<{ signed: string }>('SELECT signed FROM receipt WHERE request_id = ?', requestId)
      .one()
    if (kept.signed !== text) throw new Error(`request ${requestId} has another receipt already`)
    if (answer.windows.length > 0)
      sql.exec(
        'INSERT INTO answer (windows, given_at) VALUES (?, ?)',
        JSON.stringify(answer.windows),
        answer.givenAt,
      )
    if (this.#armed) return
    this.#armed = true
    await this.ctx.storage.setAlarm(Date.now() + FORWARD_MS)
  }

  /** A receipt that is not with the batcher yet. */
  receipt(requestId: Hex): StoredReceipt | null {
    const [row] = this.ctx.storage.sql
      .exec<InboxRow>('SELECT * FROM receipt WHERE request_id = ?', requestId)
      .toArray()
    return row ? storedReceipt(row, { epoch: null, position: null, refused: null }) : null
  }

  /** Forwards soon: the sweep's remedy for an alarm that the platform gave up on. */
  async poke(): Promise<void> {
    if (this.#isWaiting()) await this.ctx.storage.setAlarm(Date.now())
  }

  override async alarm(): Promise<void> {
    try {
      while (this.#isWaiting()) {
        for (let rows = this.#next(); rows.length > 0; rows = this.#next()) {
          await receiptBatcher(this.env).receive(this.ctx.id.toString(), rows)
          this.ctx.storage.sql.exec('DELETE FROM receipt WHERE seq <= ?', rows.at(-1)?.seq ?? 0)
        }
        const answers = this.#answers()
        await indexAnswers(this.env, answers.map(answerPrint))
        this.ctx.storage.sql.exec('DELETE FROM answer WHERE seq <= ?', answers.at(-1)?.seq ?? 0)
      }
      this.#armed = false
      this.#failures = 0
    } catch (error) {
      this.#failures++
      log('warn', { during: 'ReceiptInbox', failures: this.#failures, error })
      const backoff = Math.min(FORWARD_MS * 2 ** this.#failures, MAX_BACKOFF_MS)
      await this.ctx.storage.setAlarm(Date.now() + backoff)
    }
  }

  #isWaiting(): boolean {
    const any = 'SELECT 1 FROM receipt UNION ALL SELECT 1 FROM answer LIMIT 1'
    return this.ctx.storage.sql.exec(any).toArray().length > 0
  }

  /** The oldest rows, as many as one call carries, but at least one. */
  #next(): InboxRow[] {
    const rows: InboxRow[] = []
    let bytes = 0
    for (const row of this.ctx.storage.sql.exec<InboxRow>(
      'SELECT * FROM receipt ORDER BY seq LIMIT ?',
      MAX_ROWS,
    )) {
      bytes += row.signed.length + row.explanation.length * 3 // characters of an explanation are up to three bytes
      if (rows.length > 0 && bytes > MAX_BYTES) break
      rows.push(row)
    }
    return rows
  }

  #answers(): AnswerRow[] {
    return this.ctx.storage.sql
      .exec<AnswerRow>('SELECT * FROM answer ORDER BY seq LIMIT ?', MAX_ROWS)
      .toArray()
  }
}

const answerPrint = ({ windows, given_at }: AnswerRow): AnswerPrint => ({
  windows: JSON.parse(windows) as number[],
  givenAt: given_at,
})
