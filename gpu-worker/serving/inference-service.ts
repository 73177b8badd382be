/** Answers one request after the other or several at once: checks the model, generates, attributes, signs the receipt. */
import { randomInt } from 'node:crypto'
import type { LocalAccount } from 'viem'
import type { WeightFormat } from '#engine/quant.ts'
import type { SessionOptions } from '#engine/session.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { ReceiptDomain } from '#protocol/receipt.ts'
import { splitFee } from '#protocol/score.ts'
import type { Evidence, EvidenceRequest } from '#protocol/evidence.ts'
import {
  promptText,
  type Explanation,
  type GenerateEvent,
  type GenerateRequest,
} from '#protocol/generation.ts'
import { attribute } from '../attribution/attribute.ts'
import { evidenceOf } from '../attribution/evidence.ts'
import { openGradients, type GradientSource } from '../attribution/gradients.ts'
import { signReceipt } from '../attribution/receipt.ts'
import { attributeSentences } from '../attribution/sentences.ts'
import type { EmbedderChoice } from '../retrieval/embedder.ts'
import { openQuoting, type Quoted } from '../retrieval/quoting.ts'
import type { BaseModel } from '../base-model.ts'
import type { BlobStore } from '../blobs.ts'
import { availableMemory } from '../training/memory.ts'
import type { AdapterSource } from './adapter-source.ts'
import { openAdapterStore, type ServedIndex, type StoreLoad, type Tier } from './adapter-store.ts'
import { servingMemory } from './base-memory.ts'
import type { AdapterOnChain, Chain, ModelOnChain } from './chain.ts'
import { ContextLengthError, openGenerator, type Generator } from './generator.ts'
import type { Generation } from './row.ts'
import { pinAdapters } from './pinned-adapters.ts'
import type { TokenLogprobs } from './sampler.ts'
import { liveIndex, partAt, wholeOf, type Revocations } from './revocations.ts'
import { DEFAULT_LIMITS, type SchedulerLimits } from './scheduler.ts'
import { ServingError } from './serving-error.ts'

export type InferenceService = {
  /** Emits tokens, end, receipt, in this order. Throws a ServingError, or the reason of a signal. */
  answer: (
    request: GenerateRequest,
    emit: (event: GenerateEvent) => void,
    signals: AnswerSignals,
  ) => Promise<void>
  /** What the adapter's indexes say of records for an answer given earlier. Throws a ServingError. */
  explain: (request: EvidenceRequest) => Promise<Evidence>
  status: () => InferenceStatus
}

/**
 * `gone` aborts when nobody waits for the answer any more; `enough` when the answer may end with what it has, which
 * gets a receipt as any other.
 */
export type AnswerSignals = { gone: AbortSignal; enough?: AbortSignal }

export type InferenceStatus = StoreLoad & ReturnType<Generator['load']> & { capacity: number }

export type InferenceOptions = {
  base: BaseModel
  session: SessionOptions
  /** How the base's matrices are held to generate; attribution has its own, see `gradientSources`. */
  format?: WeightFormat
  chain: Chain
  /** Records that are neither paid nor cited any more. */
  revocations: Revocations
  blobs: Pick<BlobStore, 'get'> & { has?: (sha256: Hex) => Promise<boolean> }
  limits?: SchedulerLimits
  /** What compares the meaning of records that requests retrieve. */
  embedder?: EmbedderChoice
  /** Adapters that are loaded now and never evicted. */
  pinned?: readonly Hex[]
  /** How often the chain is asked whether a model that is being used was revoked. */
  revocationPollMs?: number
  onLoad?: (tier: Tier, seconds: number) => void
  account: LocalAccount
  domain: ReceiptDomain
}

/** Short, because it asks a cache: what counts is how long `chain.ts` keeps what it read. */
const REVOCATION_POLL_MS = 500
/** Adapter shapes whose influence program stays open; each holds a copy of the base's weights. */
const MOST_SHAPES = 2

type OnChain = { base: ModelOnChain; adapter: AdapterOnChain | null }
type Model = {
  onChain: ModelOnChain
  adapter: { served: ServedIndex; onChain: AdapterOnChain } | null
}

/** Opens the programs of a base model; slow, once per process. */
export async function openInference(options: InferenceOptions): Promise<InferenceService> {
  const { base, chain, revocations, account, domain, limits = DEFAULT_LIMITS } = options
  const { format = 'f32', revocationPollMs = REVOCATION_POLL_MS } = options
  const { withBare } = servingMemory(base.config, format, availableMemory())
  const generator = await openGenerator(base, { ...options.session, format, withBare, limits })
  const store = openAdapterStore(options)
  void pinAdapters(options.pinned ?? [], { store, chain })
  const withSource = gradientSources(base, options.session)
  const quote = openQuoting(options)

  /** What the chain says of the model now. Throws a ServingError unless it may be served. */
  const check = async (request: Pick<GenerateRequest, 'base' | 'adapter'>): Promise<OnChain> => {
    if (request.base !== base.digest)
      throw new ServingError('model/unavailable', `this worker serves ${base.digest}`)
    const found = await chain.base(request.base)
    if (!found) throw new ServingError('model/not-found', `base ${base.digest} is not on chain`)
    if (found.revoked) throw new ServingError('model/revoked', `base ${base.digest} was revoked`)
    return { base: found, adapter: request.adapter ? await store.check(request.adapter) : null }
  }

  /**
   * Generates until the end, the caller's leaving, the revocation of the model, or until its index turns out to be
   * another than the chain's: no token waits for the index, but no answer goes on without one.
   */
  const generate = async (
    request: GenerateRequest,
    prompt: readonly number[],
    onChain: OnChain,
    emit: (event: GenerateEvent) => void,
    { gone, enough }: AnswerSignals,
  ): Promise<{ generation: Generation; served: ServedIndex | null }> => {
    const unfit = new AbortController()
    const poll = setInterval(() => {
      check(request).catch((error: unknown) => {
        // A chain that cannot be read now is no revocation.
        if (error instanceof ServingError && error.code === 'model/revoked') unfit.abort(error)
      })
    }, revocationPollMs)
    const { adapter } = onChain
    const { digest } = request.adapter ?? {}
    const source: AdapterSource | null =
      digest && adapter
        ? { digest, load: async () => (await store.get(digest, adapter)).adapter }
        : null
    let index: Promise<ServedIndex> | null = null
    const fetchIndex = () => {
      if (index || !digest || !adapter) return index
      index = store.index(digest, adapter)
      index.catch((error: unknown) => unfit.abort(error))
      return index
    }
    try {
      const generation = await generator.generate({
        prompt,
        adapter: source,
        sampling: request,
        seed: request.seed ?? randomInt(2 ** 32),
        stop: request.stop,
        maxTokens: request.maxTokens,
        payer: request.payer,
        signal: AbortSignal.any([gone, unfit.signal]),
        ...(enough && { enough }),
        onText: (text, logprobs) => {
          emit({
            type: 'token',
            text,
            ...(logprobs.length > 0 && { logprobs: logprobs.map(spelled) }),
          })
          void fetchIndex()
        },
      })
      return { generation, served: await fetchIndex() }
    } catch (error) {
      if (error instanceof ContextLengthError)
        throw new ServingError('model/context-exceeded', error.message)
      throw error
    } finally {
      clearInterval(poll)
    }
  }
  const text = (token: number): string => base.tokenizer.decode([token])
  const spelled = ({ token, logprob, top }: TokenLogprobs) => ({
    token: text(token),
    logprob,
    top: top.map((other) => ({ token: text(other.token), logprob: other.logprob })),
  })

  /** The receipt of an answer, with its attribution when an adapter gave it. */
  const accountFor = async (
    { request, cited }: Quoted,
    { onChain, adapter }: Model,
    prompt: readonly number[],
    generation: Generation,
  ): Promise<GenerateEvent> => {
    const started = performance.now()
    const { values, hash } = await chain.parameters()
    const tokens = BigInt(prompt.length + generation.completionTokens)
    const fee = tokens * onChain.pricePerToken
    const split = splitFee(fee, values, cited.length)
    const live = adapter && liveIndex(adapter.served, wholeOf(await revocations.current()))
    const response = { ...generation, prompt, promptText: promptText(request.input) }
    const found =
      adapter &&
      live &&
      (await withSource(adapter.served, async (source) => {
        const means = { source, tokenizer: base.tokenizer }
        const attributed = await attribute(response, live, means, {
          pool: split.contributors,
          values,
        })
        const sentences =
          request.sentences && (await attributeSentences(response, live, means, values))
        return { attributed, sentences }
      }))
    const signed = await signReceipt(
      {
        request,
        outputText: generation.text,
        outputTokens: generation.tokens,
        promptTokens: prompt.length,
        completionTokens: generation.completionTokens,
        fee,
        split,
        paramsHash: hash,
        modelOwner: onChain.owner,
        cited: cited.map(({ cluster, record, contributor, root }) => ({
          cluster,
          record,
          contributor,
          datanet: root,
        })),
        ...(adapter &&
          found && {
            adapter: {
              digest: adapter.served.digest,
              indexRoot: adapter.onChain.indexRoot,
              datanets: adapter.onChain.datanetRoots,
              attribution: found.attributed,
            },
          }),
      },
      account,
      domain,
    )
    const explanation: Explanation = {
      rows: found?.attributed.explanation.rows ?? [],
      unattributed: found?.attributed.explanation.unattributed ?? 0,
      attributionMs: performance.now() - started,
      ...(found?.sentences && { sentences: found.sentences }),
      ...(cited.length > 0 && {
        citations: cited.map(({ record, contributor, datanet, version, text: quoted }) => ({
          record,
          contributor,
          datanet,
          version,
          text: quoted,
        })),
      }),
    }
    return {
      type: 'receipt',
      ...signed,
      explanation,
      tokens: generation.tokens,
      ...(cited.length > 0 && { input: request.input }),
    }
  }

  return {
    answer: async (asked, emit, signals) => {
      const onChain = await check(asked)
      const { request, cited } = await quote(asked)
      const prompt = base.tokenizer.encodePrompt(request.input)
      // Held from before it is fetched until it has been attributed to.
      const unpin = request.adapter ? store.pin(request.adapter.digest) : () => {}
      try {
        const { generation, served } = await generate(request, prompt, onChain, emit, signals)
        const { finishReason, completionTokens } = generation
        emit({ type: 'end', finishReason, promptTokens: prompt.length, completionTokens })
        const adapter = served && onChain.adapter ? { served, onChain: onChain.adapter } : null
        const model = { onChain: onChain.adapter ?? onChain.base, adapter }
        emit(await accountFor({ request, cited }, model, prompt, generation))
      } finally {
        unpin()
      }
    },
    explain: async (request) => {
      const onChain = await check(request)
      if (!onChain.adapter) throw new Error('a bare base has no index')
      const unpin = store.pin(request.adapter.digest)
      try {
        const served = await store.index(request.adapter.digest, onChain.adapter)
        const part = partAt(await revocations.current(), request.time)
        return evidenceOf(request, liveIndex(served, part), base.tokenizer)
      } finally {
        unpin()
      }
    },
    status: () => ({ ...store.load(), ...generator.load(), capacity: limits.running }),
  }
}

/**
 * Influence programs by adapter shape, lent to one answer at a time: the least recently used is closed when there are
 * too many, and none is closed while it computes.
 */
function gradientSources(base: BaseModel, session: SessionOptions) {
  const open = new Map<string, Promise<GradientSource>>()
  let turn: Promise<unknown> = Promise.resolve()

  const sourceFor = async ({ lora, index }: ServedIndex) => {
    const { format = 'f32' } = index
    const key = JSON.stringify([lora, format])
    // Query and rows must be taken at the same point: on the base in the format that the adapter was trained on, whatever
    // format generates. An answer gets the same shares from every worker.
    const source = open.get(key) ?? openGradients({ base, format, lora, session })
    open.delete(key)
    open.set(key, source)
    for (const [oldest, closing] of open) {
      if (open.size <= MOST_SHAPES) break
      open.delete(oldest)
      await (await closing).release()
    }
    return source.catch((error: unknown) => {
      open.delete(key)
      throw error
    })
  }
  return <T>(served: ServedIndex, use: (source: GradientSource) => Promise<T>): Promise<T> => {
    const mine = turn.then(async () => use(await sourceFor(served)))
    turn = mine.catch(() => {})
    return mine
  }
}
