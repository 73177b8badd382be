/** Attributes one response to the records of its adapter: gradient influence and verbatim spans, split into money. */
import type { Hex } from '#protocol/bytes.ts'
import { PPM, type ParameterValues } from '#protocol/parameters.ts'
import { encodeQuery, type ReceiptRow, type Span } from '#protocol/receipt.ts'
import { METHOD_VERSION, methodOf, type WeighedRow } from '#protocol/score.ts'
import type { Explanation } from '#protocol/generation.ts'
import type { Tokenizer } from '../tokenizer.ts'
import type { GradientSource } from './gradients.ts'
import { scoreRows, vectorHash } from './index-rows.ts'
import { queryVector, zeroVector } from './influence-index.ts'
import type { Quantized } from './quantize.ts'
import type { LoadedIndex } from './index-files.ts'
import { snippetOf } from './snippet.ts'
import { creditSpans, SPAN_RULES, type IsEcho, type SpanIndex } from './span-index.ts'

export type Response = {
  prompt: readonly number[]
  promptText: string
  tokens: readonly number[]
  text: string
  /** Length of the text up to and with each token, in UTF-16 code units. */
  ends: readonly number[]
}

export type AttributionIndex = { index: LoadedIndex; spans: SpanIndex }

export type Attribution = {
  /** The shortlist, in the order of a receipt. */
  rows: ReceiptRow[]
  /** Millinats, and the influence above which every row is listed; see protocol/receipt.ts. */
  covered: bigint
  total: bigint
  floor: bigint
  unattributed: bigint
  /** keccak256 of the int8 query vector, and its base64. */
  queryHash: Hex
  query: string
  explanation: Omit<Explanation, 'attributionMs'>
}

/** Splits `pool` wei over the records that shaped a response. */
export async function attribute(
  response: Response,
  { index: loaded, spans }: AttributionIndex,
  { source, tokenizer }: { source: GradientSource; tokenizer: Tokenizer },
  { pool, values }: { pool: bigint; values: ParameterValues },
): Promise<Attribution> {
  const { index } = loaded
  const isEcho = echoTest(response, tokenizer)
  const query = await responseVector({ ...response, isEcho }, loaded, source)
  const credit = creditSpans(spans, response.tokens, isEcho)
  const least = Number(values['attribution.significance'])
  const matters = (influence: number, significance: number, row: number) =>
    !spans.revoked.has(row) && ((influence > 0 && significance >= least) || credit.rows.has(row))
  const scores = scoreRows(index, query, matters)
  const candidates = scores.flatMap(({ row, influence, significance }) => {
    const identity = index.rows[row]
    if (!identity) return []
    const { cluster, record, contributor } = identity
    const text = credit.rows.get(row)?.text ?? 0n
    return [{ row, cluster, record, contributor, influence, significance, text }]
  })
  const { shortlist, allocate } = methodOf(METHOD_VERSION)
  const { rows: shortlisted, floor } = shortlist(candidates, values)
  const { rows, paid, unattributed } = allocate(pool, shortlisted, credit, values)
  const rowOf = new Map<Hex, number>(candidates.map(({ cluster, row }) => [cluster, row]))
  const listed = rows.map((row) => ({ row, place: rowOf.get(row.cluster) ?? 0 }))
  const spansOf = (place: number) => credit.rows.get(place)?.spans ?? []
  const shares = sharesOf(rows.slice(0, paid), values)
  return {
    rows: listed.map(({ row, place }) => receiptRow(row, spansOf(place))),
    covered: credit.covered,
    total: credit.total,
    floor,
    unattributed,
    queryHash: vectorHash(query.values),
    query: encodeQuery(query.values),
    explanation: {
      rows: listed.slice(0, paid).map(({ row, place }, i) => ({
        record: row.record,
        contributor: row.contributor,
        share: shares[i] ?? 0,
        ...snippetOf(spans, place, spansOf(place), tokenizer),
        spans: spansOf(place).map(({ outputStart, length }) => {
          const start = response.ends[outputStart - 1] ?? 0
          const end = response.ends[outputStart + length - 1] ?? response.text.length
          return { start, end, text: response.text.slice(start, end) }
        }),
      })),
      unattributed: Number(PPM) - shares.reduce((a, b) => a + b, 0),
    },
  }
}

/**
 * The query vector of a response: of the loss, given the prompt, of those of its tokens that do not repeat the prompt; what
 * is repeated follows from the prompt, whatever the records say. Zero, so that no row is found and nobody paid by
 * influence, when nothing is left or the gradient is not finite.
 */
export async function responseVector(
  { prompt, tokens, isEcho }: Pick<Response, 'prompt' | 'tokens'> & { isEcho: IsEcho },
  { index, features }: LoadedIndex,
  source: GradientSource,
): Promise<Quantized> {
  const echoed = echoedTokens(tokens.length, isEcho)
  const sequence = lastOf(
    {
      tokens: [...prompt, ...tokens],
      targets: [...prompt.map(() => 0), ...Array.from(echoed, (isRepeated) => 1 - isRepeated)],
    },
    source.context,
  )
  // A first token follows from nothing and has no loss.
  if (!sequence.targets.includes(1, 1)) return zeroVector(index)
  return queryVector(index, features, source, sequence)
}

/** 1 for every token within a stretch, long enough to be credited, that stands in the prompt; [count]. */
function echoedTokens(count: number, isEcho: IsEcho): Uint8Array {
  const echoed = new Uint8Array(count)
  for (let start = 0; start + SPAN_RULES.minTokens <= count; start++)
    if (isEcho(start, SPAN_RULES.minTokens)) echoed.fill(1, start, start + SPAN_RULES.minTokens)
  return echoed
}

/** The end of a sequence, as much as the base reads at once. */
const lastOf = ({ tokens, targets }: { tokens: number[]; targets: number[] }, most: number) => ({
  tokens: tokens.slice(-most),
  targets: targets.slice(-most),
})

/** Tells whether words of the response stand in the prompt already, whatever their case and spacing. */
export function echoTest(
  { promptText, tokens }: Pick<Response, 'promptText' | 'tokens'>,
  tokenizer: Pick<Tokenizer, 'decode'>,
): IsEcho {
  const prompt = plain(promptText)
  return (start, length) =>
    prompt.includes(plain(tokenizer.decode(tokens.slice(start, start + length))))
}

const plain = (text: string): string => text.toLowerCase().replaceAll(/\s+/g, ' ').trim()

/** Parts per million of the pool per row, by weight: also defined where the answer was free. */
function sharesOf(rows: readonly WeighedRow[], values: ParameterValues): number[] {
  const total = rows.reduce((n, { weight }) => n + weight, 0n)
  return rows.map(({ weight }) => Number((weight * values['attribution.reliability']) / total))
}

const receiptRow = (
  { cluster, record, contributor, influence, significance, text, amount }: WeighedRow,
  spans: Span[],
): ReceiptRow => ({ cluster, record, contributor, influence, significance, text, spans, amount })
