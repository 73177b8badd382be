/** What an adapter's indexes say of any of its records for an answer given earlier: the numbers behind "why not me?". */
import type { Hex } from '#protocol/bytes.ts'
import { queryBytes } from '#protocol/receipt.ts'
import { dotInt8 } from '#protocol/score.ts'
import type { Evidence, EvidenceRequest } from '#protocol/evidence.ts'
import type { Tokenizer } from '../tokenizer.ts'
import type { AttributionIndex } from './attribute.ts'
import { echoTest } from './attribute.ts'
import { scoreRows } from './index-rows.ts'
import { creditSpans, judgeRowSpans } from './span-index.ts'

/**
 * Scores the stored query vector against all rows again and judges the words of the rows asked for, those of the most
 * influence first. Without texts nothing is said about words. Throws a RangeError when the query is not of this index.
 */
export function evidenceOf(
  request: EvidenceRequest,
  { index: { index }, spans }: Pick<AttributionIndex, 'index' | 'spans'>,
  tokenizer: Tokenizer,
): Evidence {
  const values = new Int8Array(queryBytes(request))
  if (values.length !== index.vectors.dims)
    throw new RangeError(
      `the query has ${values.length} dimensions, the index ${index.vectors.dims}`,
    )
  const ranked = scoreRows(index, { values, self: dotInt8(values, values) })
    .toSorted((a, b) => Number(b.influence - a.influence) || a.row - b.row)
    .map((score, i) => ({ ...score, rank: i + 1 }))
  const [records, clusters] = [request.records, request.clusters].map((list) => new Set<Hex>(list))
  const selected = ranked.flatMap(({ row, ...score }) => {
    const identity = index.rows[row]
    const isMeant =
      identity &&
      (records?.has(identity.record) ||
        clusters?.has(identity.cluster) ||
        identity.contributor === request.contributor)
    return isMeant ? [{ row, identity, score }] : []
  })

  const { texts } = request
  const isEcho = texts && echoTest({ promptText: texts.prompt, tokens: texts.tokens }, tokenizer)
  const credit = texts && isEcho && creditSpans(spans, texts.tokens, isEcho)
  return {
    rows: index.rows.length,
    selected: selected.length,
    evidence: selected.slice(0, request.limit).map(({ row, identity, score }) => ({
      record: identity.record,
      cluster: identity.cluster,
      contributor: identity.contributor,
      ...score,
      text: credit ? (credit.rows.get(row)?.text ?? 0n) : null,
      spans:
        texts && isEcho
          ? judgeRowSpans(spans, row, texts.tokens, isEcho).map(
              ({ start, length, information, verdict, holders }) => ({
                outputStart: start,
                length,
                information,
                verdict,
                holders: holders.size,
              }),
            )
          : null,
    })),
  }
}
