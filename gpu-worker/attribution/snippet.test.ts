import assert from 'node:assert/strict'
import test from 'node:test'
import { snippetOf } from './snippet.ts'
import { buildSpanIndex } from './span-index.ts'

/** Token n reads " n". */
const tokenizer = { decode: (tokens: readonly number[]) => tokens.map((n) => ` ${n}`).join('') }
const row = [Array.from({ length: 40 }, (_, i) => 100 + i), Array.from({ length: 60 }, (_, i) => i)]
const index = buildSpanIndex([[[7, 8, 9]], row], 200)

test('a snippet begins shortly before the first shared word and marks every shared stretch in it', () => {
  const spans = [
    { outputStart: 9, recordStart: 50, length: 8 },
    { outputStart: 2, recordStart: 30, length: 12 }, // across the segments' separator in this made-up case
    { outputStart: 0, recordStart: 95, length: 6 }, // beyond the snippet
  ]
  const { snippet, highlights } = snippetOf(index, 1, spans, tokenizer)
  assert.ok(snippet.startsWith('118 119 120'), snippet)
  assert.deepEqual(
    highlights.map(({ start, end }) => snippet.slice(start, end).trim()),
    ['130 131 132 133 134 135 136 137 138 139 0', '9 10 11 12 13 14 15 16'],
  )
})

test('without spans a snippet is the beginning of the record', () => {
  assert.deepEqual(snippetOf(index, 0, [], tokenizer), { snippet: '7 8 9', highlights: [] })
})
