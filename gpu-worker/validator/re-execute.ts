/**
 * Running a receipt again: the same prompt and answer through the same base and adapter give the query vector and the text
 * credits anew. Text credits are integers over token ids and must be equal. The query vector comes from a float gradient,
 * whose last bits differ between machines; it must point in the same direction.
 */
import type { SessionOptions } from '#engine/session.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { ParameterValues } from '#protocol/parameters.ts'
import { queryBytes, type Receipt, type SignedReceipt } from '#protocol/receipt.ts'
import { heededParts, type RevocationLog } from '#protocol/revocations.ts'
import { dotInt8, methodOf } from '#protocol/score.ts'
import { promptText, type KeptTexts } from '#protocol/generation.ts'
import { echoTest, responseVector } from '../attribution/attribute.ts'
import type { ComparedRows } from '../attribution/index-rows.ts'
import { creditSpans, type SpanCredit } from '../attribution/span-index.ts'
import { openGradients, type GradientSource } from '../attribution/gradients.ts'
import type { BaseModel } from '../base-model.ts'
import { openAdapterStore, type ServedIndex } from '../serving/adapter-store.ts'
import { liveIndex } from '../serving/revocations.ts'
import { check, type Check } from './checks.ts'
import type { ModelFacts } from './chain-facts.ts'
import type { PublishedFiles } from './published-files.ts'

/**
 * Least cosine between the receipt's query vector and ours. Rounding to int8 alone keeps it above 0.999 (entries are up
 * to 127 steps, their root mean square at least 127 / 12 of them); float32 sums in another order move far less. A vector
 * that would pay somebody else is nowhere near.
 */
export const LEAST_COSINE = 0.999

export type ReExecution = {
  /** Checks `text` and `gradient` of a receipt of this base; throws when the adapter cannot be had. */
  run: (
    signed: SignedReceipt,
    texts: KeptTexts,
    facts: { model: ModelFacts; values: ParameterValues; revocations: RevocationLog },
  ) => Promise<Check[]>
  release: () => Promise<void>
}

type Open = { digest: Hex; served: ServedIndex; source: GradientSource }

/** Opens re-execution on a base model; the adapter used last stays open. */
export function openReExecution({
  base,
  files,
  session,
}: {
  base: BaseModel
  files: Pick<PublishedFiles, 'adapterFile'>
  session: SessionOptions
}): ReExecution {
  let open: Open | null = null
  const release = async () => {
    await open?.source.release()
    open = null
  }
  const adapterOf = async (digest: Hex, model: ModelFacts): Promise<Open> => {
    if (open?.digest === digest) return open
    await release()
    const store = openAdapterStore({
      base,
      chain: { adapter: async () => null },
      blobs: { get: (sha256) => files.adapterFile(digest, sha256) },
    })
    const served = await store.index(digest, { ...model, revoked: false, pricePerToken: 0n })
    const { format = 'f32' } = served.index
    const source = await openGradients({ base, format, lora: served.lora, session })
    return (open = { digest, served, source })
  }

  return {
    release,
    run: async (signed, texts, { model, values, revocations }) => {
      const { receipt } = signed
      const prompt = base.tokenizer.encodePrompt(texts.input)
      const tokenization = checkTokens(receipt, texts, prompt.length, base)
      if (tokenization) return [tokenization]
      const { served, source } = await adapterOf(receipt.adapter, model)
      const { tokens } = texts
      const isEcho = echoTest({ promptText: promptText(texts.input), tokens }, base.tokenizer)
      const { index } = served.index
      // The receipt says when it was made, and clocks differ: it may have heeded any of these parts of the log.
      const checks = heededParts(revocations, index.rows, receipt.time).map((entries) => {
        const { spans } = liveIndex(served, { log: revocations, entries })
        return checkText(receipt, index, { credit: creditSpans(spans, tokens, isEcho), values })
      })
      const text = checks.find(({ holds }) => holds) ?? (checks[0] as Check)
      const query = await responseVector({ prompt, tokens, isEcho }, served.index, source)
      return [text, checkGradient(signed, query.values)]
    },
  }
}

/** Null when prompt and answer are as many tokens as was paid for, and the answer's tokens say its text. */
function checkTokens(
  { promptTokens, completionTokens }: Receipt,
  { tokens, output }: KeptTexts,
  prompt: number,
  { tokenizer }: BaseModel,
): Check | null {
  // A token that ends the answer is paid for and has no text; a stop string may cut the last token's.
  const ending = completionTokens - tokens.length
  const isCounted = prompt === promptTokens && (ending === 0 || ending === 1)
  const isText = tokenizer.decode(tokens).startsWith(output)
  return isCounted && isText
    ? null
    : check(
        'answer',
        false,
        isText
          ? `${promptTokens} + ${completionTokens} tokens were charged, they are ${prompt} + ${tokens.length}`
          : 'the tokens do not say the answer',
      )
}

/** Integers over token ids, equal on every machine: every listed text, the sums, and that no larger text is missing. */
function checkText(
  { rows, covered, total, methodVersion }: Receipt,
  { rows: index }: Pick<ComparedRows, 'rows'>,
  { credit, values }: { credit: SpanCredit; values: ParameterValues },
): Check {
  const claimed = new Map(rows.map(({ cluster, text }) => [cluster, text]))
  const held = [...credit.rows].flatMap(([row, { text }]) => {
    const identity = index[row]
    return identity ? [{ ...identity, text, influence: 0n, significance: 0n }] : []
  })
  const texts = new Map(held.map(({ cluster, text }) => [cluster, text]))
  const expected = methodOf(methodVersion).shortlist(held, values).rows
  const fault =
    rows.find(({ cluster, text }) => (texts.get(cluster) ?? 0n) !== text)?.cluster ??
    expected.find(({ cluster, text }) => claimed.get(cluster) !== text)?.cluster
  const isSame = covered === credit.covered && total === credit.total
  return check(
    'text',
    isSame && fault === undefined,
    fault === undefined
      ? `${credit.covered} of ${credit.total} millinats are covered, the receipt says ${covered} of ${total}`
      : `cluster ${fault} holds ${texts.get(fault) ?? 0n} millinats, the receipt says ${claimed.get(fault) ?? 'nothing'}`,
  )
}

function checkGradient(signed: SignedReceipt, fresh: Int8Array): Check {
  const cosine = cosineOf(new Int8Array(queryBytes(signed).buffer), fresh)
  return check('gradient', cosine >= LEAST_COSINE, `cosine ${cosine.toFixed(6)} with ours`)
}

/** Cosine of two vectors; 1 when both are zero, 0 when one is or they differ in length. */
function cosineOf(a: Int8Array, b: Int8Array): number {
  if (a.length !== b.length) return 0
  const [aa, bb] = [dotInt8(a, a), dotInt8(b, b)]
  if (aa === 0 && bb === 0) return 1
  return aa === 0 || bb === 0 ? 0 : dotInt8(a, b) / Math.sqrt(aa * bb)
}
