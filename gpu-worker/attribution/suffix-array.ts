/**
 * Longest matches of a token sequence in a corpus, by binary search over a suffix array with the
 * longest-common-prefix acceleration of Manber and Myers (SIAM J. Comput. 1993).
 *
 * A corpus symbol is a token id plus one; 0 separates documents and never occurs in a query, so no match
 * crosses from one document into another.
 */
import { suffixArray } from './sais.ts'

export const SEPARATOR = 0

export type Corpus = { text: Int32Array; suffixes: Int32Array }

/** A maximal match: query symbols [start, start + length) equal the corpus suffixes ranked [from, to). */
export type Match = { start: number; length: number; from: number; to: number }

/** Builds the corpus over a text whose symbols are at most `upper`. */
export const buildCorpus = (text: Int32Array, upper: number): Corpus => ({
  text,
  suffixes: suffixArray(text, upper),
})

/** Length of the longest prefix of query[from..] that occurs in the corpus. */
export function longestMatch({ text, suffixes }: Corpus, query: Int32Array, from: number): number {
  const n = suffixes.length
  let low = 0
  let high = n
  let sharedLow = 0
  let sharedHigh = 0
  while (low < high) {
    const middle = (low + high) >>> 1
    const shared = extend(
      text,
      suffixes[middle] as number,
      query,
      from,
      Math.min(sharedLow, sharedHigh),
    )
    if (from + shared === query.length) return shared
    if (isBefore(text, (suffixes[middle] as number) + shared, query[from + shared] as number)) {
      low = middle + 1
      sharedLow = shared
    } else {
      high = middle
      sharedHigh = shared
    }
  }
  // The best suffix is a neighbour of the insertion point, which may lie before rank 0 or after rank n - 1.
  const before = low > 0 ? extend(text, suffixes[low - 1] as number, query, from, 0) : 0
  const after = low < n ? extend(text, suffixes[low] as number, query, from, 0) : 0
  return Math.max(before, after)
}

/** Ranks [from, to) of the suffixes that begin with query[start, start + length). */
export function rangeOf(
  { text, suffixes }: Corpus,
  query: Int32Array,
  start: number,
  length: number,
): { from: number; to: number } {
  const pattern = query.subarray(start, start + length)
  const bound = (afterEqual: boolean) => {
    let low = 0
    let high = suffixes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const position = suffixes[middle] as number
      const shared = extend(text, position, pattern, 0, 0)
      const goRight =
        shared === length
          ? afterEqual
          : isBefore(text, position + shared, pattern[shared] as number)
      if (goRight) low = middle + 1
      else high = middle
    }
    return low
  }
  return { from: bound(false), to: bound(true) }
}

/** Every match of at least `minLength` symbols that no longer match contains, by rising start. */
export function maximalMatches(corpus: Corpus, query: Int32Array, minLength: number): Match[] {
  const matches: Match[] = []
  let lastEnd = 0
  for (let start = 0; start + minLength <= query.length; start++) {
    const length = longestMatch(corpus, query, start)
    // longestMatch(start) ends no earlier than longestMatch(start - 1): inside the last one unless it ends later.
    if (length < minLength || start + length <= lastEnd) continue
    lastEnd = start + length
    matches.push({ start, length, ...rangeOf(corpus, query, start, length) })
  }
  return matches
}

/** Number of equal symbols from text[position..] and query[from..], of which `known` are known to be equal. */
function extend(
  text: Int32Array,
  position: number,
  query: Int32Array,
  from: number,
  known: number,
): number {
  const limit = Math.min(text.length - position, query.length - from)
  let shared = known
  while (shared < limit && text[position + shared] === query[from + shared]) shared++
  return shared
}

/** Whether the text at `position` sorts before a symbol; past its end it sorts before everything. */
const isBefore = (text: Int32Array, position: number, symbol: number): boolean =>
  position >= text.length || (text[position] as number) < symbol
