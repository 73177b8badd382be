/**
 * The verbatim half of attribution: which records contain the very words of a response.
 *
 * Rows lie in shards, each a corpus of its own that never changes. Added rows become a new shard, and neighbours of
 * similar size are merged, so that there are few shards and every symbol is moved O(log) times. A row is a record that
 * stands for its near-duplicate cluster; rows are numbered through all shards.
 */
import type { Span } from '#protocol/receipt.ts'
import { SEGMENT_END } from '#protocol/tokens.ts'
import type { SpanVerdict } from '#protocol/evidence.ts'
import {
  buildCorpus,
  emptyText,
  longestMatch,
  mergeCorpora,
  rangeOf,
  SEPARATOR,
  withoutSuffixes,
  type Corpus,
  type Text,
} from './suffix-array.ts'

export type SpanShard = {
  corpus: Corpus
  /** Position in the text of each row's first symbol. */
  rowStart: Int32Array
}

export type SpanIndex = {
  shards: readonly SpanShard[]
  /** Number of token ids. */
  vocabulary: number
  /** Number of rows, revoked ones included. */
  rows: number
  /** Rows that nothing is credited to. */
  revoked: ReadonlySet<number>
  /** Millinats per symbol: -ln of its smoothed frequency. */
  information: Int32Array
}

/** A row's trained tokens, in segments that no span crosses. */
export type RowTokens = readonly ArrayLike<number>[]

/** What the guards are; part of method version 1. */
export const SPAN_RULES = {
  /** Shorter matches say nothing. */
  minTokens: 6,
  /** Phrases that more clusters hold are boilerplate of the domain. */
  maxClusters: 10,
  /** Information that anybody's text of this kind shares by chance. */
  floorMillinats: 25_000,
} as const

/** Spans that a receipt row can carry; see protocol/wire.ts. */
const MAX_SPANS_PER_ROW = 64
/**
 * Symbols sorted at once, 10 bytes of memory each. Induced sorting reads its text at random, and still does so less often
 * than merging smaller sorted blocks would: 32 M symbols take less than half the time of blocks of 2 M.
 */
const BLOCK_SYMBOLS = 2 ** 26
const PPM = 1_000_000

export const emptySpanIndex = (vocabulary: number): SpanIndex => withShards([], vocabulary)

/** Builds the index over rows, block by block, into one shard; `vocabulary` is the tokenizer's size. */
export function buildSpanIndex(rows: Iterable<RowTokens>, vocabulary: number): SpanIndex {
  let index = emptySpanIndex(vocabulary)
  let block: RowTokens[] = []
  let symbols = 0
  for (const row of rows) {
    block.push(row)
    symbols += symbolsOf(row)
    if (symbols < BLOCK_SYMBOLS) continue
    index = addRows(index, block)
    block = []
    symbols = 0
  }
  if (block.length > 0) index = addRows(index, block)
  const [merged, ...rest] = index.shards.toReversed()
  if (!merged) return index
  return withShards([rest.reduce((right, left) => mergeShards(left, right), merged)], vocabulary)
}

/** The index with more rows at its end. */
export function addRows(index: SpanIndex, rows: readonly RowTokens[]): SpanIndex {
  if (rows.length === 0) return index
  const shards = [...index.shards, shardOf(rows, index.vocabulary)]
  for (;;) {
    const [last, before] = [shards.at(-1), shards.at(-2)]
    if (!last || !before || before.corpus.text.length >= 2 * last.corpus.text.length) break
    shards.splice(-2, 2, mergeShards(before, last))
  }
  return withShards(shards, index.vocabulary, index.revoked)
}

/** The index in which nothing is credited to some rows; what they shared is found in the others. */
export function withoutRows(index: SpanIndex, revoked: ReadonlySet<number>): SpanIndex {
  let firstRow = 0
  const shards = index.shards.map(({ corpus, rowStart }) => {
    const first = firstRow
    firstRow += rowStart.length
    const isGone = Uint8Array.from(rowStart, (_, row) => Number(revoked.has(first + row)))
    const isLive = (position: number) => isGone[lastAtMost(rowStart, position)] === 0
    return { rowStart, corpus: isGone.includes(1) ? withoutSuffixes(corpus, isLive) : corpus }
  })
  return { ...index, shards, revoked: new Set([...index.revoked, ...revoked]) }
}

/** An index over shards, whose rows follow each other. */
export function withShards(
  shards: readonly SpanShard[],
  vocabulary: number,
  revoked: ReadonlySet<number> = new Set(),
): SpanIndex {
  return {
    shards,
    vocabulary,
    rows: shards.reduce((n, { rowStart }) => n + rowStart.length, 0),
    revoked,
    information: unigramInformation(shards, vocabulary),
  }
}

function shardOf(rows: readonly RowTokens[], vocabulary: number): SpanShard {
  const text = emptyText(
    rows.reduce((n, row) => n + symbolsOf(row), 0),
    vocabulary,
  )
  const rowStart = new Int32Array(rows.length)
  let at = 0
  rows.forEach((segments, row) => {
    rowStart[row] = at
    for (const segment of segments) {
      for (let i = 0; i < segment.length; i++) text[at++] = (segment[i] as number) + 1
      text[at++] = SEPARATOR
    }
  })
  return { corpus: buildCorpus(text, vocabulary), rowStart }
}

const symbolsOf = (row: RowTokens): number => row.reduce((n, { length }) => n + length + 1, 0)

function mergeShards(a: SpanShard, b: SpanShard): SpanShard {
  const rowStart = new Int32Array(a.rowStart.length + b.rowStart.length)
  rowStart.set(a.rowStart)
  rowStart.set(
    b.rowStart.map((start) => start + a.corpus.text.length),
    a.rowStart.length,
  )
  return { corpus: mergeCorpora(a.corpus, b.corpus), rowStart }
}

/** -ln((count + 1) / (tokens + vocabulary)) in millinats; entry 0, the separator's, is unused. */
function unigramInformation(shards: readonly SpanShard[], vocabulary: number): Int32Array {
  const counts = new Float64Array(vocabulary + 1)
  for (const { corpus } of shards)
    for (const symbol of corpus.text) counts[symbol] = (counts[symbol] as number) + 1
  counts[SEPARATOR] = 0
  const tokens = sum(counts)
  return Int32Array.from(counts, (count, symbol) =>
    symbol === SEPARATOR ? 0 : Math.round(-1000 * Math.log((count + 1) / (tokens + vocabulary))),
  )
}

/** Response tokens [start, start + length) stand in some row, and no longer stretch around them does. */
export type SpanMatch = {
  start: number
  length: number
  /** Millinats of those tokens that no more informative credited match covers. */
  information: number
  verdict: SpanVerdict
  /** The rows that hold it, with the first place in each; only the first `maxClusters` + 1 of boilerplate. */
  holders: Map<number, number>
}

export type RowText = { text: bigint; spans: Span[] }
export type SpanCredit = {
  /** Millinats credited and spans per row. */
  rows: Map<number, RowText>
  /** Millinats of the response that credited spans cover, and in all. */
  covered: bigint
  total: bigint
}

export type IsEcho = (start: number, length: number) => boolean

/**
 * Credits the verbatim spans of a response (token ids) to rows. Spans that `isEcho` says are in the prompt, too short,
 * or held by too many clusters earn nothing. Overlapping spans share: the more informative one is credited
 * first and no token counts twice. A span's weight, information above the floor times idf, is split equally
 * over the clusters that hold it, however often each does.
 */
export function creditSpans(
  index: SpanIndex,
  response: readonly number[],
  isEcho: IsEcho,
): SpanCredit {
  const credit: SpanCredit = {
    rows: new Map(),
    covered: 0n,
    total: BigInt(sum(informationOf(index, response))),
  }
  const clusters = index.rows - index.revoked.size
  for (const match of judgeSpans(index, response, isEcho)) {
    if (match.verdict !== 'credited') continue
    credit.covered += BigInt(match.information)
    const above = match.information - SPAN_RULES.floorMillinats
    const idf = inverseFrequency(match.holders.size, clusters)
    const share = BigInt(Math.floor((above * idf) / PPM / match.holders.size))
    for (const [row, recordStart] of match.holders) {
      const held = credit.rows.get(row) ?? { text: 0n, spans: [] }
      held.text += share
      if (held.spans.length < MAX_SPANS_PER_ROW)
        held.spans.push({ outputStart: match.start, recordStart, length: match.length })
      credit.rows.set(row, held)
    }
  }
  return credit
}

/** The maximal stretches that a response shares with the index, the most informative first, each with its verdict. */
export const judgeSpans = (
  index: SpanIndex,
  response: readonly number[],
  isEcho: IsEcho,
): SpanMatch[] =>
  judge(index, maximalMatches(index, queryOf(response)), {
    response,
    isEcho,
    left: informationOf(index, response),
  })

/** The same for the stretches that a response shares with one row, revoked or not: why it is credited, or not. */
export function judgeRowSpans(
  index: SpanIndex,
  row: number,
  response: readonly number[],
  isEcho: IsEcho,
): SpanMatch[] {
  const { corpus, start, end } = placeOf(index, row)
  const alone = {
    corpus: buildCorpus(corpus.text.slice(start, end), index.vocabulary),
    rowStart: Int32Array.of(0),
  }
  const query = queryOf(response)
  const judging = { response, isEcho, left: informationOf(index, response) }
  const all = judge(index, maximalMatches(index, query), judging)
  return maximalMatches({ shards: [alone] }, query).flatMap((stretch) => {
    const known = all.find(
      (match) => match.start === stretch.start && match.length === stretch.length,
    )
    return known ?? judge(index, [stretch], judging)
  })
}

type Stretch = { start: number; length: number }
type Judging = {
  response: readonly number[]
  isEcho: IsEcho
  /** Millinats of every token that no credited match has taken; judging takes. */
  left: Int32Array
}

function judge(
  index: SpanIndex,
  stretches: readonly Stretch[],
  { response, isEcho, left }: Judging,
): SpanMatch[] {
  const query = queryOf(response)
  const whole = informationOf(index, response)
  const within = (information: Int32Array, { start, length }: Stretch) =>
    sum(information.subarray(start, start + length))
  return stretches
    .toSorted((a, b) => within(whole, b) - within(whole, a) || a.start - b.start)
    .map(({ start, length }) => {
      const stretch = { start, length }
      const holders = holdersOf(index, query, stretch)
      const information = within(left, stretch)
      const verdict = isEcho(start, length)
        ? 'prompt_echo'
        : holders.size > SPAN_RULES.maxClusters
          ? 'boilerplate'
          : within(whole, stretch) <= SPAN_RULES.floorMillinats
            ? 'below_floor'
            : information <= SPAN_RULES.floorMillinats
              ? 'covered'
              : 'credited'
      if (verdict === 'credited') left.fill(0, start, start + length)
      return { start, length, information, verdict, holders }
    })
}

/** Every shared stretch of enough tokens that no longer one contains, by rising start. */
function maximalMatches({ shards }: Pick<SpanIndex, 'shards'>, query: Int32Array): Stretch[] {
  const matches: Stretch[] = []
  let lastEnd = 0
  for (let start = 0; start + SPAN_RULES.minTokens <= query.length; start++) {
    let length = 0
    for (const { corpus } of shards) length = Math.max(length, longestMatch(corpus, query, start))
    // It ends no earlier than the longest from start - 1 does: inside that one unless it ends later.
    if (length < SPAN_RULES.minTokens || start + length <= lastEnd) continue
    lastEnd = start + length
    matches.push({ start, length })
  }
  return matches
}

/** Rows that hold a stretch, each with the first position of it in the row; no more than make it boilerplate. */
function holdersOf(
  { shards }: SpanIndex,
  query: Int32Array,
  { start, length }: Stretch,
): Map<number, number> {
  const holders = new Map<number, number>()
  let firstRow = 0
  for (const { corpus, rowStart } of shards) {
    const { from, to } = rangeOf(corpus, query, start, length)
    for (let rank = from; rank < to; rank++) {
      const position = corpus.suffixes[rank] as number
      const inShard = lastAtMost(rowStart, position)
      const row = firstRow + inShard
      const recordStart = position - (rowStart[inShard] as number)
      holders.set(row, Math.min(recordStart, holders.get(row) ?? recordStart))
      if (holders.size > SPAN_RULES.maxClusters) return holders
    }
    firstRow += rowStart.length
  }
  return holders
}

/** Symbols of a row from a position on, at most `count`, up to the end of the row. */
export function rowSymbols(index: SpanIndex, row: number, from: number, count: number): Text {
  const { corpus, start, end } = placeOf(index, row)
  return corpus.text.subarray(start + from, Math.min(start + from + count, end))
}

/** All token ids of a row as its leaf in the influence index commits to them: protocol/tokens.ts. */
export function rowTokens(index: SpanIndex, row: number): number[] {
  const { corpus, start, end } = placeOf(index, row)
  // A row ends with a separator, unless it is empty.
  return Array.from(corpus.text.subarray(start, Math.max(start, end - 1)), (symbol) =>
    symbol === SEPARATOR ? SEGMENT_END : symbol - 1,
  )
}

/** Where a row's symbols lie. Throws a RangeError when there is no such row. */
function placeOf({ shards }: SpanIndex, row: number) {
  let inShard = row
  for (const { corpus, rowStart } of shards) {
    const start = rowStart[inShard]
    if (start !== undefined)
      return { corpus, start, end: rowStart[inShard + 1] ?? corpus.text.length }
    inShard -= rowStart.length
  }
  throw new RangeError(`the span index has no row ${row}`)
}

const queryOf = (response: readonly number[]): Int32Array =>
  Int32Array.from(response, (token) => token + 1)

const informationOf = ({ information }: SpanIndex, response: readonly number[]): Int32Array =>
  Int32Array.from(response, (token) => information[token + 1] ?? 0)

/** ln(clusters / holders) / ln(clusters) in ppm: 1 for a span that one cluster holds. */
const inverseFrequency = (holders: number, clusters: number): number =>
  clusters <= 1 ? PPM : Math.round((PPM * Math.log(clusters / holders)) / Math.log(clusters))

/** Index of the last entry of a rising array that is at most `value`; equal entries: the last. */
function lastAtMost(rising: Int32Array, value: number): number {
  let low = 0
  let high = rising.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((rising[middle] as number) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

const sum = (numbers: Iterable<number>): number => {
  let total = 0
  for (const one of numbers) total += one
  return total
}
