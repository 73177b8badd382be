/**
 * Text generation for several requests at once: every step of the loop runs `decode` once over all active requests,
 * each with its own adapter; requests join after their prompt's `prefill` and leave when they end. Runs in the
 * inference thread, because sessions block the thread that runs them.
 */
import { packAdapters, type Adapter, type AdapterPack } from '#engine/adapter-pack.ts'
import { KvCache } from '#engine/kv-cache.ts'
import { decodeProgram, prefillProgram } from '#engine/programs/generate.ts'
import { randomSource } from '#engine/random.ts'
import { openSession, type SessionOptions } from '#engine/session.ts'
import { requireTensor } from '#engine/tensor.ts'
import type { BaseModel } from '../base-model.ts'
import { sample, type Sampling } from './sampling.ts'
import { textStream, type TextStream } from './text-stream.ts'

export type GenerationRequest = {
  prompt: readonly number[]
  adapter: Adapter | null
  sampling: Sampling
  seed: number
  stop: readonly string[]
  maxTokens: number
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal
  onText: (text: string) => void
}

export type Generation = {
  finishReason: 'stop' | 'length'
  /** Tokens drawn, an ending control token included: what is paid for. */
  completionTokens: number
  text: string
  /** The tokens of `text`, with the length of the text up to and with each, in UTF-16 code units. */
  tokens: number[]
  ends: number[]
}

/** A prompt that leaves no room for an answer. */
export class ContextLengthError extends RangeError {
  constructor(promptTokens: number, contextLength: number) {
    super(`the prompt has ${promptTokens} tokens, the model's context ${contextLength}`)
    this.name = 'ContextLengthError'
  }
}

export type Generator = {
  /** Rejects with a ContextLengthError, or with the signal's reason when it aborts. */
  generate: (request: GenerationRequest) => Promise<Generation>
  /** Requests being generated, and waiting. */
  load: () => { active: number; waiting: number }
  /** Frees the sessions; nothing may be generated any more. */
  release: () => Promise<void>
}

/** Requests decoded together; a step's cost grows with them. */
const MOST_ACTIVE = 8

type Active = {
  request: GenerationRequest
  random: () => number
  stream: TextStream
  drawn: number[]
  settle: PromiseWithResolvers<Generation>
}

/** Opens the sessions of a base model and starts the loop. */
export async function openGenerator(base: BaseModel, options: SessionOptions): Promise<Generator> {
  const { config, parameters, tokenizer } = base
  const prefill = await openSession(prefillProgram(config), parameters, options)
  const decode = await openSession(decodeProgram(config), parameters, options)
  const cache = new KvCache(config)
  const waiting: Active[] = []
  const active: Active[] = [] // row i of the cache belongs to active[i]
  let pack: { members: Adapter[]; feeds: AdapterPack } = {
    members: [],
    feeds: packAdapters(config, []),
  }
  let running = false

  /** Packs the adapters in use; the same set is packed once. */
  const packFor = (requests: readonly Active[]): AdapterPack => {
    const members = [...new Set(requests.flatMap(({ request }) => request.adapter ?? []))]
    const isSame =
      members.length === pack.members.length &&
      members.every((adapter) => pack.members.includes(adapter))
    if (!isSame) pack = { members, feeds: packAdapters(config, members) }
    return pack.feeds
  }
  const maskOf = (feeds: AdapterPack, requests: readonly Active[]) =>
    feeds.mask(
      requests.map(({ request }) =>
        request.adapter ? pack.members.indexOf(request.adapter) : null,
      ),
    )

  /** Takes a request out. The last one moves into its row, as the cache does it. */
  const leave = (row: number): Active => {
    const ended = active[row]
    const last = active.pop()
    if (!ended || !last) throw new Error(`no request in row ${row}`)
    if (ended !== last) active[row] = last
    cache.remove(row)
    return ended
  }

  /** Draws the next token of a row; answers true when the request has ended. */
  const draw = (one: Active, logits: Float32Array): boolean => {
    const { request, stream, drawn } = one
    const token = sample(logits, request.sampling, one.random)
    drawn.push(token)
    // Any control token ends an answer: the next turn is not the model's to write.
    if (tokenizer.endTokens.has(token) || tokenizer.special.has(token)) {
      finish(one, 'stop', drawn.slice(0, -1))
      return true
    }
    const text = stream.push(token)
    if (text !== '') request.onText(text)
    if (stream.stopped) finish(one, 'stop', drawn)
    else if (drawn.length === request.maxTokens) finish(one, 'length', drawn)
    else return false
    return true
  }

  const admit = async (one: Active): Promise<void> => {
    const { prompt } = one.request
    const row = cache.add()
    active.push(one)
    const feeds = packFor(active)
    const outputs = await prefill.run({
      tokens: grid(prompt),
      positions: grid(prompt.map((_, i) => i)),
      rows: { dims: [1], data: Int32Array.of(prompt.length - 1) },
      ...cache.feeds(row, row + 1),
      ...feeds.feeds,
      mask: maskOf(feeds, [one]),
    })
    cache.append(row, outputs, [prompt.length])
    if (draw(one, requireTensor(outputs, 'logits').data)) leave(row)
  }

  const step = async (): Promise<void> => {
    const feeds = packFor(active)
    const outputs = await decode.run({
      tokens: column(active.map(({ drawn }) => drawn.at(-1) ?? 0)),
      positions: column(active.map((_, row) => cache.length(row))),
      ...cache.feeds(),
      ...feeds.feeds,
      mask: maskOf(feeds, active),
    })
    cache.append(
      0,
      outputs,
      active.map(() => 1),
    )
    const { data } = requireTensor(outputs, 'logits')
    const ended = active.map((one, row) =>
      draw(one, data.subarray(row * config.vocab, (row + 1) * config.vocab)),
    )
    // From the last row down, so that moving the last row into a hole disturbs no row still to be looked at.
    for (let row = ended.length - 1; row >= 0; row--) if (ended[row]) leave(row)
  }

  const dropAborted = (): void => {
    for (let row = active.length - 1; row >= 0; row--)
      if (active[row]?.request.signal.aborted) abort(leave(row))
    for (let i = waiting.length - 1; i >= 0; i--)
      if (waiting[i]?.request.signal.aborted) waiting.splice(i, 1).forEach(abort)
  }

  const run = async (): Promise<void> => {
    running = true
    while (active.length + waiting.length > 0) {
      // Lets messages in, cancellations among them, and streamed text out.
      await new Promise((resolve) => setImmediate(resolve))
      dropAborted()
      try {
        const next = active.length < MOST_ACTIVE ? waiting.shift() : undefined
        if (next) await admit(next)
        else if (active.length > 0) await step()
      } catch (error) {
        // The cache may be half written: every request in it fails, the next ones start afresh.
        while (active.length > 0) leave(active.length - 1).settle.reject(error)
      }
    }
    running = false
  }

  return {
    generate: (request) => {
      const room = base.contextLength - request.prompt.length
      if (room < 1)
        return Promise.reject(new ContextLengthError(request.prompt.length, base.contextLength))
      const one: Active = {
        request: { ...request, maxTokens: Math.min(request.maxTokens, room) },
        random: randomSource(request.seed),
        stream: textStream(tokenizer.decode, request.stop),
        drawn: [],
        settle: Promise.withResolvers(),
      }
      waiting.push(one)
      if (!running) void run()
      return one.settle.promise
    },
    load: () => ({ active: active.length, waiting: waiting.length }),
    release: async () => {
      await Promise.all([prefill.release(), decode.release()])
    },
  }
}

function finish(one: Active, finishReason: 'stop' | 'length', tokens: readonly number[]): void {
  const { request, stream, drawn, settle } = one
  const rest = stream.finish()
  if (rest !== '') request.onText(rest)
  // A stop string may cut tokens off: those that begin at or after the text's end are no part of it.
  const ends = stream.ends
  const kept = tokens.filter((_, i) => (ends[i - 1] ?? 0) < stream.text.length)
  settle.resolve({
    finishReason,
    completionTokens: drawn.length,
    text: stream.text,
    tokens: kept,
    ends: ends.slice(0, kept.length),
  })
}

const abort = ({ request, settle }: Active): void => settle.reject(request.signal.reason)

const column = (values: readonly number[]) => ({
  dims: [values.length, 1],
  data: Int32Array.from(values),
})
const grid = (values: readonly number[]) => ({
  dims: [1, values.length],
  data: Int32Array.from(values),
})
