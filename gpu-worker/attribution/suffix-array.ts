/**
 * A corpus of documents that can be searched for any sequence of tokens: its text and the suffixes that begin with a
 * token, sorted. Search is a binary search with the longest-common-prefix acceleration of Manber and Myers (SIAM J.
 * Comput. 1993) inside the bucket of the first symbol.
 *
 * A symbol is a token id plus one; 0 ends every document and never occurs in a query, so no match crosses from one
 * document into another. Ends sort before all tokens and among each other by position: the order of two suffixes never
 * depends on other documents. Therefore corpora can be merged, and documents left out, without sorting anything anew.
 */
import { suffixArray } from './sais.ts'

export const SEPARATOR = 0

/** Symbols, in two bytes each where the vocabulary allows. */
export type Text = Uint16Array | Int32Array

export type Corpus = {
  text: Text
  /** Positions of the suffixes that begin with a token, in their order. */
  suffixes: Int32Array
  /** Ranks of the suffixes that begin with symbol c: [buckets[c], buckets[c + 1]). */
  buckets: Int32Array
}

/** Ranks [from, to) of the suffixes that begin with what was searched for. */
export type Ranks = { from: number; to: number }

/** Room for a text whose symbols are at most `upper`. */
export const emptyText = (length: number, upper: number): Text =>
  upper <= 0xffff ? new Uint16Array(length) : new Int32Array(length)

/** Builds the corpus over a text whose symbols are at most `upper` and whose last symbol is a separator. */
export function buildCorpus(text: Text, upper: number): Corpus {
  if ((text.at(-1) ?? SEPARATOR) !== SEPARATOR)
    throw new Error('the last document of a corpus has no end')
  const buckets = bucketsOf(text, upper)
  const ends = text.length - (buckets[upper + 1] as number)
  // Each end becomes a symbol of its own, in order, below all tokens.
  const distinct = new Int32Array(text.length)
  let end = 0
  for (let i = 0; i < text.length; i++)
    distinct[i] = text[i] === SEPARATOR ? end++ : ends - 1 + (text[i] as number)
  const suffixes = suffixArray(distinct, ends + upper).subarray(ends)
  return { text, suffixes, buckets }
}

/** The first rank of every symbol among sorted suffixes, given their first symbols; then the number of suffixes. */
function bucketsOf(symbols: Text, upper: number): Int32Array {
  const buckets = new Int32Array(upper + 2)
  for (const symbol of symbols)
    if (symbol !== SEPARATOR) buckets[symbol + 1] = (buckets[symbol + 1] as number) + 1
  for (let c = 1; c < buckets.length; c++)
    buckets[c] = (buckets[c] as number) + (buckets[c - 1] as number)
  return buckets
}

/** The corpus of stored suffixes. Throws unless they are as many as the text's tokens and lie in it. */
export function openCorpus(text: Text, suffixes: Int32Array, upper: number): Corpus {
  const buckets = bucketsOf(text, upper)
  const isWhole = suffixes.length === buckets[upper + 1] && (text.at(-1) ?? SEPARATOR) === SEPARATOR
  // Looking at the text too would touch all of its memory; the order is for the file's hash to vouch for.
  if (!isWhole || suffixes.some((position) => position < 0 || position >= text.length))
    throw new Error('the suffixes are not those of the text')
  return { text, suffixes, buckets }
}

/** The corpus over the texts of `a` and then `b`, in linear time and the very bytes that `buildCorpus` would give. */
export function mergeCorpora(a: Corpus, b: Corpus): Corpus {
  const upper = a.buckets.length - 2
  const text = emptyText(a.text.length + b.text.length, upper)
  text.set(a.text)
  text.set(b.text, a.text.length)
  const suffixes = new Int32Array(a.suffixes.length + b.suffixes.length)
  const buckets = a.buckets.map((from, c) => from + (b.buckets[c] as number))
  const offset = a.text.length
  for (let c = 1, to = 0; c <= upper; c++) {
    let i = a.buckets[c] as number
    let j = b.buckets[c] as number
    const iEnd = a.buckets[c + 1] as number
    const jEnd = b.buckets[c + 1] as number
    while (i < iEnd && j < jEnd) {
      const position = a.suffixes[i] as number
      const other = (b.suffixes[j] as number) + offset
      if (comesFirst(text, position, other)) {
        suffixes[to++] = position
        i++
      } else {
        suffixes[to++] = other
        j++
      }
    }
    while (i < iEnd) suffixes[to++] = a.suffixes[i++] as number
    while (j < jEnd) suffixes[to++] = (b.suffixes[j++] as number) + offset
  }
  return { text, suffixes, buckets }
}

/** Whether the suffix at `a` sorts before the one at `b`, both with the same first symbol and a < b. */
function comesFirst(text: Text, a: number, b: number): boolean {
  for (let k = 1; ; k++) {
    const x = text[a + k] as number
    const y = text[b + k] as number
    if (x !== y) return x < y
    if (x === SEPARATOR) return true // equal documents' tails: the earlier end is the smaller one
  }
}

/** The corpus without the suffixes that `isLive` refuses by their position; positions keep their meaning. */
export function withoutSuffixes(
  { text, suffixes, buckets }: Corpus,
  isLive: (position: number) => boolean,
): Corpus {
  const live = suffixes.filter(isLive)
  const symbols = emptyText(live.length, buckets.length - 2)
  for (let rank = 0; rank < live.length; rank++)
    symbols[rank] = text[live[rank] as number] as number
  return { text, suffixes: live, buckets: bucketsOf(symbols, buckets.length - 2) }
}

/** Length of the longest prefix of query[from..] that occurs in the corpus. */
export function longestMatch(corpus: Corpus, query: Int32Array, from: number): number {
  const { text, suffixes } = corpus
  const { from: first, to: end } = bucketOf(corpus, query[from] ?? SEPARATOR)
  if (first === end) return 0
  let low = first
  let high = end
  let sharedLow = 1
  let sharedHigh = 1
  while (low < high) {
    const middle = (low + high) >>> 1
    const position = suffixes[middle] as number
    const shared = extend(text, position, query, from, Math.min(sharedLow, sharedHigh))
    if (from + shared === query.length) return shared
    if ((text[position + shared] as number) < (query[from + shared] as number)) {
      low = middle + 1
      sharedLow = shared
    } else {
      high = middle
      sharedHigh = shared
    }
  }
  // The best suffix is a neighbour of the insertion point, which may lie before the first rank or after the last.
  const before = low > first ? extend(text, suffixes[low - 1] as number, query, from, 1) : 0
  const after = low < end ? extend(text, suffixes[low] as number, query, from, 1) : 0
  return Math.max(before, after)
}

/** Ranks of the suffixes that begin with query[start, start + length); an empty range when none does. */
export function rangeOf(corpus: Corpus, query: Int32Array, start: number, length: number): Ranks {
  const { text, suffixes } = corpus
  const pattern = query.subarray(start, start + length)
  const bucket = bucketOf(corpus, pattern[0] ?? SEPARATOR)
  const bound = (from: number, afterEqual: boolean): number => {
    let low = from
    let high = bucket.to
    while (low < high) {
      const middle = (low + high) >>> 1
      const position = suffixes[middle] as number
      const shared = extend(text, position, pattern, 0, 1)
      const goRight =
        shared === pattern.length
          ? afterEqual
          : (text[position + shared] as number) < (pattern[shared] as number)
      if (goRight) low = middle + 1
      else high = middle
    }
    return low
  }
  const from = bound(bucket.from, false)
  return { from, to: bound(from, true) }
}

/** Ranks of the suffixes that begin with a symbol; none for the separator and symbols beyond the vocabulary. */
function bucketOf({ buckets }: Corpus, symbol: number): Ranks {
  const from = buckets[symbol]
  const to = buckets[symbol + 1]
  return symbol === SEPARATOR || from === undefined || to === undefined
    ? { from: 0, to: 0 }
    : { from, to }
}

/** Number of equal symbols from text[position..] and query[from..], of which `known` are known to be equal. */
function extend(
  text: Text,
  position: number,
  query: Int32Array,
  from: number,
  known: number,
): number {
  // A query has no separator and every document an end: the text never runs out first.
  const limit = query.length - from
  let shared = known
  while (shared < limit && text[position + shared] === query[from + shared]) shared++
  return shared
}
