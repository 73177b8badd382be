/**
 * The verbatim half of attribution: which records contain the very words of a response.
 *
 * File `index/spans.bin`, little endian:
 *   8 bytes  magic "OLSPANS" and the version digit
 *   4 x u32  rows, symbols in the text, size of the information table, zero
 *   32 bytes sha256 of everything after this header
 *   i32[symbols] text: per row its trained tokens (id + 1); a 0 ends every segment
 *   i32[symbols] suffix array of the text
 *   i32[rows]    where each row's tokens start in the text
 *   i32[table]   information of each symbol in millinats, -ln of its smoothed frequency
 * Row i is row i of `index/rows.json`; a row stands for its near-duplicate cluster.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import type { Span } from '#protocol/receipt.ts'
import { buildCorpus, maximalMatches, SEPARATOR, type Corpus, type Match } from './suffix-array.ts'

export type SpanIndex = {
  corpus: Corpus
  /** Position in the text of each row's first symbol. */
  rowStart: Int32Array
  /** Millinats per symbol. */
  information: Int32Array
}

/** What the guards are; part of method version 1. */
export const SPAN_RULES = {
  /** Shorter matches say nothing. */
  minTokens: 6,
  /** Phrases that more clusters hold are boilerplate of the domain. */
  maxClusters: 10,
  /** Information that anybody's text of this kind shares by chance. */
  floorMillinats: 25_000,
} as const

const MAGIC = new TextEncoder().encode('OLSPANS1')
const HEADER_BYTES = 8 + 4 * 4 + 32
/** Spans that a receipt row can carry; see protocol/wire.ts. */
const MAX_SPANS_PER_ROW = 64
const PPM = 1_000_000

/** Builds the index over rows, each a list of token segments; `vocabulary` is the tokenizer's size. */
export function buildSpanIndex(
  rows: readonly (readonly (readonly number[])[])[],
  vocabulary: number,
): SpanIndex {
  const rowStart = new Int32Array(rows.length)
  const symbols: number[] = []
  rows.forEach((segments, row) => {
    rowStart[row] = symbols.length
    for (const segment of segments) {
      for (const token of segment) symbols.push(token + 1)
      symbols.push(SEPARATOR)
    }
  })
  const text = Int32Array.from(symbols)
  return {
    corpus: buildCorpus(text, vocabulary),
    rowStart,
    information: unigramInformation(text, vocabulary),
  }
}

/** -ln((count + 1) / (tokens + vocabulary)) in millinats; entry 0, the separator's, is unused. */
function unigramInformation(text: Int32Array, vocabulary: number): Int32Array {
  const counts = new Float64Array(vocabulary + 1)
  for (const symbol of text) counts[symbol] = (counts[symbol] as number) + 1
  const tokens = text.length - (counts[SEPARATOR] as number)
  return Int32Array.from(counts, (count, symbol) =>
    symbol === SEPARATOR ? 0 : Math.round(-1000 * Math.log((count + 1) / (tokens + vocabulary))),
  )
}

/**
 * The index without some rows: their symbols become separators and the text is sorted anew, so what they shared
 * with others is found there, and positions keep their meaning.
 */
export function withoutRows(index: SpanIndex, revoked: ReadonlySet<number>): SpanIndex {
  const text = index.corpus.text.slice()
  for (const row of revoked) text.fill(SEPARATOR, index.rowStart[row], index.rowStart[row + 1])
  return { ...index, corpus: buildCorpus(text, index.information.length - 1) }
}

export type RowText = { text: bigint; spans: Span[] }
export type SpanCredit = {
  /** Millinats credited and spans per row. */
  rows: Map<number, RowText>
  /** Millinats of the response that credited spans cover, and in all. */
  covered: bigint
  total: bigint
}

/**
 * Credits the verbatim spans of a response (token ids) to rows. Spans that `isEcho` says are in the prompt, too short,
 * or held by too many clusters earn nothing. Overlapping spans share: the more informative one is credited
 * first and no token counts twice. A span's weight, information above the floor times idf, is split equally
 * over the clusters that hold it.
 */
export function creditSpans(
  index: SpanIndex,
  response: readonly number[],
  isEcho: (start: number, length: number) => boolean,
): SpanCredit {
  const query = Int32Array.from(response, (token) => token + 1)
  const information = Array.from(query, (symbol) => index.information[symbol] ?? 0)
  const informationOf = (start: number, length: number) =>
    sum(information.slice(start, start + length))
  const matches = maximalMatches(index.corpus, query, SPAN_RULES.minTokens)
    .filter(({ start, length }) => !isEcho(start, length))
    .map((match) => ({ ...match, information: informationOf(match.start, match.length) }))
    .toSorted((a, b) => b.information - a.information || a.start - b.start)

  const credit: SpanCredit = { rows: new Map(), covered: 0n, total: BigInt(sum(information)) }
  const taken = new Uint8Array(query.length)
  for (const match of matches) {
    const holders = holdersOf(index, match)
    if (holders === null) continue
    let fresh = 0
    for (let i = match.start; i < match.start + match.length; i++)
      if (taken[i] === 0) fresh += information[i] ?? 0
    const above = fresh - SPAN_RULES.floorMillinats
    if (above <= 0) continue
    taken.fill(1, match.start, match.start + match.length)
    credit.covered += BigInt(fresh)
    const idf = inverseFrequency(holders.size, index.rowStart.length)
    const share = BigInt(Math.floor((above * idf) / PPM / holders.size))
    for (const [row, recordStart] of holders) {
      const held = credit.rows.get(row) ?? { text: 0n, spans: [] }
      held.text += share
      if (held.spans.length < MAX_SPANS_PER_ROW)
        held.spans.push({ outputStart: match.start, recordStart, length: match.length })
      credit.rows.set(row, held)
    }
  }
  return credit
}

/** Token ids of a row's text from a position on, at most `count`, up to the end of the row; separators are left out. */
export function rowText(
  { corpus, rowStart }: SpanIndex,
  row: number,
  from: number,
  count: number,
): number[] {
  const start = (rowStart[row] ?? corpus.text.length) + from
  const end = Math.min(start + count, rowStart[row + 1] ?? corpus.text.length)
  return [...corpus.text.subarray(start, end)]
    .filter((symbol) => symbol !== SEPARATOR)
    .map((symbol) => symbol - 1)
}

/** Rows that hold a match, each with the first position of it in the row; null when they are too many. */
function holdersOf({ corpus, rowStart }: SpanIndex, match: Match): Map<number, number> | null {
  const holders = new Map<number, number>()
  for (let rank = match.from; rank < match.to; rank++) {
    const position = corpus.suffixes[rank] as number
    const row = lastAtMost(rowStart, position)
    const recordStart = position - (rowStart[row] as number)
    holders.set(row, Math.min(recordStart, holders.get(row) ?? recordStart))
    if (holders.size > SPAN_RULES.maxClusters) return null
  }
  return holders
}

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

/** Bytes of `index/spans.bin`; equal indexes have equal bytes. */
export function encodeSpanIndex({ corpus, rowStart, information }: SpanIndex): Uint8Array {
  const body = Buffer.concat(
    [corpus.text, corpus.suffixes, rowStart, information].map(littleEndian),
  )
  const header = Buffer.alloc(HEADER_BYTES)
  header.set(MAGIC)
  header.writeUInt32LE(rowStart.length, 8)
  header.writeUInt32LE(corpus.text.length, 12)
  header.writeUInt32LE(information.length, 16)
  header.set(sha256(body), 24)
  return Buffer.concat([header, body])
}

/** Reads `index/spans.bin`; throws when it is not one, of another version, or damaged. */
export function decodeSpanIndex(bytes: Uint8Array): SpanIndex {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!file.subarray(0, MAGIC.length).equals(MAGIC))
    throw new Error('spans.bin: not a version 1 span index')
  const [rows, symbols, table] = [8, 12, 16].map((at) => file.readUInt32LE(at)) as [
    number,
    number,
    number,
  ]
  const body = file.subarray(HEADER_BYTES)
  if (body.length !== 4 * (2 * symbols + rows + table))
    throw new Error(
      `spans.bin: ${body.length} bytes do not hold ${symbols} symbols of ${rows} rows`,
    )
  if (!file.subarray(24, HEADER_BYTES).equals(sha256(body)))
    throw new Error('spans.bin: the content does not match its checksum')
  const copy = body.buffer.slice(body.byteOffset, body.byteOffset + body.length)
  let at = 0
  const take = (count: number) => {
    const array = new Int32Array(copy, at, count)
    at += 4 * count
    return array
  }
  return {
    corpus: { text: take(symbols), suffixes: take(symbols) },
    rowStart: take(rows),
    information: take(table),
  }
}

// Every platform Node runs on is little endian, so the arrays' memory is the file's.
const littleEndian = (array: Int32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
