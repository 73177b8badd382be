/** Which records shaped each sentence of a response: for showing only, money follows the response as a whole. */
import { PPM, type ParameterValues } from '#protocol/parameters.ts'
import type { Explanation } from '#protocol/generation.ts'
import { echoTest, responseVector, type AttributionIndex, type Response } from './attribute.ts'
import type { Tokenizer } from '../tokenizer.ts'
import type { GradientSource } from './gradients.ts'
import { scoreRows } from './index-rows.ts'

/** Each costs a backward pass; what is left of a longer response is one more. */
const MOST_SENTENCES = 16
const MOST_ROWS = 5

/** Characters [start, end) of the text, in UTF-16 code units, and tokens [from, to) of the response. */
type Sentence = { start: number; end: number; from: number; to: number }

/** The sentences of a response that have tokens; together they cover it. A token belongs to where it ends. */
export function sentencesOf({
  text,
  tokens,
  ends,
}: Pick<Response, 'text' | 'tokens' | 'ends'>): Sentence[] {
  const starts = [...new Intl.Segmenter('en', { granularity: 'sentence' }).segment(text)]
    .map(({ index }) => index)
    .slice(0, MOST_SENTENCES)
  const sentences: Sentence[] = []
  let from = 0
  for (const [i, start] of starts.entries()) {
    // A stop string may cut the last token's text: the last sentence takes all that is left.
    const end = starts[i + 1] ?? Infinity
    let to = from
    while (to < tokens.length && (ends[to] ?? 0) <= end) to++
    if (to > from) sentences.push({ start, end: Math.min(end, text.length), from, to })
    from = to
  }
  return sentences
}

/**
 * The records of most significant influence on each sentence, given the prompt and the sentences before it; revoked ones
 * are left out. Shares are of the influence of the records listed, in parts per million.
 */
export async function attributeSentences(
  response: Response,
  { index: loaded, spans }: AttributionIndex,
  { source, tokenizer }: { source: GradientSource; tokenizer: Pick<Tokenizer, 'decode'> },
  values: ParameterValues,
): Promise<NonNullable<Explanation['sentences']>> {
  const least = Number(values['attribution.significance'])
  const isEcho = echoTest(response, tokenizer)
  const found: NonNullable<Explanation['sentences']> = []
  for (const { start, end, from, to } of sentencesOf(response)) {
    const before = [...response.prompt, ...response.tokens.slice(0, from)]
    const query = await responseVector(
      {
        prompt: before,
        tokens: response.tokens.slice(from, to),
        isEcho: (at, length) => isEcho(from + at, length),
      },
      loaded,
      source,
    )
    const rows = scoreRows(
      loaded.index,
      query,
      (influence, significance, row) =>
        influence > 0 && significance >= least && !spans.revoked.has(row),
    )
      .toSorted((a, b) => Number(b.influence - a.influence) || a.row - b.row)
      .slice(0, MOST_ROWS)
    const sum = rows.reduce((n, { influence }) => n + influence, 0n)
    found.push({
      start,
      end,
      rows: rows.flatMap(({ row, influence, significance }) => {
        const identity = loaded.index.rows[row]
        if (!identity) return []
        const { record, contributor } = identity
        const share = Number((influence * PPM) / sum)
        return [{ record, contributor, share, significance: Number(significance) }]
      }),
    })
  }
  return found
}
