/**
 * Text generation for several requests at once. Every turn of the loop reads at most PREFILL_TOKENS of prompts, so that
 * a long one does not stall the answers under way, and then runs `decode` once over all of them, each with its own
 * adapter. Requests join when their prompt has been read and leave when they end. Runs in the inference thread,
 * because sessions block the thread that runs them.
 */
import { setImmediate } from 'node:timers/promises'
import { AdapterPack, rankOf } from '#engine/adapter-pack.ts'
import { KvCache } from '#engine/kv-cache.ts'
import type { LlamaConfig } from '#engine/models/config.ts'
import type { WeightPlace } from '#engine/programs/base.ts'
import { decodeProgram, prefillProgram } from '#engine/programs/generate.ts'
import { inFormat, type WeightFormat } from '#engine/quant.ts'
import { openSession, type SessionOptions } from '#engine/session.ts'
import { requireTensor, type TensorMap } from '#engine/tensor.ts'
import type { FormattedBase } from '../base-model.ts'
import type { AdapterSource } from './adapter-source.ts'
import {
  abort,
  finish,
  newRow,
  show,
  type Generation,
  type GenerationRequest,
  type Row,
} from './row.ts'
import {
  createScheduler,
  DEFAULT_LIMITS,
  type SchedulerLimits,
  type SchedulerLoad,
} from './scheduler.ts'
import { ServingError } from './serving-error.ts'
import { tokenRate } from './token-rate.ts'

/** A prompt that leaves no room for an answer. */
export class ContextLengthError extends RangeError {
  constructor(promptTokens: number, contextLength: number) {
    super(`the prompt has ${promptTokens} tokens, the model's context ${contextLength}`)
    this.name = 'ContextLengthError'
  }
}

export type Generator = {
  /**
   * Rejects with a ContextLengthError, a ServingError when too many requests wait, what `load` rejects with, or the
   * signal's reason when it aborts.
   */
  generate: (request: GenerationRequest) => Promise<Generation>
  load: () => SchedulerLoad & { tokensPerSecond: number }
  /** Frees the sessions; nothing may be generated any more. */
  release: () => Promise<void>
}

/** Tokens of prompts read between two steps of the answers under way. */
const PREFILL_TOKENS = 128
/** Limits of a caller that is its own only payer: everything may wait. */
const UNBOUNDED: SchedulerLimits = {
  ...DEFAULT_LIMITS,
  waiting: Infinity,
  waitingPerPayer: Infinity,
}

/** A prompt being read: what earlier chunks made is kept until the row joins the batch. */
type Reading = {
  row: Row
  read: number
  chunks: { outputs: TensorMap; index: number; count: number }[]
}

const isThrough = ({ row, read }: Reading): boolean => read === row.request.prompt.length

export type GeneratorOptions = SessionOptions & {
  /** How the base's matrices are held; as they are given when absent. Adapters stay float32. */
  readonly format?: WeightFormat | undefined
  /** Where the base lies, see `GenerateOptions`. */
  readonly place?: WeightPlace
  /**
   * Whether steps without any adapter have a program of their own, at the price of one more copy of the base: a quarter of
   * a small base's step goes into adapters, zeros too.
   */
  readonly withBare?: boolean
  readonly limits?: SchedulerLimits
}

/** Opens the sessions of a base model and starts the loop. Throws where a layer cannot be held in the format. */
export async function openGenerator(
  base: FormattedBase,
  {
    format = base.format,
    place = 'attached',
    withBare = false,
    limits = UNBOUNDED,
    ...session
  }: GeneratorOptions = {},
): Promise<Generator> {
  const { config, tokenizer } = base
  const parameters = inFormat(base, format)
  const isCpu = (session.provider ?? 'cpu') === 'cpu'
  const program = { format, activations: isCpu ? 'rounded' : 'exact', place } as const
  const prefill = await openSession(prefillProgram(config, program), parameters, session)
  const decode = await openSession(decodeProgram(config, program), parameters, session)
  const bareProgram = decodeProgram(config, { ...program, targets: [] })
  const decodeBare = withBare ? await openSession(bareProgram, parameters, session) : null
  const scheduler = createScheduler<Row>(limits)
  const cache = new KvCache(config)
  const active: Row[] = [] // row i of `cache` and of `adapters` belongs to active[i]
  const adapters = new AdapterPack(config)
  const prompts = new KvCache(config)
  const reading: Reading[] = [] // row i of `prompts` and of `promptAdapters` belongs to reading[i]
  const promptAdapters = new AdapterPack(config)
  const speed = tokenRate()
  let running = false

  /** Draws the next token of a row; answers true when the request has ended. */
  const draw = (row: Row, logits: Float32Array): boolean => {
    const { request, stream, drawn, sampler } = row
    const { token, logprobs } = sampler(logits)
    drawn.push(token)
    scheduler.charge(row, 1)
    speed.count(performance.now())
    // Any control token ends an answer: the next turn is not the model's to write.
    if (tokenizer.endTokens.has(token) || tokenizer.special.has(token)) {
      finish(row, 'stop', drawn.slice(0, -1))
      return true
    }
    if (logprobs) row.logprobs.push(logprobs)
    const text = stream.push(token)
    if (text !== '') show(row, text)
    if (stream.stopped) finish(row, 'stop', drawn)
    else if (drawn.length === request.maxTokens) finish(row, 'length', drawn)
    else return false
    return true
  }

  /** Takes a row out of the batch. The last one moves into its place, as the cache does it. */
  const leave = (index: number): Row => {
    const ended = takeOut(active, index)
    cache.remove(index)
    scheduler.finish(ended, performance.now())
    return ended
  }
  const stopReading = (index: number): Reading => {
    prompts.remove(index)
    return takeOut(reading, index)
  }

  /** Reads the next chunk of every prompt under way; prompts that are through join the batch. */
  const read = async (): Promise<void> => {
    const share = Math.max(1, Math.floor(PREFILL_TOKENS / reading.length))
    const counts = reading.map(({ row, read }) => Math.min(share, row.request.prompt.length - read))
    const time = Math.max(...counts)
    const tokens = new Int32Array(reading.length * time)
    const positions = new Int32Array(reading.length * time)
    reading.forEach(({ row, read }, index) => {
      for (let t = 0; t < (counts[index] ?? 0); t++) {
        tokens[index * time + t] = row.request.prompt[read + t] ?? 0
        positions[index * time + t] = read + t
      }
    })
    const outputs = await prefill.run({
      tokens: { dims: [reading.length, time], data: tokens },
      positions: { dims: [reading.length, time], data: positions },
      rows: {
        dims: [reading.length],
        data: Int32Array.from(counts, (count, index) => index * time + count - 1),
      },
      ...prompts.feeds(),
      ...promptAdapters.feeds(reading.map(({ row }) => row.loaded)),
    })
    reading.forEach((one, index) => {
      const count = counts[index] ?? 0
      one.chunks.push({ outputs, index, count })
      one.read += count
    })
    // A prompt of one chunk never enters the cache of prompts.
    if (!reading.every(isThrough)) prompts.append(0, outputs, counts)
    const logits = requireTensor(outputs, 'logits').data
    // From the last down, so that moving the last into a hole disturbs none still to be looked at.
    for (let index = reading.length - 1; index >= 0; index--) {
      const one = reading[index]
      if (!one || !isThrough(one)) continue
      stopReading(index)
      join(one, logits.subarray(index * config.vocab, (index + 1) * config.vocab))
    }
  }
  const join = ({ row, chunks }: Reading, logits: Float32Array): void => {
    const index = cache.add()
    active.push(row)
    for (const { outputs, index: from, count } of chunks)
      cache.append(index, rowOf(config, outputs, from), [count])
    if (draw(row, logits)) leave(index)
  }

  const step = async (): Promise<void> => {
    const feeds = {
      tokens: column(active.map(({ drawn }) => drawn.at(-1) ?? 0)),
      positions: column(active.map((_, row) => cache.length(row))),
      ...cache.feeds(),
    }
    const isBare = active.every(({ loaded }) => loaded === null)
    const outputs =
      isBare && decodeBare
        ? await decodeBare.run(feeds)
        : await decode.run({ ...feeds, ...adapters.feeds(active.map(({ loaded }) => loaded)) })
    const ones = active.map(() => 1)
    cache.append(0, outputs, ones)
    const { data } = requireTensor(outputs, 'logits')
    const ended = active.map((row, index) =>
      draw(row, data.subarray(index * config.vocab, (index + 1) * config.vocab)),
    )
    for (let index = ended.length - 1; index >= 0; index--) if (ended[index]) leave(index)
  }

  const endEarly = (): void => {
    for (let index = active.length - 1; index >= 0; index--) {
      const { signal, enough } = active[index]?.request ?? {}
      if (signal?.aborted) abort(leave(index))
      else if (enough?.aborted) {
        const row = leave(index)
        finish(row, 'stop', row.drawn)
      }
    }
    for (let index = reading.length - 1; index >= 0; index--) {
      const { signal, enough } = reading[index]?.row.request ?? {}
      if (!signal?.aborted && !enough?.aborted) continue
      const { row } = stopReading(index)
      scheduler.finish(row, performance.now())
      abort(row)
    }
  }
  const admit = (): void => {
    for (
      let row = scheduler.next(performance.now());
      row;
      row = scheduler.next(performance.now())
    ) {
      prompts.add()
      reading.push({ row, read: 0, chunks: [] })
    }
  }
  /** The caches may be half written: every request in them fails, the next ones start afresh. */
  const failAll = (error: unknown): void => {
    while (active.length > 0) leave(active.length - 1).settle.reject(error)
    while (reading.length > 0) {
      const { row } = stopReading(reading.length - 1)
      scheduler.finish(row, performance.now())
      row.settle.reject(error)
    }
  }

  const run = async (): Promise<void> => {
    running = true
    for (;;) {
      // Lets messages in, cancellations among them, and streamed text and adapters out.
      await setImmediate()
      endEarly()
      try {
        admit()
        if (reading.length + active.length === 0) break
        if (reading.length > 0) await read()
        if (active.length > 0) await step()
      } catch (error) {
        failAll(error)
      }
    }
    running = false
  }
  const wake = (): void => {
    if (!running) void run()
  }

  /** Fetches the adapter of a waiting row; the loop goes on meanwhile. */
  const prepare = async (row: Row, { load }: AdapterSource): Promise<void> => {
    try {
      row.loaded = await load()
      row.rank = rankOf(config, row.loaded)
      wake()
    } catch (error) {
      if (scheduler.withdraw(row)) row.settle.reject(error)
    }
  }

  return {
    generate: async (request) => {
      request.signal.throwIfAborted()
      request.enough?.throwIfAborted()
      const room = base.contextLength - request.prompt.length
      if (room < 1) throw new ContextLengthError(request.prompt.length, base.contextLength)
      const row = newRow(request, { tokenizer, room })
      const refusal = scheduler.submit(row, performance.now())
      if (refusal) {
        const [code, who] =
          refusal.reason === 'payer'
            ? (['request/quota', 'of this payer '] as const)
            : (['model/unavailable', ''] as const)
        throw new ServingError(code, `too many requests ${who}are waiting`, {
          retryAfterSeconds: refusal.retryAfterSeconds,
        })
      }
      // A request that waits has no row to be looked at: it leaves the queue at once.
      const withdraw = () => {
        if (scheduler.withdraw(row)) abort(row)
      }
      const signals = [request.signal, request.enough].filter((signal) => signal !== undefined)
      for (const signal of signals) signal.addEventListener('abort', withdraw, { once: true })
      if (row.source) void prepare(row, row.source)
      else wake()
      return row.settle.promise.finally(() => {
        for (const signal of signals) signal.removeEventListener('abort', withdraw)
      })
    },
    load: () => ({ ...scheduler.load(), tokensPerSecond: speed.perSecond(performance.now()) }),
    release: async () => {
      await Promise.all([prefill.release(), decode.release(), decodeBare?.release()])
    },
  }
}

/** One row of a prefill's new keys and values, as views. */
function rowOf(config: LlamaConfig, outputs: TensorMap, index: number): TensorMap {
  const row = new Map()
  for (const [name, { dims, data }] of outputs) {
    if (dims.length !== 4) continue // the logits
    const size = data.length / (dims[0] ?? 1)
    row.set(name, {
      dims: [1, ...dims.slice(1)],
      data: data.subarray(index * size, (index + 1) * size),
    })
  }
  return row
}

/** Takes an element out; the last one moves into its place. */
function takeOut<T>(list: T[], index: number): T {
  const taken = list[index]
  const last = list.pop()
  if (taken === undefined || last === undefined) throw new Error(`there is no row ${index}`)
  if (index < list.length) list[index] = last
  return taken
}

const column = (values: readonly number[]) => ({
  dims: [values.length, 1],
  data: Int32Array.from(values),
})
