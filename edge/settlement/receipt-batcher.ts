import { DurableObject } from 'cloudflare:workers'
import type { Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import { log } from '../log.ts'
import { settingsOf, type Env } from '../env.ts'
import type { Settlement } from './build-epoch.ts'
import { isStep, readmitSolvent, STEPS, takeNextEpoch } from './epoch-steps.ts'
import { answerDemands } from './demands.ts'
import { followEpochs } from './standing.ts'
import { forgetArchivedWords } from './archive.ts'
import { openEpochStore } from './epoch-store.ts'
import type { ArchivedAt, EpochRow, InboxRow, StoredReceipt } from './epoch-tables.ts'

const MIN_BACKOFF_MS = 500
const MAX_BACKOFF_MS = 30_000
/** How often what became of epochs on chain is looked at: while they settle, and while only their window passes. */
const FOLLOW_MS = 1_000
const WINDOW_FOLLOW_MS = 15_000

/** The one batcher of a deployment. */
export const receiptBatcher = ({ RECEIPTS }: Pick<Env, 'RECEIPTS'>) => RECEIPTS.getByName('epochs')

/**
 * Takes receipts from the inboxes and settles them in epochs, one after the other; the alarm alone moves them to the
 * chain, and to the archive once their epoch is final, so that what lies here is what a window takes. The alarm never
 * throws and always sets itself again while anything is left: the platform gives up on an alarm after six failures.
 */
export class ReceiptBatcher extends DurableObject<Env> {
  readonly #store = openEpochStore(this.ctx.storage)
  /** Failures in a row to close an epoch, and when to try again. Forgetting them in a restart is fine. */
  #build: BuildFailure = NO_FAILURE
  /** When to look at the epochs on chain again, and what the last look failed with; forgotten in a restart. */
  #followAt = 0
  #followError: string | null = null
  /** Block from which demands are looked for; null begins with the oldest pending epoch, as after a restart. */
  #demandsFrom: bigint | null = null
  /** Payer that was set aside and looked at last; null begins with the first, as after a restart. */
  #insolventAfter: Hex | null = null

  /** Takes receipts of an inbox (`ReceiptInbox`), each once. */
  async receive(inbox: string, rows: InboxRow[]): Promise<void> {
    for (const requestId of this.#store.receive(inbox, rows))
      log('error', { during: 'ReceiptBatcher', requestId, refused: 'it has another receipt' })
    await this.#wake(this.#dueAt())
  }

  /** A receipt with its explanation and epoch; null when it is not here yet, or in the archive. */
  receipt(requestId: Hex): StoredReceipt | null {
    return this.#store.receipt(requestId)
  }

  /** Where in the archive a receipt is; null when it is not there. */
  archivedAt(requestId: Hex): ArchivedAt | null {
    return this.#store.archivedAt(requestId)
  }

  /** Which of these requests have a receipt that is final, and which one that is not; the others have none. */
  finality(requestIds: Hex[]): { open: Hex[]; final: Hex[] } {
    return {
      open: requestIds.filter((id) => this.#store.isOpen(id)),
      final: requestIds.filter((id) => this.#store.archivedAt(id)),
    }
  }

  /** Drops the answers' words from the explanations of these requests. */
  async forgetWords(requestIds: Hex[]): Promise<void> {
    this.#store.forgetWords(requestIds)
    const archived = requestIds.flatMap((requestId) => {
      const at = this.#store.archivedAt(requestId)
      return at ? [{ ...at, requestId }] : []
    })
    await forgetArchivedWords(this.env, archived)
  }

  /** Wei that all epochs so far, settled or under way, have credited to an account. */
  credited(account: Hex): bigint {
    return this.#store.payout(account)
  }

  epoch(epoch: number): EpochRow | null {
    return this.#store.epoch(epoch)
  }

  /** Epochs below `before`, newest first, at most `limit`. */
  epochs(limit: number, before: number): EpochRow[] {
    return this.#store.newest(limit, before)
  }

  /** What waits, and what keeps it from being settled. */
  state(): { waiting: number; lastEpoch: number; error: string | null; insolvent: Hex[] } {
    return {
      waiting: this.#store.waiting().count,
      lastEpoch: this.#store.lastEpoch(),
      error: this.#build.error ?? this.#store.unsettled()?.error ?? this.#followError,
      insolvent: this.#store.insolvent(),
    }
  }

  /**
   * Keeps a receipt that was proven wrong out of every epoch to come, and lets its payer off. When an epoch has it
   * already, that epoch has to be disabled on chain first; what is settled for good stays. Idempotent.
   */
  async refuse(requestId: Hex, reason: string): Promise<void> {
    const refused = this.#store.refuse(requestId, reason)
    if (refused && refused.epoch === null)
      await this.env.ACCOUNT.getByName(refused.accountId).release([requestId])
  }

  /** Looks at an epoch's transaction again: the ChainWriter has told its outcome. */
  async transactionEnded(epoch: number): Promise<void> {
    const row = this.#store.epoch(epoch)
    if (row?.state === 'submitted') this.#store.set(epoch, { next_at: 0 })
    this.#followAt = 0
    await this.#wake(Date.now())
  }

  /** Runs soon: the sweep's remedy for an alarm that the platform gave up on. */
  async poke(): Promise<void> {
    await this.#wake(Date.now())
  }

  override async alarm(): Promise<void> {
    try {
      await this.#work()
    } catch (error) {
      log('error', { during: 'ReceiptBatcher', error })
    }
    const next = this.#nextAt()
    if (next !== null) await this.#wake(Math.max(next, Date.now() + 1))
  }

  async #work(): Promise<void> {
    const settlement = { env: this.env, settings: settingsOf(this.env), store: this.#store }
    await this.#readmit(settlement)
    while (await this.#settleOne(settlement));
    await this.#follow(settlement)
  }

  /** Nobody's receipts wait for those of payers that were set aside. */
  async #readmit(settlement: Settlement): Promise<void> {
    try {
      this.#insolventAfter = await readmitSolvent(settlement, this.#insolventAfter)
    } catch (error) {
      log('warn', { during: 'settlement', error })
    }
  }

  /** Looks at what became of the epochs that are on chain. */
  async #follow(settlement: Settlement): Promise<void> {
    if (this.#followAt > Date.now()) return
    try {
      await followEpochs(settlement)
      this.#demandsFrom = await answerDemands(settlement, this.#demandsFrom)
      this.#followError = null
    } catch (error) {
      this.#followError = messageOf(error, 500)
      log('warn', { during: 'settlement', error })
    }
    const now = Date.now()
    const changes = this.#store.followAt() ?? Infinity
    this.#followAt = Math.min(Math.max(changes, now + FOLLOW_MS), now + WINDOW_FOLLOW_MS)
  }

  /** Moves the unsettled epoch one step, or closes the next one; false when there is nothing to do now. */
  async #settleOne(settlement: Settlement): Promise<boolean> {
    const row = this.#store.unsettled()
    if (row) return this.#step(settlement, row)
    if (Math.max(this.#dueAt(), this.#build.nextAt) > Date.now()) return false
    try {
      await takeNextEpoch(settlement)
      return this.#store.unsettled() !== null
    } catch (error) {
      this.#buildFailed(error)
      return false
    }
  }

  #buildFailed(error: unknown): void {
    const failures = this.#build.failures + 1
    this.#build = {
      failures,
      nextAt: Date.now() + backoffMs(failures),
      error: messageOf(error, 500),
    }
    log('warn', { during: 'settlement', failures, error })
  }

  /** Runs a step that is due; true when the epoch may have another one due. */
  async #step(settlement: Settlement, row: EpochRow): Promise<boolean> {
    if (!isStep(row.state) || row.next_at > Date.now()) return false
    try {
      await STEPS[row.state](settlement, row)
      if (this.#store.epoch(row.epoch)?.state === 'settled') this.#build = NO_FAILURE
      return true
    } catch (error) {
      if (!this.#store.epoch(row.epoch)) {
        this.#buildFailed(error) // the chain refused it and its receipts wait again
        return false
      }
      const tries = row.tries + 1
      log('warn', { during: 'settlement', epoch: row.epoch, state: row.state, tries, error })
      this.#store.set(row.epoch, {
        tries,
        next_at: Date.now() + backoffMs(tries),
        error: messageOf(error, 500),
      })
      return false
    }
  }

  /** When the waiting receipts make an epoch; Infinity when none waits. */
  #dueAt(): number {
    const { EPOCH_SECONDS, EPOCH_MAX_RECEIPTS } = settingsOf(this.env)
    const { count, since } = this.#store.waiting()
    if (since === null) return Infinity
    return count >= EPOCH_MAX_RECEIPTS ? 0 : since + EPOCH_SECONDS * 1_000
  }

  #nextAt(): number | null {
    const unsettled = this.#store.unsettled()
    const times = [
      unsettled ? unsettled.next_at : Math.max(this.#dueAt(), this.#build.nextAt),
      this.#store.followAt() === null ? Infinity : this.#followAt,
      this.#insolventAfter === null ? Infinity : Date.now() + FOLLOW_MS, // until all had their turn
    ]
    const next = Math.min(...times)
    return next === Infinity ? null : next
  }

  async #wake(at: number): Promise<void> {
    if (at === Infinity) return
    const set = await this.ctx.storage.getAlarm()
    if (set === null || set > at) await this.ctx.storage.setAlarm(Math.max(at, Date.now()))
  }
}

type BuildFailure = { failures: number; nextAt: number; error: string | null }
const NO_FAILURE: BuildFailure = { failures: 0, nextAt: 0, error: null }

const backoffMs = (failures: number) => Math.min(MIN_BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS)
