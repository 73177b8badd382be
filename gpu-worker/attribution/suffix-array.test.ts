import assert from 'node:assert/strict'
import test from 'node:test'
import { suffixArray } from './sais.ts'
import { buildCorpus, longestMatch, maximalMatches, rangeOf, SEPARATOR } from './suffix-array.ts'

const random = (seed: number) => {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const compareSuffixes = (text: Int32Array) => (a: number, b: number) => {
  const shared = Array.from(text.keys()).findIndex((k) => text[a + k] !== text[b + k])
  // Past the end every symbol is smaller than any other.
  return (text[a + shared] ?? -1) - (text[b + shared] ?? -1)
}

/** A text of short documents over a small alphabet, each ended by the separator. */
function documents(below: (n: number) => number, alphabet: number): Int32Array {
  const text: number[] = []
  for (let d = below(5); d >= 0; d--) {
    for (let n = below(9); n > 0; n--) text.push(1 + below(alphabet))
    text.push(SEPARATOR)
  }
  return Int32Array.from(text)
}

const occursAt = (text: Int32Array, at: number, pattern: Int32Array) =>
  pattern.every((symbol, k) => text[at + k] === symbol)
const occurrences = (text: Int32Array, pattern: Int32Array) =>
  Array.from(text.keys()).filter((at) => occursAt(text, at, pattern))

function bruteLongest(text: Int32Array, query: Int32Array, from: number): number {
  for (let length = query.length - from; length > 0; length--)
    if (occurrences(text, query.subarray(from, from + length)).length > 0) return length
  return 0
}

test('the suffix array equals sorting the suffixes, on 20,000 small-alphabet texts', () => {
  const below = random(1)
  for (let c = 0; c < 20_000; c++) {
    const alphabet = 1 + below(4)
    const text = Int32Array.from({ length: below(30) }, () => below(alphabet))
    const expected = Array.from(text.keys()).sort(compareSuffixes(text))
    assert.deepEqual([...suffixArray(text, alphabet - 1)], expected, `[${text}]`)
  }
})

test('longest matches, ranges and maximal spans equal brute force on 5,000 corpora', () => {
  const below = random(2)
  let afterLast = 0
  for (let c = 0; c < 5_000; c++) {
    const alphabet = 1 + below(4)
    const text = documents(below, alphabet)
    const corpus = buildCorpus(text, alphabet)
    // One symbol more than the corpus has, so that queries also sort after every suffix.
    const query = Int32Array.from({ length: below(12) }, () => 1 + below(alphabet + 1))

    const longest = Array.from(query.keys(), (from) => bruteLongest(text, query, from))
    for (const [from, length] of longest.entries()) {
      assert.equal(longestMatch(corpus, query, from), length, `[${text}] [${query}] from ${from}`)
      const ranks = rangeOf(corpus, query, from, length)
      if (length > 0) {
        const found = [...corpus.suffixes.subarray(ranks.from, ranks.to)].toSorted((a, b) => a - b)
        assert.deepEqual(found, occurrences(text, query.subarray(from, from + length)))
      }
      const tail = rangeOf(corpus, query, from, query.length - from)
      if (tail.from === text.length) afterLast++
    }

    const minLength = 1 + below(3)
    const expected = longest.flatMap((length, start) => {
      const contained = longest.some(
        (other, at) => at < start && at + other >= start + length && other > length,
      )
      return length >= minLength && !contained ? [{ start, length }] : []
    })
    const spans = maximalMatches(corpus, query, minLength)
    assert.deepEqual(
      spans.map(({ start, length }) => ({ start, length })),
      expected,
    )
  }
  assert.ok(afterLast > 500, 'queries beyond the last suffix were tried')
})

test('a query that sorts before every suffix still matches the first one', () => {
  // Without documents' separators the smallest suffix is [2, 3]; the query [2, 1] sorts before it and shares 2.
  const corpus = buildCorpus(Int32Array.of(2, 3, 3), 3)
  assert.equal(longestMatch(corpus, Int32Array.of(2, 1), 0), 1)
})

test('no match crosses from one document into the next', () => {
  const corpus = buildCorpus(Int32Array.of(5, 6, SEPARATOR, 7, 8, SEPARATOR), 8)
  assert.deepEqual(
    maximalMatches(corpus, Int32Array.of(5, 6, 7, 8), 1).map(({ start, length }) => [
      start,
      length,
    ]),
    [
      [0, 2],
      [2, 2],
    ],
  )
})
