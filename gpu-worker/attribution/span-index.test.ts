import assert from 'node:assert/strict'
import test from 'node:test'
import {
  buildSpanIndex,
  creditSpans,
  decodeSpanIndex,
  encodeSpanIndex,
  SPAN_RULES,
  withoutRows,
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

test('the file gives the index back and refuses damage, truncation and other formats', () => {
  const index = buildSpanIndex([...filler, [run(100, 12)]], VOCABULARY)
  const bytes = encodeSpanIndex(index)
  assert.deepEqual(decodeSpanIndex(bytes), index)
  assert.deepEqual(encodeSpanIndex(index), bytes)

  const damaged = Uint8Array.from(bytes)
  damaged[200]! ^= 1
  assert.throws(() => decodeSpanIndex(damaged), /checksum/)
  assert.throws(() => decodeSpanIndex(bytes.subarray(0, bytes.length - 4)), /do not hold/)
  assert.throws(() => decodeSpanIndex(new TextEncoder().encode('{"format":"other"}')), /version 1/)
})

test('an index over nothing credits nothing', () => {
  const index = decodeSpanIndex(encodeSpanIndex(buildSpanIndex([], VOCABULARY)))
  assert.equal(creditSpans(index, run(1, 20), noEcho).rows.size, 0)
})
