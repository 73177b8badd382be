import assert from 'node:assert/strict'
import test from 'node:test'
import { decodeSpanIndex, encodeSpanIndex } from './span-files.ts'
import {
  addRows,
  buildSpanIndex,
  creditSpans,
  emptySpanIndex,
  judgeRowSpans,
  judgeSpans,
  rowSymbols,
  SPAN_RULES,
  withoutRows,
  type IsEcho,
} from './span-index.ts'

const VOCABULARY = 5000
const noEcho = () => false
/** A run of tokens that are rare in the corpus. */
const run = (from: number, length: number) => Array.from({ length }, (_, i) => from + i)
/** Rows of distinct filler, so that frequencies and idf are those of a real index. */
const filler = Array.from({ length: 100 }, (_, i) => [run(2000 + 20 * i, 20)])

test('a record that holds the words of the response is credited with their place in both', () => {
  const words = run(100, 12)
  const index = buildSpanIndex([...filler, [run(50, 3), [60, ...words, 61]]], VOCABULARY)
  const credit = creditSpans(index, [7, 8, ...words, 9], noEcho)

  assert.deepEqual([...credit.rows.keys()], [100])
  // Segments: three tokens, a separator, then token 60: the words start at symbol 5 of the record.
  assert.deepEqual(credit.rows.get(100)?.spans, [{ outputStart: 2, recordStart: 5, length: 12 }])
  const perToken = BigInt(index.information[101]!)
  assert.equal(credit.covered, 12n * perToken)
  assert.equal(credit.rows.get(100)?.text, 12n * perToken - BigInt(SPAN_RULES.floorMillinats))
  assert.ok(credit.total > credit.covered)
})

test('information is minus the logarithm of the smoothed frequency', () => {
  const index = buildSpanIndex([[[1, 1, 1, 2]]], 10)
  assert.equal(index.information[2], Math.round(-1000 * Math.log(4 / 14)))
  assert.equal(index.information[3], Math.round(-1000 * Math.log(2 / 14)))
  assert.equal(index.information[9], Math.round(-1000 * Math.log(1 / 14)))
})

test('clusters that hold the same words share their credit, whatever the number of occurrences', () => {
  const words = run(100, 12)
  const alone = buildSpanIndex([...filler, [words], [run(300, 20)]], VOCABULARY)
  const shared = buildSpanIndex([...filler, [[...words, 1, ...words]], [words]], VOCABULARY)
  const single = creditSpans(alone, words, noEcho).rows.get(100)!.text
  const both = creditSpans(shared, words, noEcho).rows
  assert.equal(both.get(100)?.text, both.get(101)?.text)
  assert.deepEqual(both.get(100)?.spans, [{ outputStart: 0, recordStart: 0, length: 12 }])
  assert.ok(both.get(100)!.text + both.get(101)!.text < single)
})

test('words of the prompt, short matches and boilerplate earn nothing', () => {
  const words = run(100, 12)
  const index = buildSpanIndex([...filler, [words]], VOCABULARY)
  assert.equal(
    creditSpans(index, words, (start, length) => start === 0 && length === 12).rows.size,
    0,
  )
  const short = words.slice(0, SPAN_RULES.minTokens - 1)
  assert.equal(creditSpans(index, [...short, 1], noEcho).rows.size, 0)
  const copies = Array.from({ length: SPAN_RULES.maxClusters + 1 }, () => [words])
  const boilerplate = creditSpans(buildSpanIndex([...filler, ...copies], VOCABULARY), words, noEcho)
  assert.equal(boilerplate.rows.size, 0)
  assert.equal(boilerplate.covered, 0n)
})

test('overlapping spans never count a token of the response twice', () => {
  // Two records, each holding one half of the response and half of the other's half.
  const response = run(100, 24)
  const rows = [...filler, [response.slice(0, 16)], [response.slice(8)]]
  const credit = creditSpans(buildSpanIndex(rows, VOCABULARY), response, noEcho)
  assert.equal(credit.covered, credit.total)
  const paid = [...credit.rows.values()].reduce((n, row) => n + row.text, 0n)
  assert.ok(paid > 0n && paid < credit.total)
})

test('a revoked row is never credited, and what it shared is found in the others', () => {
  const words = run(100, 12)
  const index = buildSpanIndex([...filler, [[...words, 1]], [words.slice(0, 9)]], VOCABULARY)
  assert.deepEqual([...creditSpans(index, [...words, 1], noEcho).rows.keys()], [100])
  const after = creditSpans(withoutRows(index, new Set([100])), [...words, 1], noEcho)
  assert.deepEqual([...after.rows.keys()], [101])
  assert.deepEqual(after.rows.get(101)?.spans, [{ outputStart: 0, recordStart: 0, length: 9 }])
})

test('rows that come in batches are found as if they had come at once, in few shards', () => {
  const rows = [...filler, [run(100, 12)], [[...run(100, 7), 9]]]
  const whole = buildSpanIndex(rows, VOCABULARY)
  const grown = rows.reduce((index, row) => addRows(index, [row]), emptySpanIndex(VOCABULARY))
  assert.equal(whole.shards.length, 1)
  assert.ok(grown.shards.length <= Math.log2(rows.length), `${grown.shards.length} shards`)
  assert.deepEqual(grown.information, whole.information)
  const response = [7, ...run(100, 12), ...run(2020, 10)]
  assert.deepEqual(creditSpans(grown, response, noEcho), creditSpans(whole, response, noEcho))
  for (const [row, segments] of rows.entries())
    assert.deepEqual(
      [...rowSymbols(grown, row, 0, 99)],
      segments.flatMap((tokens) => [...Array.from(tokens, (token) => token + 1), 0]),
    )
  assert.throws(() => rowSymbols(grown, rows.length, 0, 1), RangeError)
})

test('every verdict says why a row is credited or not', () => {
  const words = run(100, 24)
  const common = run(200, 10)
  const rows = [
    ...filler,
    [words],
    [words.slice(0, 12)],
    [words.slice(3, 9)],
    ...Array.from({ length: SPAN_RULES.maxClusters + 1 }, () => [common]),
  ]
  const index = buildSpanIndex(rows, VOCABULARY)
  const response = [...words, 1, ...common]
  const verdicts = (row: number, isEcho: IsEcho = noEcho) =>
    judgeRowSpans(index, row, response, isEcho).map(({ verdict }) => verdict)
  assert.deepEqual(verdicts(100), ['credited'])
  assert.deepEqual(verdicts(101), ['covered'])
  assert.deepEqual(verdicts(103), ['boilerplate'])
  assert.deepEqual(verdicts(0), [])
  assert.deepEqual(
    verdicts(100, () => true),
    ['prompt_echo'],
  )
  const frequent = buildSpanIndex([...rows, [Array.from({ length: 3000 }, () => 100)]], VOCABULARY)
  const repeated = judgeRowSpans(
    frequent,
    100 + rows.length - 100,
    run(100, 1).concat(Array.from({ length: 6 }, () => 100)),
    noEcho,
  )
  assert.deepEqual(
    repeated.map(({ verdict }) => verdict),
    ['below_floor'],
  )
  // Revoked, it holds the words still, and is credited with nothing.
  const after = withoutRows(index, new Set([100]))
  assert.equal(creditSpans(after, words, noEcho).rows.has(100), false)
  assert.equal(judgeRowSpans(after, 100, response, noEcho)[0]?.holders.has(100), false)
})

/** All of it by definition: every occurrence in every segment of every live row. */
function bruteMatches(
  rows: readonly (readonly number[][])[],
  revoked: ReadonlySet<number>,
  response: number[],
) {
  const holds = (row: number, start: number, length: number) => {
    let at = 0
    for (const segment of rows[row]!) {
      for (let from = 0; from + length <= segment.length; from++)
        if (segment.slice(from, from + length).every((token, k) => token === response[start + k]))
          return at + from
      at += segment.length + 1
    }
    return -1
  }
  const live = [...rows.keys()].filter((row) => !revoked.has(row))
  const longest = response.map((_, start) => {
    for (let length = response.length - start; length > 0; length--)
      if (live.some((row) => holds(row, start, length) >= 0)) return length
    return 0
  })
  return longest.flatMap((length, start) => {
    if (length < SPAN_RULES.minTokens) return []
    if (longest.some((other, at) => at < start && at + other >= start + length)) return []
    const holders = live.flatMap((row) => {
      const place = holds(row, start, length)
      return place < 0 ? [] : [[row, place] as const]
    })
    return [{ start, length, holders }]
  })
}

test('matches and their holders equal brute force on 2,000 indexes grown, merged and revoked at random', () => {
  let state = 5
  const below = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
  let matched = 0
  for (let c = 0; c < 2_000; c++) {
    const alphabet = 1 + below(3)
    const rows = Array.from({ length: below(8) }, () =>
      Array.from({ length: below(3) }, () =>
        Array.from({ length: below(20) }, () => below(alphabet)),
      ),
    )
    let index = emptySpanIndex(alphabet + 1)
    for (let at = 0; at < rows.length;) {
      const size = 1 + below(3)
      index = addRows(index, rows.slice(at, at + size))
      at += size
    }
    const revoked = new Set([...rows.keys()].filter(() => below(4) === 0))
    index = withoutRows(decodeSpanIndex(encodeSpanIndex(index)), revoked)
    // Stretches of the rows, with noise between and symbols that no row has.
    const response = Array.from({ length: 3 }, () => {
      const words = rows.flat()[below(rows.length)] ?? []
      return [...words.slice(below(4)), below(alphabet + 2)]
    }).flat()
    const expected = bruteMatches(rows, revoked, response)
    matched += expected.length
    assert.deepEqual(
      judgeSpans(index, response, noEcho)
        .toSorted((a, b) => a.start - b.start)
        .map(({ start, length, holders }) => ({
          start,
          length,
          holders: [...holders].toSorted(([a], [b]) => a - b),
        })),
      expected,
    )
  }
  assert.ok(matched > 1_000, `${matched} matches`)
})

test('the file gives the index back and refuses damage, truncation and other formats', () => {
  const index = buildSpanIndex([...filler, [run(100, 12)]], VOCABULARY)
  const bytes = encodeSpanIndex(index)
  assert.deepEqual(decodeSpanIndex(bytes), index)
  assert.deepEqual(encodeSpanIndex(index), bytes)

  assert.deepEqual(decodeSpanIndex(bytes.subarray(0)), index)
  const unaligned = new Uint8Array(bytes.length + 1).subarray(1)
  unaligned.set(bytes)
  assert.deepEqual(decodeSpanIndex(unaligned), index)

  const damaged = Uint8Array.from(bytes)
  damaged.fill(1, -4) // the text's last end
  assert.throws(() => decodeSpanIndex(damaged), /not those of the text/)
  assert.throws(() => decodeSpanIndex(bytes.subarray(0, bytes.length - 4)), /ends too early/)
  assert.throws(() => decodeSpanIndex(Buffer.concat([bytes, bytes.subarray(0, 4)])), /goes on/)
  assert.throws(() => decodeSpanIndex(new TextEncoder().encode('{"format":"other"}')), /version 2/)
})

test('an index over nothing credits nothing', () => {
  const index = decodeSpanIndex(encodeSpanIndex(buildSpanIndex([], VOCABULARY)))
  assert.equal(creditSpans(index, run(1, 20), noEcho).rows.size, 0)
})
