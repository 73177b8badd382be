import assert from 'node:assert/strict'
import test from 'node:test'
import { randomSource } from '#engine/random.ts'
import {
  createScheduler,
  DEFAULT_LIMITS,
  INPUT_WEIGHT,
  OUTPUT_WEIGHT,
  type SchedulerLimits,
  type Ticket,
} from './scheduler.ts'

type Job = Ticket & { id: number; outputTokens: number; submitted: number; started?: number }

let nextId = 0
const job = (change: Partial<Job> = {}): Job => ({
  id: nextId++,
  payer: 'a',
  adapter: null,
  promptTokens: 10,
  rank: 0,
  outputTokens: 10,
  submitted: 0,
  ...change,
})
const lora = (adapter: string, change: Partial<Job> = {}) => job({ adapter, rank: 8, ...change })
const open = (change: Partial<SchedulerLimits> = {}) =>
  createScheduler<Job>({ ...DEFAULT_LIMITS, ...change })

/** Runs a batch of a token per row and millisecond until everything that arrives has been served. */
function simulate(arrivals: readonly Job[], limits: Partial<SchedulerLimits>, untilMs = Infinity) {
  const scheduler = open({ waiting: Infinity, waitingPerPayer: Infinity, ...limits })
  const todo = arrivals.toSorted((a, b) => a.submitted - b.submitted)
  const running: { job: Job; left: number }[] = []
  const served: Job[] = []
  const tokens = new Map<string, number>()
  let widest = 0
  let now = 0
  for (
    ;
    now < untilMs && (todo.length > 0 || running.length > 0 || scheduler.load().waiting > 0);
    now++
  ) {
    while (todo[0] && todo[0].submitted <= now) {
      const arrived = todo.shift()!
      assert.equal(scheduler.submit(arrived, now), null)
    }
    for (let next = scheduler.next(now); next; next = scheduler.next(now)) {
      next.started = now
      served.push(next)
      tokens.set(next.payer, (tokens.get(next.payer) ?? 0) + INPUT_WEIGHT * next.promptTokens)
      running.push({ job: next, left: next.outputTokens })
    }
    const isShared = new Set(running.map(({ job }) => job.adapter)).size === 1
    const rank = Math.max(0, ...running.map(({ job }) => job.rank ?? 0))
    widest = Math.max(widest, (isShared ? 1 : running.length) * rank)
    for (const row of running.toReversed()) {
      scheduler.charge(row.job, 1)
      tokens.set(row.job.payer, (tokens.get(row.job.payer) ?? 0) + OUTPUT_WEIGHT)
      if (--row.left > 0) continue
      running.splice(running.indexOf(row), 1)
      scheduler.finish(row.job, now)
    }
  }
  return { served, tokens, widest, now, scheduler }
}

test('two payers with full queues get equal service, however many requests each sends', () => {
  const flood = Array.from({ length: 400 }, () => job({ payer: 'flood' }))
  const modest = Array.from({ length: 60 }, () => job({ payer: 'modest' }))
  const { tokens } = simulate([...flood, ...modest], { running: 4 }, 250)
  const gap = Math.abs(tokens.get('flood')! - tokens.get('modest')!)
  // The paper's bound: twice the most that may be in the batch.
  assert.ok(gap <= 2 * 4 * (10 * INPUT_WEIGHT + 10 * OUTPUT_WEIGHT), `a gap of ${gap} tokens`)
})

test('long answers count: a payer of few long requests does not get more than one of many short ones', () => {
  const long = Array.from({ length: 100 }, () => job({ payer: 'long', outputTokens: 100 }))
  const short = Array.from({ length: 1000 }, () => job({ payer: 'short', outputTokens: 5 }))
  const { tokens } = simulate([...long, ...short], { running: 4 }, 1_000)
  const gap = Math.abs(tokens.get('long')! - tokens.get('short')!)
  assert.ok(gap <= 2 * 4 * (10 * INPUT_WEIGHT + 100 * OUTPUT_WEIGHT), `a gap of ${gap} tokens`)
})

test('a payer that was idle gets no credit for it, and one that is idle leaves its share to others', () => {
  const steady = Array.from({ length: 200 }, () => job({ payer: 'steady' }))
  const late = Array.from({ length: 100 }, () => job({ payer: 'late', submitted: 500 }))
  const { served, now } = simulate([...steady, ...late], { running: 2 })
  assert.equal(now, (300 * 10) / 2) // never a free place while somebody waits
  const after = served.filter(({ started }) => started! >= 500).slice(0, 40)
  const ofLate = after.filter(({ payer }) => payer === 'late').length
  assert.ok(ofLate >= 18 && ofLate <= 22, `${ofLate} of 40`)
})

test('a payer’s requests go in order of arrival, but one too wide for the batch lets others pass until it is old', () => {
  const scheduler = open({ running: 4, rankSum: 32, ageMs: 100 })
  const [first, wide, second, third] = [lora('x'), lora('w', { rank: 16 }), lora('y'), lora('z')]
  for (const one of [first, lora('x'), wide]) scheduler.submit(one, 0)
  assert.equal(scheduler.next(0), first)
  assert.equal(scheduler.next(0)?.adapter, 'x')
  assert.equal(scheduler.next(0), null) // three rows of rank 16
  for (const one of [second, third]) scheduler.submit(one, 1)
  assert.equal(scheduler.next(2), second)
  assert.equal(scheduler.load().deferrals, 1)
  assert.equal(scheduler.next(150), null) // third waits too: wide has grown old
  scheduler.finish(first, 150)
  scheduler.finish(second, 150)
  assert.equal(scheduler.next(150), wide)
  assert.equal(scheduler.next(150), null)
})

test('rows of one adapter run together however wide it is, and the bare base beside it is counted', () => {
  const scheduler = open({ running: 8, rankSum: 32, ageMs: 1_000 })
  const rows = Array.from({ length: 6 }, () => lora('w', { rank: 64 }))
  const bare = job()
  for (const one of [...rows, bare]) scheduler.submit(one, 0)
  for (const one of rows) assert.equal(scheduler.next(0), one)
  assert.equal(scheduler.next(0), null)
  for (const one of rows) scheduler.finish(one, 10)
  assert.equal(scheduler.next(10), bare)
})

/** 3,000 requests for 500 adapters by Zipf's law at 95 % load: 16 rows, 20 tokens an answer. */
function zipfArrivals(rankOf: (adapter: number) => number): Job[] {
  const random = randomSource(7)
  const weights = Array.from({ length: 500 }, (_, i) => 1 / (i + 1))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return Array.from({ length: 3_000 }, (_, i) => {
    let left = random() * total
    const adapter = weights.findIndex((weight) => (left -= weight) < 0)
    return lora(`adapter ${adapter}`, {
      rank: rankOf(adapter),
      submitted: i / 0.76,
      outputTokens: 20,
      payer: `p${i % 7}`,
    })
  })
}
const longestWait = (served: readonly Job[]) =>
  Math.max(...served.map(({ started, submitted }) => started! - submitted))

test('under Zipf load over 500 adapters every request is served, and the rare ones wait no longer', () => {
  const arrivals = zipfArrivals(() => 8)
  const { served, widest } = simulate(arrivals, { running: 16, rankSum: 128 })
  assert.equal(served.length, arrivals.length)
  assert.ok(widest <= 128)
  const anonymous = simulate(
    arrivals.map((one) => ({ ...one, adapter: null, rank: 0 })),
    { running: 16 },
  )
  assert.equal(longestWait(served), longestWait(anonymous.served))
})

test('wide adapters among narrow ones wait for their age and for the batch to shrink, not for a quiet hour', () => {
  const limits = { running: 16, rankSum: 128 }
  const waitOfWide = (ageMs: number) => {
    const arrivals = zipfArrivals((adapter) => (adapter % 50 === 49 ? 16 : 4))
    const { served, widest } = simulate(arrivals, { ...limits, ageMs })
    assert.equal(served.length, arrivals.length)
    assert.ok(widest <= limits.rankSum)
    return longestWait(served.filter(({ rank }) => rank === 16))
  }
  const [aged, ageless] = [waitOfWide(100), waitOfWide(Infinity)]
  assert.ok(aged < 3 * 100 && aged < ageless / 3, `${aged} ms with ageing, ${ageless} without`)
})

test('a request whose adapter is being loaded holds nobody up', () => {
  const scheduler = open()
  const loading = lora('cold', { rank: null })
  const ready = lora('warm')
  scheduler.submit(loading, 0)
  scheduler.submit(ready, 1)
  assert.equal(scheduler.next(5_000), ready)
  assert.equal(scheduler.next(5_000), null)
  loading.rank = 8
  assert.equal(scheduler.next(5_001), loading)
})

test('too many waiting requests are refused with the time that the queue takes to drain', () => {
  const scheduler = open({ running: 1, waiting: 5, waitingPerPayer: 3 })
  for (let i = 0; i < 3; i++) assert.equal(scheduler.submit(job(), 0), null)
  assert.deepEqual(scheduler.submit(job(), 0), { reason: 'payer', retryAfterSeconds: 3 })
  for (let i = 0; i < 2; i++) assert.equal(scheduler.submit(job({ payer: 'b' }), 0), null)
  assert.deepEqual(scheduler.submit(job({ payer: 'c' }), 0), {
    reason: 'full',
    retryAfterSeconds: 5,
  })
  // One ends every ten seconds: with five waiting, the last place is free in about fifty.
  for (const at of [10_000, 20_000]) {
    const next = scheduler.next(at)!
    scheduler.finish(next, at)
    scheduler.submit(job({ payer: next.payer }), at)
  }
  const refusal = scheduler.submit(job({ payer: 'c' }), 20_000)
  assert.deepEqual(refusal, { reason: 'full', retryAfterSeconds: 25 })
})

test('a withdrawn request frees its place in the queue', () => {
  const scheduler = open({ running: 1, waitingPerPayer: 2 })
  const [first, second, third] = [job(), job(), job()]
  for (const one of [first, second]) scheduler.submit(one, 0)
  assert.ok(scheduler.withdraw(first))
  assert.equal(scheduler.withdraw(first), false)
  assert.equal(scheduler.submit(third, 1), null)
  assert.deepEqual(scheduler.waiting(), [second, third])
  assert.equal(scheduler.next(2), second)
  assert.deepEqual(scheduler.load(), {
    active: 1,
    waiting: 1,
    running: [],
    queued: [],
    deferrals: 0,
  })
})
