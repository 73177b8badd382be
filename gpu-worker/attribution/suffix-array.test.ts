import assert from 'node:assert/strict'
import test from 'node:test'
import { suffixArray } from './sais.ts'
import {
  buildCorpus,
  longestMatch,
  mergeCorpora,
  openCorpus,
  rangeOf,
  SEPARATOR,
  withoutSuffixes,
  type Text,
} from './suffix-array.ts'

const random = (seed: number) => {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** By definition: symbol by symbol; an end sorts before every token, and before later ends. */
const compareSuffixes = (text: Text) => (a: number, b: number) => {
  for (let k = 0; ; k++) {
    const [x, y] = [text[a + k], text[b + k]]
    if (x === SEPARATOR && y === SEPARATOR) return a - b
    if (x !== y) return x! - y!
  }
}

/** A text of short documents over a small alphabet, each ended by the separator. */
function documents(below: (n: number) => number, alphabet: number): Uint16Array {
  const text: number[] = []
  for (let d = below(5); d >= 0; d--) {
    for (let n = below(9); n > 0; n--) text.push(1 + below(alphabet))
    text.push(SEPARATOR)
  }
  return Uint16Array.from(text)
}

const bruteSuffixes = (text: Text) =>
  [...text.keys()].filter((at) => text[at] !== SEPARATOR).toSorted(compareSuffixes(text))
const occurrences = (text: Text, pattern: Int32Array) =>
  [...text.keys()].filter((at) => pattern.every((symbol, k) => text[at + k] === symbol))

function bruteLongest(text: Text, query: Int32Array, from: number): number {
  for (let length = query.length - from; length > 0; length--)
    if (occurrences(text, query.subarray(from, from + length)).length > 0) return length
  return 0
}

test('the suffix array equals sorting the suffixes, on 20,000 small-alphabet texts', () => {
  const below = random(1)
  for (let c = 0; c < 20_000; c++) {
    const alphabet = 1 + below(4)
    const text = Int32Array.from({ length: below(30) }, () => below(alphabet))
    const expected = [...text.keys()].toSorted((a, b) => {
      const shared = [...text.keys()].findIndex((k) => text[a + k] !== text[b + k])
      return (text[a + shared] ?? -1) - (text[b + shared] ?? -1) // past the end is smallest
    })
    assert.deepEqual([...suffixArray(text, alphabet - 1)], expected, `[${text}]`)
  }
})

test('order, longest matches and ranges equal brute force on 4,000 corpora', () => {
  const below = random(2)
  let beforeFirst = 0
  let afterLast = 0
  for (let c = 0; c < 4_000; c++) {
    const alphabet = 1 + below(4)
    const text = documents(below, alphabet)
    const corpus = buildCorpus(text, alphabet)
    assert.deepEqual([...corpus.suffixes], bruteSuffixes(text), `[${text}]`)
    // One symbol more than the corpus has, so that queries also sort after every suffix.
    const query = Int32Array.from({ length: below(12) }, () => 1 + below(alphabet + 1))
    for (const from of query.keys()) {
      const length = bruteLongest(text, query, from)
      assert.equal(longestMatch(corpus, query, from), length, `[${text}] [${query}] from ${from}`)
      const { from: first, to } = rangeOf(corpus, query, from, Math.max(1, length))
      assert.deepEqual(
        [...corpus.suffixes.subarray(first, to)].toSorted((a, b) => a - b),
        occurrences(text, query.subarray(from, from + Math.max(1, length))),
      )
      const tail = rangeOf(corpus, query, from, query.length - from)
      if (length > 0 && tail.from === 0 && tail.to === 0) beforeFirst++
      if (length > 0 && tail.from === corpus.suffixes.length) afterLast++
    }
  }
  assert.ok(beforeFirst > 100, `${beforeFirst} queries before the first suffix that still match`)
  assert.ok(afterLast > 100, `${afterLast} queries after the last suffix that still match`)
})

test('merging gives the bytes of building, leaving out those of building without, on 2,000 corpora', () => {
  const below = random(3)
  for (let c = 0; c < 2_000; c++) {
    const alphabet = 1 + below(4)
    const parts = [documents(below, alphabet), documents(below, alphabet)] as const
    const [a, b] = parts.map((text) => buildCorpus(text, alphabet)) as [
      ReturnType<typeof buildCorpus>,
      ReturnType<typeof buildCorpus>,
    ]
    const whole = buildCorpus(Uint16Array.from([...parts[0], ...parts[1]]), alphabet)
    assert.deepEqual(mergeCorpora(a, b), whole)
    assert.deepEqual(openCorpus(whole.text, whole.suffixes, alphabet), whole)

    const kept = withoutSuffixes(whole, (position) => position >= parts[0].length)
    assert.deepEqual(
      [...kept.suffixes].map((position) => position - parts[0].length),
      [...b.suffixes],
    )
    assert.deepEqual(kept.buckets, b.buckets)
  }
})

test('a large vocabulary is held in four bytes a symbol and found alike', () => {
  const narrow = buildCorpus(Uint16Array.of(5, 6, 7, SEPARATOR), 7)
  const wide = buildCorpus(Int32Array.of(65_541, 65_542, 65_543, SEPARATOR), 70_000)
  assert.deepEqual(wide.suffixes, narrow.suffixes)
  assert.equal(longestMatch(wide, Int32Array.of(65_542, 65_543, 1), 0), 2)
  assert.equal(longestMatch(wide, Int32Array.of(80_000), 0), 0)
})

test('no match crosses from one document into the next', () => {
  const corpus = buildCorpus(Uint16Array.of(5, 6, SEPARATOR, 7, 8, SEPARATOR), 8)
  const query = Int32Array.of(5, 6, 7, 8)
  assert.deepEqual(
    [0, 1, 2, 3].map((from) => longestMatch(corpus, query, from)),
    [2, 1, 2, 1],
  )
})

test('suffixes out of the text or too few, and texts without an end, are refused', () => {
  const { text, suffixes } = buildCorpus(Uint16Array.of(5, 6, SEPARATOR, 7, 8, SEPARATOR), 8)
  const refused = (other: Int32Array, of: Text = text) =>
    assert.throws(() => openCorpus(of, other, 8), /not those of the text/)
  refused(suffixes.map(() => -1))
  refused(suffixes.subarray(1))
  refused(suffixes.map(() => 99))
  refused(suffixes, text.subarray(0, -1))
  assert.throws(() => buildCorpus(text.subarray(0, -1), 8), /no end/)
})
