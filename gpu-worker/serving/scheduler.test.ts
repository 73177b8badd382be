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
    const ranks = new Map(running.map(({ job }) => [job.adapter, job.rank ?? 0]))
    widest = Math.max(
      widest,
      [...ranks.values()].reduce((sum, rank) => sum + rank, 0),
    )
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

test('an adapter that is in the batch goes first, until another request has waited too long', () => {
  const scheduler = open({ running: 2, rankSum: 8, ageMs: 100 })
  const [x1, y, x2, x3] = [lora('x'), lora('y'), lora('x'), lora('x')]
  for (const one of [x1, y, x2, x3]) scheduler.submit(one, 0)
  assert.equal(scheduler.next(0), x1)
  assert.equal(scheduler.next(1), x2)
  scheduler.finish(x1, 50)
  scheduler.finish(x2, 50)
  // Nothing runs any more, so the oldest goes; the same adapter would have gone first.
  assert.equal(scheduler.next(50), y)
  assert.equal(scheduler.next(50), null) // x does not fit beside y
  assert.equal(scheduler.load().deferrals, 2)
  scheduler.finish(y, 60)
  assert.equal(scheduler.next(60), x3)
})

test('a request that has waited too long stops younger ones of the adapters in the batch, not the bare base', () => {
  const scheduler = open({ running: 3, rankSum: 8, ageMs: 100 })
  const running = lora('x')
  scheduler.submit(running, 0)
  assert.equal(scheduler.next(0), running)
  const old = lora('y', { submitted: 1 })
  scheduler.submit(old, 1)
  const young = lora('x')
  const bare = job()
  scheduler.submit(young, 90)
  scheduler.submit(bare, 90)
  assert.equal(scheduler.next(150), bare)
  assert.equal(scheduler.next(150), null)
  scheduler.finish(running, 160)
  assert.equal(scheduler.next(160), old)
})

test('under Zipf load over 500 adapters every request is served, and none waits long past its age', () => {
  const random = randomSource(7)
  const weights = Array.from({ length: 500 }, (_, i) => 1 / (i + 1))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const zipf = () => {
    let left = random() * total
    return weights.findIndex((weight) => (left -= weight) < 0)
  }
  // 95 % load: 16 rows, 20 tokens an answer.
  const arrivals = Array.from({ length: 3_000 }, (_, i) =>
    lora(`adapter ${zipf()}`, { submitted: i / 0.76, outputTokens: 20, payer: `p${i % 7}` }),
  )
  const ageMs = 200
  const { served, widest, now } = simulate(arrivals, { running: 16, rankSum: 64, ageMs })
  assert.equal(served.length, arrivals.length)
  assert.ok(widest <= 64)
  const waits = served
    .map(({ started, submitted }) => started! - submitted)
    .toSorted((a, b) => a - b)
  // Without ageing the rare adapters wait; with it the batch stays as full.
  const never = simulate(arrivals, { running: 16, rankSum: 64, ageMs: Infinity })
  const worst = Math.max(...never.served.map(({ started, submitted }) => started! - submitted))
  assert.ok(
    waits.at(-1)! < 2.5 * ageMs && worst > 3 * ageMs,
    `${waits.at(-1)} with ageing, ${worst} without`,
  )
  assert.ok(now <= 1.02 * never.now, `${now} ms, ${never.now} without ageing`)
})

test('wide adapters are not starved by narrow ones, and one too wide for the sum runs alone', () => {
  const narrow = Array.from({ length: 600 }, (_, i) => lora(`n${i % 30}`, { submitted: i }))
  const wide = Array.from({ length: 5 }, (_, i) =>
    lora('wide', { rank: 200, submitted: 20 + 100 * i, payer: 'other' }),
  )
  const { served, widest } = simulate([...narrow, ...wide], { rankSum: 64, ageMs: 50 })
  assert.equal(widest, 200)
  for (const one of served.filter(({ adapter }) => adapter === 'wide'))
    assert.ok(one.started! - one.submitted < 150, `waited ${one.started! - one.submitted}`)
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
