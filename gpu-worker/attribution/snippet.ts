/** The piece of a record that is shown beside an answer, and where it holds the answer's words. */
import type { Span } from '#protocol/receipt.ts'
import type { Explanation } from '#protocol/generation.ts'
import type { Tokenizer } from '../tokenizer.ts'
import { rowSymbols, type SpanIndex } from './span-index.ts'
import { SEPARATOR } from './suffix-array.ts'

const SNIPPET_TOKENS = 48
/** Tokens shown before the first shared word. */
const SNIPPET_LEAD = 12

type Snippet = Pick<Explanation['rows'][number], 'snippet' | 'highlights'>

/** The beginning of a record, or where it holds the first of `spans`; highlights are UTF-16 offsets in the snippet. */
export function snippetOf(
  index: SpanIndex,
  row: number,
  spans: readonly Span[],
  tokenizer: Pick<Tokenizer, 'decode'>,
): Snippet {
  const from = Math.max(0, Math.min(...spans.map(({ recordStart }) => recordStart)) - SNIPPET_LEAD)
  const start = Number.isFinite(from) ? from : 0
  const symbols = rowSymbols(index, row, start, SNIPPET_TOKENS)
  const decode = (count: number): string =>
    tokenizer.decode(
      [...symbols.subarray(0, Math.max(0, count))]
        .filter((symbol) => symbol !== SEPARATOR)
        .map((symbol) => symbol - 1),
    )
  const whole = decode(symbols.length)
  const snippet = whole.trim()
  const lead = whole.length - whole.trimStart().length
  const offset = (symbol: number): number =>
    Math.max(0, Math.min(snippet.length, decode(symbol - start).length - lead))
  const highlights = spans
    .map(({ recordStart, length }) => ({
      start: offset(recordStart),
      end: offset(recordStart + length),
    }))
    .filter(({ start, end }) => start < end)
    .toSorted((a, b) => a.start - b.start)
  return { snippet, highlights }
}
