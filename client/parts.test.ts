import assert from 'node:assert/strict'
import test from 'node:test'
import { parseText } from '#edge/datanets/pipeline/parse.ts'
import { contentTypeOf, partsOf, type File, type Part } from './parts.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const textOf = ({ body }: Part) => new TextDecoder().decode(body)
const ROWS = 25_000
const sentence = (n: number) =>
  `Clause ${n}: the licensee shall keep all copyright notices intact and give credit to the author, to whom number ${n} belongs, in every copy and in every work that is made of it.`

/** Every record of the parts with the row of the whole file that it says it is. */
const rowsOf = (parts: Part[]) =>
  parts.flatMap((part) => {
    const format = { 'text/csv': 'csv', 'application/json': 'json' } as const
    const parsed = parseText(textOf(part), {
      format: format[part.type as keyof typeof format] ?? 'jsonl',
    })
    assert.ok(parsed.ok)
    return parsed.rows.map((row) => ({ ...row, row: part.rowsBefore + row.row }))
  })

/** A large file of a kind, with blank lines where the kind has them; the first of each record is its row. */
const FILES: Record<string, File> = {
  jsonl: {
    type: 'application/x-ndjson',
    body: bytesOf(
      Array.from({ length: ROWS }, (_, n) =>
        n % 1_000 === 500 ? '' : JSON.stringify({ text: sentence(n + 1) }),
      ).join('\n') + '\n',
    ),
  },
  csv: {
    type: 'text/csv',
    body: bytesOf(
      ['text,note', ...Array.from({ length: ROWS }, (_, n) => `"${sentence(n + 2)}",${n}`)].join(
        '\n',
      ),
    ),
  },
  json: {
    type: 'application/json',
    body: bytesOf(
      JSON.stringify(Array.from({ length: ROWS }, (_, n) => ({ text: sentence(n + 1) }))),
    ),
  },
  text: {
    type: 'text/plain',
    body: bytesOf(Array.from({ length: ROWS }, (_, n) => sentence(n + 1)).join('\n\n')),
  },
}

for (const [kind, file] of Object.entries(FILES))
  test(`a large ${kind} file is cut between records, and every row keeps its number and its words`, () => {
    const parts = partsOf(file)
    assert.ok(parts.length > 2)
    const rows = rowsOf(parts)
    assert.equal(rows.length, kind === 'jsonl' ? ROWS - ROWS / 1_000 : ROWS)
    for (const row of rows) {
      assert.ok('fields' in row && 'text' in row.fields)
      assert.equal(row.fields.text, sentence(row.row))
    }
  })

test('a small file stays as it is, under the content type of its name', () => {
  const file = { body: bytesOf('question,answer\n"a,b",c\n'), type: contentTypeOf('/x/Data.CSV') }
  assert.deepEqual(partsOf(file), [{ ...file, type: 'text/csv', rowsBefore: 0 }])
  const broken = { body: bytesOf('text\n"never closed'), type: 'text/csv' } as const
  assert.deepEqual(partsOf(broken), [{ ...broken, rowsBefore: 0 }]) // the API names the row
})

test('what cannot be handed in, or not in parts, is refused with the reason', () => {
  assert.throws(() => contentTypeOf('movie.mp4'), /movie\.mp4: its name has to end in jsonl/)
  const filler = 'x'.repeat(6 * 2 ** 20)
  const cases: [string, File['type'], RegExp][] = [
    [`text\n"${filler}`, 'text/csv', /^UsageError: Row 2: Quoted field unterminated/],
    [JSON.stringify({ text: filler }), 'application/json', /has to be a JSON array of records/],
  ]
  for (const [text, type, said] of cases)
    assert.throws(() => partsOf({ body: bytesOf(text), type }), said)
})
