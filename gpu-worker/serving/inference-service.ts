/** Answers one request after the other or several at once: checks the model, generates, attributes, signs the receipt. */
import { randomInt } from 'node:crypto'
import type { LocalAccount } from 'viem'
import type { SessionOptions } from '#engine/session.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { ReceiptDomain } from '#protocol/receipt.ts'
import { splitFee } from '#protocol/score.ts'
import type { Explanation, GenerateEvent, GenerateRequest } from '#protocol/wire.ts'
import { attribute } from '../attribution/attribute.ts'
import { openGradients, type GradientSource } from '../attribution/gradients.ts'
import { signReceipt } from '../attribution/receipt.ts'
import type { BaseModel } from '../base-model.ts'
import type { BlobStore } from '../blobs.ts'
import { openAdapterStore, type ServedAdapter } from './adapter-store.ts'
import type { AdapterOnChain, Chain, ModelOnChain } from './chain.ts'
import { ContextLengthError, openGenerator, type Generation } from './generator.ts'
import { ServingError } from './serving-error.ts'

export type InferenceService = {
  /** Emits tokens, end, receipt, in this order. Throws a ServingError, or the signal's reason. */
  answer: (
    request: GenerateRequest,
    emit: (event: GenerateEvent) => void,
    signal: AbortSignal,
  ) => Promise<void>
  status: () => InferenceStatus
}

export type InferenceStatus = { resident: Hex[]; active: number; waiting: number }

export type InferenceOptions = {
  base: BaseModel
  session: SessionOptions
  chain: Chain
  blobs: Pick<BlobStore, 'get'>
  account: LocalAccount
  domain: ReceiptDomain
}

/** Adapter shapes whose influence program stays open; each holds a copy of the base's weights. */
const MOST_SHAPES = 2

type Model = {
  onChain: ModelOnChain
  adapter: { served: ServedAdapter; onChain: AdapterOnChain } | null
}

/** Opens the programs of a base model; slow, once per process. */
export async function openInference(options: InferenceOptions): Promise<InferenceService> {
  const { base, chain, account, domain } = options
  const generator = await openGenerator(base, options.session)
  const store = openAdapterStore(options)
  const withSource = gradientSources(base, options.session)

  const resolve = async (request: GenerateRequest, signal: AbortSignal): Promise<Model> => {
    if (request.base !== base.digest)
      throw new ServingError('model/unavailable', `this worker serves ${base.digest}`)
    const onChain = await chain.base(request.base)
    if (!onChain) throw new ServingError('model/not-found', `base ${base.digest} is not on chain`)
    if (onChain.revoked) throw new ServingError('model/revoked', `base ${base.digest} was revoked`)
    if (!request.adapter) return { onChain, adapter: null }
    const adapter = await store.get(request.adapter, signal)
    return { onChain: adapter.onChain, adapter }
  }

  /** The receipt of an answer, with its attribution when an adapter gave it. */
  const accountFor = async (
    request: GenerateRequest,
    { onChain, adapter }: Model,
    prompt: readonly number[],
    generation: Generation,
  ): Promise<GenerateEvent> => {
    const started = performance.now()
    const { values, hash } = await chain.parameters()
    const tokens = BigInt(prompt.length + generation.completionTokens)
    const fee = tokens * onChain.pricePerToken
    const split = splitFee(fee, values)
    const attributed =
      adapter &&
      (await withSource(adapter.served, (source) =>
        attribute(
          { ...generation, prompt, promptText: textOf(request.input) },
          adapter.served,
          { source, tokenizer: base.tokenizer },
          { pool: split.contributors, values },
        ),
      ))
    const signed = await signReceipt(
      {
        request,
        outputText: generation.text,
        promptTokens: prompt.length,
        completionTokens: generation.completionTokens,
        fee,
        split,
        paramsHash: hash,
        modelOwner: onChain.owner,
        ...(adapter &&
          attributed && {
            adapter: {
              digest: adapter.served.digest,
              indexRoot: adapter.onChain.indexRoot,
              datanets: adapter.onChain.datanetRoots,
              attribution: attributed,
            },
          }),
      },
      account,
      domain,
    )
    const explanation: Explanation = {
      rows: attributed?.explanation.rows ?? [],
      unattributed: attributed?.explanation.unattributed ?? 0,
      attributionMs: performance.now() - started,
    }
    return { type: 'receipt', ...signed, explanation }
  }

  return {
    answer: async (request, emit, signal) => {
      const model = await resolve(request, signal)
      const prompt = base.tokenizer.encodePrompt(request.input)
      const generation = await generator
        .generate({
          prompt,
          adapter: model.adapter?.served.adapter ?? null,
          sampling: request,
          seed: request.seed ?? randomInt(2 ** 32),
          stop: request.stop,
          maxTokens: request.maxTokens,
          signal,
          onText: (text) => emit({ type: 'token', text }),
        })
        .catch((error: unknown) => {
          if (error instanceof ContextLengthError)
            throw new ServingError('model/context-exceeded', error.message)
          throw error
        })
      const { finishReason, completionTokens } = generation
      emit({ type: 'end', finishReason, promptTokens: prompt.length, completionTokens })
      emit(await accountFor(request, model, prompt, generation))
    },
    status: () => ({ resident: store.resident(), ...generator.load() }),
  }
}

const textOf = (input: GenerateRequest['input']): string =>
  'prompt' in input ? input.prompt : input.messages.map(({ content }) => content).join('\n')

/**
 * Influence programs by adapter shape, lent to one answer at a time: the least recently used is closed when there are
 * too many, and none is closed while it computes.
 */
function gradientSources(base: BaseModel, session: SessionOptions) {
  const open = new Map<string, Promise<GradientSource>>()
  let turn: Promise<unknown> = Promise.resolve()

  const sourceFor = async ({ adapter: { lora }, index: { projected } }: ServedAdapter) => {
    const key = JSON.stringify([lora.rank, lora.alpha, lora.targets, projected])
    const { config, parameters } = base
    const source = open.get(key) ?? openGradients({ config, parameters, lora, projected, session })
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
  return <T>(served: ServedAdapter, use: (source: GradientSource) => Promise<T>): Promise<T> => {
    const mine = turn.then(async () => use(await sourceFor(served)))
    turn = mine.catch(() => {})
    return mine
  }
}
