/**
 * Decides which waiting request joins the running batch next, and which is not let in at all.
 *
 * Fair across payers by a virtual token counter (VTC, Sheng et al. 2024, arXiv 2401.00588): every payer's counter
 * grows by INPUT_WEIGHT per prompt token and OUTPUT_WEIGHT per generated token, the smallest goes first, and a
 * newcomer's is lifted to the smallest among those that wait, so that idling earns no credit. A payer's requests go in
 * order of arrival. The ranks of a batch are capped, because its slots are as wide as its widest adapter; a request
 * that does not fit is passed by those that do until it has waited for `ageMs`, then they wait for it, so nothing waits
 * for ever. Requests of one adapter are not gathered (S-LoRA's clustering): a row's cost here does not depend on what
 * its neighbours use.
 *
 * Pure: time comes in as an argument.
 */

/** A request as the scheduler sees it. */
export type Ticket = {
  readonly payer: string
  /** Null is the bare base. */
  readonly adapter: string | null
  readonly promptTokens: number
  /** Rank of the adapter, 0 for the base; null while the adapter is being loaded. */
  rank: number | null
}

export type SchedulerLimits = {
  /** Requests that run at once. */
  running: number
  /** Rows times the widest rank; one adapter alone may exceed it, because its rows share a slot. */
  rankSum: number
  waiting: number
  waitingPerPayer: number
  /** After so long in the queue a request is passed by no other. */
  ageMs: number
}

export const DEFAULT_LIMITS: SchedulerLimits = {
  running: 16,
  rankSum: 512, // of the embedded base 57 MB, which every step reads
  waiting: 256,
  waitingPerPayer: 64,
  ageMs: 1_000,
}

/** Weights of OpenAI's usual price ratio, as in the VTC paper. */
export const INPUT_WEIGHT = 1
export const OUTPUT_WEIGHT = 2

/** Why a request is not let in: its payer, or everybody, has too many waiting. */
export type Refusal = { reason: 'payer' | 'full'; retryAfterSeconds: number }

export type SchedulerLoad = {
  active: number
  waiting: number
  /** Adapters of running and of waiting requests. */
  running: string[]
  queued: string[]
  /** Requests that had no room under the cap on ranks when it was their turn. */
  deferrals: number
}

export type Scheduler<T extends Ticket> = {
  /** Queues a request; a refusal changes nothing. */
  submit: (ticket: T, nowMs: number) => Refusal | null
  /** Takes the next request that may run, or null. Its prompt is charged. */
  next: (nowMs: number) => T | null
  /** Charges generated tokens to a request's payer. */
  charge: (ticket: T, outputTokens: number) => void
  /** A running request has ended. */
  finish: (ticket: T, nowMs: number) => void
  /** Takes a waiting request out; false when it does not wait. */
  withdraw: (ticket: T) => boolean
  waiting: () => T[]
  load: () => SchedulerLoad
}

type Waiting<T> = { ticket: T; since: number; deferred: boolean }
/** A payer with waiting or running requests, or one whose counter is still ahead. */
type Payer<T> = { counter: number; queue: Waiting<T>[]; running: number }

const MOST_RETRY_SECONDS = 60

/** An empty scheduler. */
export function createScheduler<T extends Ticket>(
  limits: SchedulerLimits = DEFAULT_LIMITS,
): Scheduler<T> {
  const payers = new Map<string, Payer<T>>()
  const running = new Map<string | null, { requests: number; rank: number }>()
  const drain = drainRate()
  let active = 0
  let waiting = 0
  let deferrals = 0
  let lastLeft = 0 // counter of the payer that last had nothing waiting any more

  const backlogged = () => [...payers.values()].filter(({ queue }) => queue.length > 0)
  /** Forgets payers whose counter a newcomer would be lifted to anyway. */
  const forget = (): void => {
    const floor = Math.min(...backlogged().map(({ counter }) => counter), lastLeft)
    for (const [name, { counter, queue, running }] of payers)
      if (queue.length === 0 && running === 0 && counter <= floor) payers.delete(name)
  }
  const fits = ({ adapter, rank }: T): boolean => {
    const isShared = running.size === 0 || (running.size === 1 && running.has(adapter))
    const widest = Math.max(rank ?? 0, ...[...running.values()].map((used) => used.rank))
    return isShared || (active + 1) * widest <= limits.rankSum
  }
  const isReady = ({ ticket }: Waiting<T>): boolean => ticket.rank !== null
  const isAged = ({ since }: Waiting<T>, nowMs: number): boolean => nowMs - since >= limits.ageMs

  const take = (payer: Payer<T>, chosen: Waiting<T>): T => {
    const { ticket } = chosen
    payer.queue.splice(payer.queue.indexOf(chosen), 1)
    waiting--
    payer.running++
    payer.counter += INPUT_WEIGHT * ticket.promptTokens
    if (payer.queue.length === 0) lastLeft = Math.max(lastLeft, payer.counter)
    active++
    const used = running.get(ticket.adapter)
    running.set(ticket.adapter, {
      requests: (used?.requests ?? 0) + 1,
      rank: used?.rank ?? ticket.rank ?? 0,
    })
    return ticket
  }
  const defer = (passed: Waiting<T>): void => {
    if (passed.deferred) return
    passed.deferred = true
    deferrals++
  }

  const choose = (nowMs: number): { payer: Payer<T>; entry: Waiting<T> } | null => {
    // The payer with the smallest counter first.
    for (const payer of backlogged().toSorted((a, b) => a.counter - b.counter))
      for (const entry of payer.queue.filter(isReady)) {
        if (fits(entry.ticket)) return { payer, entry }
        defer(entry)
        if (isAged(entry, nowMs)) return null // the batch shrinks until it fits
      }
    return null
  }

  return {
    submit: (ticket, nowMs) => {
      const known = payers.get(ticket.payer)
      const mine = known?.queue.length ?? 0
      const retryAfterSeconds = (ahead: number) =>
        Math.min(MOST_RETRY_SECONDS, Math.max(1, Math.ceil(ahead / drain.perSecond(nowMs))))
      if (waiting >= limits.waiting)
        return { reason: 'full', retryAfterSeconds: retryAfterSeconds(waiting) }
      if (mine >= limits.waitingPerPayer)
        return { reason: 'payer', retryAfterSeconds: retryAfterSeconds(mine) }
      if (mine === 0) {
        const others = backlogged().map(({ counter }) => counter)
        const lift = others.length > 0 ? Math.min(...others) : lastLeft
        const counter = Math.max(known?.counter ?? 0, lift)
        payers.set(ticket.payer, { queue: [], running: 0, ...known, counter })
      }
      payers.get(ticket.payer)?.queue.push({ ticket, since: nowMs, deferred: false })
      waiting++
      return null
    },
    next: (nowMs) => {
      if (active >= limits.running) return null
      const chosen = choose(nowMs)
      return chosen && take(chosen.payer, chosen.entry)
    },
    charge: ({ payer }, outputTokens) => {
      const known = payers.get(payer)
      if (known) known.counter += OUTPUT_WEIGHT * outputTokens
    },
    finish: (ticket, nowMs) => {
      active--
      drain.count(nowMs)
      const used = running.get(ticket.adapter)
      if (used && used.requests > 1) used.requests--
      else running.delete(ticket.adapter)
      const payer = payers.get(ticket.payer)
      if (payer) payer.running--
      forget()
    },
    withdraw: (ticket) => {
      const payer = payers.get(ticket.payer)
      const at = payer?.queue.findIndex((entry) => entry.ticket === ticket) ?? -1
      if (!payer || at < 0) return false
      payer.queue.splice(at, 1)
      waiting--
      if (payer.queue.length === 0) lastLeft = Math.max(lastLeft, payer.counter)
      forget()
      return true
    },
    waiting: () => backlogged().flatMap(({ queue }) => queue.map(({ ticket }) => ticket)),
    load: () => ({
      active,
      waiting,
      running: [...running.keys()].filter((adapter) => adapter !== null),
      queued: [
        ...new Set(
          backlogged().flatMap(({ queue }) => queue.flatMap(({ ticket }) => ticket.adapter ?? [])),
        ),
      ],
      deferrals,
    }),
  }
}

const DRAIN_WINDOW_MS = 30_000
const DRAIN_SAMPLES = 64

/** Requests that end per second, over the last half minute. */
function drainRate() {
  let ends: number[] = []
  return {
    count: (nowMs: number): void => {
      ends = [...ends.slice(1 - DRAIN_SAMPLES), nowMs]
    },
    perSecond: (nowMs: number): number => {
      const recent = ends.filter((end) => nowMs - end < DRAIN_WINDOW_MS)
      const [oldest] = recent
      // Nothing known yet: one a second, so that the answer is the length of the queue.
      if (oldest === undefined) return 1
      return (1_000 * recent.length) / Math.max(1_000, nowMs - oldest)
    },
  }
}
