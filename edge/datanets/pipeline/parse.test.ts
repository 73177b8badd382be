import assert from 'node:assert/strict'
import test from 'node:test'
import { formatOf, MAX_LINE_CHARS, MAX_ROWS, parseText, sniffFormat, type Format } from './parse.ts'
import { MAX_RECORD_CHARS, type Row, type RowError } from './record.ts'

const rowsOf = (text: string, format: Format, columns?: Record<string, string>) => {
  const result = parseText(text, { format, ...(columns && { columns }) })
  assert(result.ok, JSON.stringify(result))
  return result.rows
}
const good = (text: string, format: Format): Row[] =>
  rowsOf(text, format).map((row) => {
    assert('fields' in row, JSON.stringify(row))
    return row
  })
const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`
const bad = (text: string, format: Format): RowError[] =>
  rowsOf(text, format).filter((row): row is RowError => 'error' in row)

test('a malformed JSONL line is an error that names its row, and the others stay', () => {
  const rows = rowsOf('{"text":"one"}\n\n{"text": oops}\r\n{"text":"four"}\n', 'jsonl')
  assert.deepEqual(
    rows.map((row) => row.row),
    [1, 3, 4],
  )
  assert('error' in rows[1]!)
  assert.equal(rows[1].error, 'MALFORMED_ROW')
  assert.match(rows[1].detail, /^Row 3: /)
  assert.doesNotMatch(rows[1].detail, /oops/) // what could be private is not repeated
})

test('a truncated line and a line that is no object are errors of their own kind', () => {
  const errors = bad('{"text":"a\n[1,2]\n"text"\n7\nnull\n{"title":"no text"}', 'jsonl')
  assert.deepEqual(
    errors.map((row) => row.error),
    [
      'MALFORMED_ROW',
      'SCHEMA_MISMATCH',
      'SCHEMA_MISMATCH',
      'SCHEMA_MISMATCH',
      'SCHEMA_MISMATCH',
      'SCHEMA_MISMATCH',
    ],
  )
})

test('aliases of columns become text, prompt with completion, or messages; the rest is metadata', () => {
  const [qa, alpaca, squad, chat, sharegpt, clause] = good(
    [
      { Question: 'Q?', answer: 'A.', source: 'x' },
      { instruction: 'Sum up.', input: 'Long text.', output: 'Short.' },
      { context: 'C.', question: 'Q?', answer: 7 },
      {
        messages: [
          { role: 'user', content: 'hi' },
          { role: 'assistant', content: 'ho' },
        ],
        id: 1,
      },
      {
        conversations: [
          { from: 'human', value: 'hi' },
          { from: 'gpt', value: 'ho' },
        ],
      },
      { clause: 'Clause.', label: true, tags: ['a'] },
    ]
      .map((row) => JSON.stringify(row))
      .join('\n'),
    'jsonl',
  )
  assert.deepEqual(qa, {
    row: 1,
    fields: { prompt: 'Q?', completion: 'A.' },
    metadata: { source: 'x' },
  })
  assert.deepEqual(alpaca?.fields, { prompt: 'Sum up.\n\nLong text.', completion: 'Short.' })
  assert.deepEqual(squad?.fields, { prompt: 'Q?\n\nC.', completion: '7' })
  const said = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: 'ho' },
  ]
  assert.deepEqual(chat, { row: 4, fields: { messages: said }, metadata: { id: 1 } })
  assert.deepEqual(sharegpt?.fields, { messages: said })
  assert.deepEqual(clause, {
    row: 6,
    fields: { text: 'Clause.' },
    metadata: { label: true, tags: ['a'] },
  })
})

test('columns that the contributor names win over aliases', () => {
  const rows = rowsOf('{"text":"no","Body Text":"yes"}', 'jsonl', { text: 'body text' })
  assert.deepEqual(rows, [{ row: 1, fields: { text: 'yes' }, metadata: { text: 'no' } }])
})

test('a JSON file is a list or one record; a syntax error gives line and column', () => {
  assert.deepEqual(
    good('[{"text":"a"},{"text":"b"}]', 'json').map((row) => row.row),
    [1, 2],
  )
  assert.equal(good('{\n"text":"a"\n}', 'json').length, 1)
  const broken = parseText('[\n {"text":"a"},\n {"text" "b"}\n]', { format: 'json' })
  assert(!broken.ok)
  assert.deepEqual([broken.code, broken.line, broken.column], ['MALFORMED_JSON', 3, 10])
})

test('CSV rows count from the header, quoted newlines and all', () => {
  const rows = rowsOf('text,page\n"a\nb",1\n\n"say ""hi""",2\ntoo,many,cells\nfew\n', 'csv')
  assert.deepEqual(rows[0], { row: 2, fields: { text: 'a\nb' }, metadata: { page: '1' } })
  assert.deepEqual(rows[1], { row: 4, fields: { text: 'say "hi"' }, metadata: { page: '2' } })
  assert.deepEqual(
    rows.slice(2).map((row) => 'error' in row && [row.row, row.error, row.detail]),
    [
      [5, 'MALFORMED_ROW', 'Row 5: 3 cells under 2 columns.'],
      [6, 'MALFORMED_ROW', 'Row 6: 1 cells under 2 columns.'],
    ],
  )
})

test('semicolons, pipes and tabs separate cells too, and a quote left open is an error of its row', () => {
  assert.deepEqual(good('question;answer\na, b;c', 'csv')[0]?.fields, {
    prompt: 'a, b',
    completion: 'c',
  })
  assert.deepEqual(good('text|n\na, b; c|d', 'csv')[0]?.fields, { text: 'a, b; c' })
  assert.deepEqual(good('text\tn\na "b" c\td', 'tsv')[0]?.fields, { text: 'a "b" c' })
  assert.deepEqual(
    bad('text,n\nok,1\n"open,2\nmore,3', 'csv').map((row) => row.row),
    [3],
  )
})

test('columns of the same name all keep their cells', () => {
  assert.deepEqual(good('text,tag,tag\na,b,c', 'csv')[0]?.metadata, { tag: 'b', tag_2: 'c' })
})

test('a header without known columns refuses the file and says what it found', () => {
  const result = parseText('foo,bar\n1,2', { format: 'csv' })
  assert(!result.ok)
  assert.equal(result.code, 'NO_KNOWN_COLUMNS')
  assert.match(result.detail, /foo, bar/)
})

test('empty files, headers without rows and too many rows are refused', () => {
  const codes = [
    parseText(' \n\t', { format: 'jsonl' }),
    parseText('[]', { format: 'json' }),
    parseText('text,a\n', { format: 'csv' }),
    parseText('{}\n'.repeat(MAX_ROWS + 1), { format: 'jsonl' }),
  ].map((result) => !result.ok && result.code)
  assert.deepEqual(codes, ['EMPTY_FILE', 'EMPTY_FILE', 'EMPTY_FILE', 'TOO_MANY_ROWS'])
})

test('records, lines and metadata over their limits are errors, not crashes', () => {
  const big = 'x'.repeat(MAX_RECORD_CHARS)
  assert.equal(good(JSON.stringify({ text: big }), 'jsonl').length, 1)
  const errors = bad(
    [
      JSON.stringify({ text: `${big}x` }),
      JSON.stringify({ text: 'x'.repeat(1_000_000) }),
      JSON.stringify({ text: 'ok', note: 'x'.repeat(20_000) }),
    ].join('\n'),
    'jsonl',
  )
  assert.deepEqual(
    errors.map((row) => row.error),
    Array(3).fill('RECORD_TOO_LARGE'),
  )
  assert(MAX_LINE_CHARS > 2 * MAX_RECORD_CHARS - 1)
})

test('deep JSON, numbers out of range and reserved keys are errors, and no prototype changes', () => {
  const errors = bad(
    [
      `{"text":"a","x":${deep(100_000)}}`,
      `{"text":"a","x":${deep(40)}}`,
      '{"text":"a","x":1e999}',
      '{"text":"a","__proto__":{"polluted":1}}',
      '{"text":"a","x":{"__proto__":{"polluted":1}}}',
      `{"text":"a","x":[${'0,'.repeat(20_000)}0]}`,
    ].join('\n'),
    'jsonl',
  )
  assert.deepEqual(
    errors.map((row) => row.row),
    [1, 2, 3, 4, 5, 6],
  )
  assert(errors.every((row) => row.error === 'UNSAFE_STRUCTURE'))
  assert.equal(bad('text,__proto__\na,b', 'csv')[0]?.error, 'UNSAFE_STRUCTURE')
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
  const kept = good('{"text":"a","constructor":"b","toString":"c"}', 'jsonl')[0]
  assert.deepEqual(kept?.metadata, { constructor: 'b', toString: 'c' })
})

test('formats are told by content type, and by content where there is no type', () => {
  assert.equal(formatOf('Application/X-NDJSON; charset=utf-8'), 'jsonl')
  assert.equal(formatOf('text/markdown'), 'text')
  assert.equal(formatOf('application/pdf'), null)
  assert.equal(formatOf('constructor'), null)
  assert.deepEqual(
    [
      '{"text":"a"}\n{"text":"b"}',
      '{"text":"a"}\n{broken',
      '{\n  "text": "a"\n}',
      ' [{"text":"a"}]',
      'question,answer\na,b',
      'text\tlabel\na\tb',
      'Dear reader, this text is long.\nMore.',
    ].map(sniffFormat),
    ['jsonl', 'jsonl', 'json', 'json', 'csv', 'tsv', 'text'],
  )
})

test('on random text no row of any format is lost or thrown away silently', () => {
  let seed = 11
  const random = (n: number): number =>
    ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 8) % n
  const alphabet = [
    '{',
    '}',
    '"',
    ',',
    ':',
    '\\',
    'text',
    'a',
    ' ',
    '1',
    '[',
    ']',
    '\ud800',
    'é',
    '\t',
    ';',
    '\r',
  ]
  for (let round = 0; round < 400; round++) {
    const lines = Array.from({ length: 5 }, () =>
      Array.from({ length: random(12) }, () => alphabet[random(alphabet.length)]).join(''),
    )
    const filled = lines.flatMap((line, i) => (line.trim() === '' ? [] : [i + 1]))
    const result = parseText(lines.join('\n'), { format: 'jsonl' })
    assert.deepEqual(result.ok ? result.rows.map((row) => row.row) : [], filled)
    for (const format of ['json', 'csv', 'tsv', 'text'] as const)
      assert.doesNotThrow(() => parseText(lines.join('\n'), { format }))
  }
})
