/** A request while it is answered: what it asked for, what has been drawn, and how its text goes out. */
import type { Adapter } from '#engine/adapter-pack.ts'
import type { Tokenizer } from '../tokenizer.ts'
import { asSource, type AdapterSource } from './adapter-source.ts'
import { createSampler, type Sampler, type SamplerOptions, type TokenLogprobs } from './sampler.ts'
import type { Ticket } from './scheduler.ts'
import { textStream, type TextStream } from './text-stream.ts'

export type GenerationRequest = {
  prompt: readonly number[]
  adapter: Adapter | AdapterSource | null
  sampling: SamplerOptions
  seed: number
  stop: readonly string[]
  maxTokens: number
  /** Whom the scheduler is fair to; absent requests share one place. */
  payer?: string
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal
  /** Aborts when what has been drawn is enough: the answer ends there. Before its first token that is its end. */
  enough?: AbortSignal
  /** Text that became certain, with the log-probabilities of its tokens when they were asked for. */
  onText: (text: string, logprobs: TokenLogprobs[]) => void
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

export type Row = Ticket & {
  request: GenerationRequest
  /** Where its adapter comes from; null is the bare base. */
  source: AdapterSource | null
  /** The adapter once it is loaded. */
  loaded: Adapter | null
  sampler: Sampler
  stream: TextStream
  drawn: number[]
  /** Of all tokens drawn; the first `handedOver` have gone out with their text. */
  logprobs: TokenLogprobs[]
  handedOver: number
  settle: PromiseWithResolvers<Generation>
}

/** A row that has drawn nothing yet; `room` is how many tokens the context leaves it. */
export function newRow(
  request: GenerationRequest,
  { tokenizer, room }: { tokenizer: Tokenizer; room: number },
): Row {
  const source = request.adapter && asSource(request.adapter)
  return {
    payer: request.payer ?? '',
    adapter: source && source.digest,
    promptTokens: request.prompt.length,
    rank: source ? null : 0,
    request: { ...request, maxTokens: Math.min(request.maxTokens, room) },
    source,
    loaded: null,
    sampler: createSampler(request.sampling, request.seed, request.prompt),
    stream: textStream(tokenizer.decode, request.stop),
    drawn: [],
    logprobs: [],
    handedOver: 0,
    settle: Promise.withResolvers(),
  }
}

/** Hands text over with the log-probabilities of the tokens that begin in it. */
export function show(row: Row, text: string): void {
  const { request, stream, logprobs, handedOver } = row
  if (logprobs.length === 0) return request.onText(text, [])
  const { ends, shown } = stream
  const held = logprobs.findIndex((_, i) => i >= handedOver && (ends[i - 1] ?? 0) >= shown)
  row.handedOver = held < 0 ? logprobs.length : held
  request.onText(text, logprobs.slice(handedOver, row.handedOver))
}

/** Ends an answer with the tokens that its text is made of. */
export function finish(row: Row, finishReason: 'stop' | 'length', tokens: readonly number[]): void {
  const { stream, drawn, settle } = row
  const rest = stream.finish()
  if (rest !== '') show(row, rest)
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

/** Rejects an answer with the reason of the signal that ended it. */
export const abort = ({ request: { signal, enough }, settle }: Row): void =>
  settle.reject(signal.aborted ? signal.reason : enough?.reason)
