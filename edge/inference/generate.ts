import { keccak, type Hex } from '#protocol/bytes.ts'
import { CLOCK_SECONDS, type SignedReceipt } from '#protocol/receipt.ts'
import {
  promptText,
  withoutWords,
  type Explanation,
  type GenerateEvent,
  type GenerateRequest,
} from '#protocol/generation.ts'
import { spendableBalance } from '../accounts/balance.ts'
import { readChain } from '../chain/client.ts'
import { freshParameters, readParameters, type Parameters } from '../chain/parameters.ts'
import { hasStake } from '../chain/stake.ts'
import { accountOf, type AccountActor, type Ctx } from '../context.ts'
import { answerWindows } from '../datanets/pipeline/candidates.ts'
import { findRevocations } from '../datanets/revocations.ts'
import { log } from '../log.ts'
import { seconds } from '../http/time.ts'
import { keepTexts } from '../custody/texts.ts'
import { liveWorkers, type Worker } from '../jobs/workers.ts'
import { resolveModel, type ServedModel } from '../models/catalogue.ts'
import { Problem } from '../problem.ts'
import { receiptDomain } from '../settlement/build-epoch.ts'
import type { NewReceipt } from '../settlement/epoch-tables.ts'
import { receiptInbox } from '../settlement/receipt-inbox.ts'
import { receiptRefusal, type Asked } from './check-receipt.ts'
import { DEFAULT_MAX_TOKENS, type GenerationInput } from './request.ts'
import { resolveRetrieval } from './retrieval.ts'
import { routeOrder } from './route.ts'
import { callWorker, finishEarly, workerProblem, type WorkerCall } from './worker-stream.ts'

/** Tokens that a chat template may add to a message, at most. */
const TEMPLATE_TOKENS = 32

export type Ended = {
  type: 'end'
  finishReason: 'stop' | 'length'
  promptTokens: number
  completionTokens: number
  signed: SignedReceipt
  explanation: Explanation
}

export type Answer = Extract<GenerateEvent, { type: 'token' }> | Ended

export type Generation = {
  model: ServedModel
  /** Texts, then the end; the receipt is stored before the end comes. Throws a Problem when it fails. */
  answers: AsyncGenerator<Answer, void, undefined>
}

/** Why answers are aborted that are not to be given at all: nobody pays for what there is of them. */
export const CALLED_OFF = new Error('the request was called off')

/**
 * Starts an answer: model, funds, worker. Until this returns a failure costs nobody anything and is thrown as a
 * Problem with its own status. Afterwards `answers` must be read until it ends or throws, which settles the held funds.
 * `gone` aborts when the caller has gone away: then the answer ends where it is, and what there is of it is paid for.
 * `choice` tells the answers to one request from each other.
 */
export async function startGeneration(
  ctx: Ctx,
  input: GenerationInput,
  gone: AbortSignal,
  choice = 0,
): Promise<Generation> {
  const actor = accountOf(ctx)
  const model = await resolveModel(ctx, input.model)
  const maxTokens = tokenLimit(input, model.base.contextLength)
  // Tied to the HTTP request, whose id is unique: one answer, one receipt.
  const requestId = keccak(choice === 0 ? ctx.requestId : `${ctx.requestId} ${choice}`)
  const retrieval = input.retrieval && (await resolveRetrieval(ctx, input.retrieval))
  const held = maxFee(input, maxTokens, model)
  const workers = await stakedWorkers(ctx, model.base.digest)
  if (workers.length === 0) throw new Problem('model/unavailable', { retryAfter: 5 })
  await holdFunds(ctx, actor, requestId, held)
  const request: GenerateRequest = {
    ...input.sampling,
    ...(input.sampling.seed !== undefined && { seed: (input.sampling.seed + choice) % 2 ** 32 }),
    requestId,
    payer: actor.address,
    base: model.base.digest,
    ...(model.adapter && {
      adapter: { digest: model.adapter.digest, manifest: model.adapter.manifest },
    }),
    input: input.input,
    store: input.store,
    sentences: input.attribution === 'sentences',
    ...(retrieval && { retrieval }),
    maxTokens,
  }
  const stop = new AbortController()
  const state: Run['state'] = { textComplete: false, worker: null }
  const leave = async () => {
    if (state.textComplete) return
    const finishing =
      state.worker &&
      gone.reason !== CALLED_OFF &&
      (await finishEarly(state.worker, ctx.settings.WORKER_TOKEN, requestId))
    if (!finishing && !state.textComplete) stop.abort(new Error('the caller has gone'))
  }
  gone.addEventListener('abort', () => ctx.waitUntil(leave()))
  try {
    const order = routeOrder(workers, { adapter: model.adapter?.digest ?? null, requestId })
    // A worker refuses in its first event, so that is awaited while the status can still say so.
    const call = await callWorker(order, ctx.settings.WORKER_TOKEN, request, stop.signal)
    state.worker = call.worker
    if (gone.aborted) await leave()
    const run = { actor, model, call, request, held, stop, state, gone }
    return { model, answers: answer(ctx, run) }
  } catch (error) {
    await release(ctx, actor, requestId)
    throw error
  }
}

type Run = {
  actor: AccountActor
  model: ServedModel
  call: WorkerCall
  request: GenerateRequest
  held: bigint
  /** Aborts when the caller has gone away, or the request was called off. */
  gone: AbortSignal
  /** Breaks the connection to the worker. */
  stop: AbortController
  /** The worker that answers, once one does. */
  state: { textComplete: boolean; worker: WorkerCall['worker'] | null }
}

async function* answer(ctx: Ctx, run: Run): AsyncGenerator<Answer, void, undefined> {
  const { actor, call, request, stop, state, gone } = run
  const givenAt = Date.now() // before anybody knows a word of it
  const texts: string[] = []
  let usage: Extract<GenerateEvent, { type: 'end' }> | null = null
  let settled = false
  try {
    for (let event = call.first; event; event = await nextEvent(call.events)) {
      // What had already arrived comes out of a broken connection all the same.
      if (gone.reason === CALLED_OFF) throw CALLED_OFF
      switch (event.type) {
        case 'error':
          throw workerProblem(event)
        case 'token':
          texts.push(event.text)
          yield event
          break
        case 'end':
          usage = event
          state.textComplete = true
          break
        case 'receipt': {
          if (!usage) throw new Problem('inference/failed', { detail: 'A receipt before the end.' })
          const { receipt, signature, query, explanation, tokens } = event
          const signed = { receipt, signature, query }
          const output = texts.join('')
          const { promptTokens, completionTokens } = usage
          await checkReceipt(ctx, run, signed, { promptTokens, completionTokens, output, tokens })
          settled = true // from here the receipt may be stored, so the hold stays until settlement or expiry
          // The texts first: a receipt that says they are kept must not be without them.
          // With quotations, as the model read it: that is what a gradient is computed again from.
          const { input = request.input } = event
          if (request.store) await keepTexts(ctx, receipt, { input, output, tokens })
          const windows = answerWindows(output, promptText(input))
          await keepReceipt(ctx, run, { signed, explanation, answer: { windows, givenAt } })
          yield { ...usage, signed, explanation }
          return
        }
      }
    }
    throw new Problem('inference/failed', { detail: 'The worker ended without a receipt.' })
  } finally {
    if (!settled) {
      stop.abort()
      await release(ctx, actor, request.requestId)
    }
  }
}

/** Live workers that have at stake what they would lose by signing two receipts for one request. */
async function stakedWorkers(ctx: Ctx, base: Hex): Promise<Worker[]> {
  const workers = await liveWorkers(ctx, base)
  const staked = await Promise.all(workers.map(({ address }) => hasStake(ctx, address)))
  for (const [i, { id, address }] of workers.entries())
    if (!staked[i])
      log('warn', { requestId: ctx.requestId, worker: id, passedOver: `${address} has no stake` })
  return workers.filter((_, i) => staked[i])
}

/** The next event, or null at the end; a broken stream is `inference/failed`. */
async function nextEvent(events: WorkerCall['events']): Promise<GenerateEvent | null> {
  try {
    const { value, done } = await events.next()
    return done ? null : value
  } catch (cause) {
    throw new Problem('inference/failed', { detail: 'The worker broke off.', cause })
  }
}

/** Throws `inference/receipt-refused`: nothing is paid for such an answer. */
async function checkReceipt(
  ctx: Ctx,
  { actor, model, call, request, held }: Run,
  signed: SignedReceipt,
  answered: Pick<Asked, 'output' | 'tokens' | 'promptTokens' | 'completionTokens'>,
): Promise<void> {
  const { rows, citations, paramsHash, time } = signed.receipt
  const [parameters, revocationOf] = await Promise.all([
    parametersNamed(ctx, paramsHash),
    // Validators hold workers to the same: a log that is seconds old, and clocks that differ.
    findRevocations(ctx, [...rows, ...citations], Number(time - CLOCK_SECONDS)),
  ])
  const refusal = await receiptRefusal(signed, {
    requestId: request.requestId,
    payer: actor.address,
    base: model.base.digest,
    adapter: model.adapter && {
      digest: model.adapter.digest,
      indexRoot: model.adapter.indexRoot,
      datanetRoots: model.adapter.datanets.map(({ root }) => root),
    },
    modelOwner: model.owner,
    pricePerToken: model.pricePerToken,
    worker: call.worker.address,
    maxTokens: request.maxTokens,
    retrieval: request.retrieval ?? null,
    held,
    ...answered,
    stored: request.store,
    parameters,
    revocationOf,
    domain: receiptDomain(ctx.settings),
    now: BigInt(seconds(Date.now())),
  })
  if (refusal === null) return
  log('error', { requestId: ctx.requestId, worker: call.worker.id, refused: refusal, signed })
  throw new Problem('inference/receipt-refused', { detail: `The receipt was refused: ${refusal}.` })
}

/** The governed numbers in force; read again when the worker seems to know newer ones. */
async function parametersNamed({ settings }: Ctx, hash: Hex): Promise<Parameters> {
  const known = await readChain(() => readParameters(settings))
  return known.paramsHash === hash ? known : readChain(() => freshParameters(settings))
}

/** The receipt first, then the debt: a crash between leaves a hold, which the settlement releases. */
async function keepReceipt(
  ctx: Ctx,
  { actor, model, request }: Run,
  { signed, explanation, answer }: Pick<NewReceipt, 'signed' | 'explanation' | 'answer'>,
): Promise<void> {
  await receiptInbox(ctx.env, signed.receipt.requestId).append({
    signed,
    answer,
    explanation: request.store ? explanation : withoutWords(explanation),
    accountId: actor.accountId,
    manifests: model.adapter?.datanets.map(({ root, manifest }) => ({ root, manifest })) ?? [],
  })
  await ctx.env.ACCOUNT.getByName(actor.accountId).owe(signed.receipt.requestId, signed.receipt.fee)
}

async function holdFunds(
  ctx: Ctx,
  { accountId, address }: AccountActor,
  requestId: Hex,
  wei: bigint,
): Promise<void> {
  const balance = await spendableBalance(ctx, address)
  const { held, available } = await ctx.env.ACCOUNT.getByName(accountId).hold(
    requestId,
    wei,
    balance,
  )
  if (!held)
    throw new Problem('funds/insufficient', {
      detail: `The request may cost up to ${wei} wei; ${available > 0n ? available : 0n} wei are available. Deposit for ${address} in the InferenceVault, or ask for fewer tokens.`,
    })
}

const release = async (ctx: Ctx, { accountId }: AccountActor, requestId: Hex) =>
  ctx.env.ACCOUNT.getByName(accountId).release([requestId])

function tokenLimit({ maxTokens }: GenerationInput, contextLength: number): number {
  if (maxTokens === null) return Math.min(DEFAULT_MAX_TOKENS, contextLength)
  if (maxTokens > contextLength)
    throw new Problem('request/invalid', {
      detail: `max_tokens is at most the model's context of ${contextLength} tokens.`,
      param: 'max_tokens',
    })
  return maxTokens
}

/**
 * The most that the answer can cost. Byte-level BPE makes at most one token of a UTF-8 byte, and no prompt is longer
 * than the context.
 */
function maxFee(
  { input, retrieval }: GenerationInput,
  maxTokens: number,
  { base, pricePerToken }: ServedModel,
): bigint {
  const texts = 'prompt' in input ? [input.prompt] : input.messages.map(({ content }) => content)
  const bytes = texts.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0)
  // What will be retrieved is not known yet.
  const prompt = retrieval ? Infinity : bytes + TEMPLATE_TOKENS * (texts.length + 1)
  return BigInt(Math.min(prompt + maxTokens, base.contextLength)) * pricePerToken
}
