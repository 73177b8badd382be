/** Retrieves records for a request that asks for it and puts them before its conversation. */
import type { SessionOptions } from '#engine/session.ts'
import { revocationOf } from '#protocol/revocations.ts'
import type { GenerateRequest } from '#protocol/generation.ts'
import type { BaseModel } from '../base-model.ts'
import { EdgeError, type BlobStore } from '../blobs.ts'
import { describeError } from '../log.ts'
import { wholeOf, type Revocations } from '../serving/revocations.ts'
import { ServingError } from '../serving/serving-error.ts'
import { openEmbedder, type EmbedderChoice } from './embedder.ts'
import { fittingRecords, questionOf, quoteRecords } from './quote.ts'
import { openRetriever, type Retrieved, type Retriever } from './retriever.ts'

/** A request as the model reads it, and the records that are quoted in it. */
export type Quoted = { request: GenerateRequest; cited: Retrieved[] }

export type QuotingOptions = {
  base: BaseModel
  session: SessionOptions
  blobs: Pick<BlobStore, 'get'>
  revocations: Revocations
  embedder?: EmbedderChoice
}

/** An answer may take this share of the context before retrieved records must make room. */
const ANSWER_SHARE = 0.5

/** Opens the retriever when it is first needed; the function that this answers throws a ServingError. */
export function openQuoting(options: QuotingOptions): (asked: GenerateRequest) => Promise<Quoted> {
  const { base, session, blobs, revocations, embedder = 'off' } = options
  const { tokenizer, config } = base
  let opened: Promise<Retriever> | null = null
  const open = (): Promise<Retriever> =>
    (opened ??= openEmbedder(embedder, base, session)
      .then((by) => openRetriever(blobs, by))
      .catch((error: unknown) => {
        opened = null
        throw error
      }))

  return async (asked) => {
    const { retrieval, input, requestId } = asked
    if (!retrieval || !('messages' in input)) return { request: asked, cited: [] }
    const quote = (texts: readonly string[]) => ({
      messages: quoteRecords(input.messages, texts, requestId),
    })
    const plain = tokenizer.encodePrompt(input).length
    const answer = Math.min(asked.maxTokens, config.positions * ANSWER_SHARE)
    try {
      const retriever = await open()
      const { log, entries } = wholeOf(await revocations.current())
      const found = await retriever.retrieve(questionOf(input.messages), retrieval.versions, {
        topK: retrieval.topK,
        isRevoked: (row) => revocationOf(log, row, entries) !== undefined,
      })
      const cited = fittingRecords(found, {
        room: config.positions - plain - answer,
        count: (texts) => tokenizer.encodePrompt(quote(texts)).length - plain,
      })
      return { request: { ...asked, input: quote(cited.map(({ text }) => text)) }, cited }
    } catch (cause) {
      if (cause instanceof ServingError) throw cause
      if (cause instanceof EdgeError)
        throw new ServingError('model/unavailable', 'a Datanet cannot be fetched now', { cause })
      throw new ServingError('retrieval/failed', describeError(cause), { cause })
    }
  }
}
