import Papa from 'papaparse'
import { cutClauses } from './clauses.ts'
import { COLUMN_ALIASES, findColumns, isComplete, mapRow, type ColumnMapping } from './columns.ts'
import type { FileError } from './decode.ts'
import type { ParsedRow } from './record.ts'

export type Format = 'jsonl' | 'json' | 'csv' | 'tsv' | 'text'

/** Most rows of one file: what a batch's sketches and signals may take of a 128 MB isolate. */
export const MAX_ROWS = 10_000
/** A JSONL line longer than this is refused unread: fields, metadata and JSON's own escapes of them. */
export const MAX_LINE_CHARS = 262_144

export type ParseOptions = { format: Format; columns?: ColumnMapping }
export type ParseResult = { ok: true; rows: ParsedRow[] } | FileError

const CONTENT_TYPES = {
  'application/x-ndjson': 'jsonl',
  'application/ndjson': 'jsonl',
  'application/jsonl': 'jsonl',
  'application/x-jsonlines': 'jsonl',
  'application/json': 'json',
  'text/csv': 'csv',
  'text/tab-separated-values': 'tsv',
  'text/plain': 'text',
  'text/markdown': 'text',
} as const satisfies Record<string, Format>

/** The format that a content type names (its parameters are ignored), or null for one we do not take. */
export function formatOf(contentType: string): Format | null {
  const name = (contentType.split(';')[0] ?? '').trim().toLowerCase()
  return Object.hasOwn(CONTENT_TYPES, name)
    ? CONTENT_TYPES[name as keyof typeof CONTENT_TYPES]
    : null
}

/**
 * The format that the text itself shows, for files that come without a trustworthy name: JSON by its first character,
 * CSV and TSV only when the first line names columns that make a record.
 */
export function sniffFormat(text: string): Format {
  const start = text.slice(0, MAX_LINE_CHARS).trimStart()
  if (start.startsWith('[')) return 'json'
  const firstLine = (start.split('\n', 1)[0] ?? '').trim()
  if (start.startsWith('{')) return isJson(firstLine) || !isJson(text) ? 'jsonl' : 'json'
  for (const format of ['tsv', 'csv'] as const) {
    const names = Papa.parse<string[]>(firstLine, {
      delimiter: delimiterOf(format, firstLine),
    }).data
    if (isComplete(findColumns(names[0] ?? [])) && (names[0]?.length ?? 0) > 1) return format
  }
  return 'text'
}

/**
 * Text to rows, in order, each a record or an error that names it; a file refused as a whole is a value too.
 * Row numbers: jsonl the line · json the element, from 1 · csv and tsv the record, the header being row 1 · text the
 * clause, from 1 (its line is in the metadata).
 */
export function parseText(text: string, { format, columns }: ParseOptions): ParseResult {
  if (text.trim() === '')
    return { ok: false, code: 'EMPTY_FILE', detail: 'The file holds no text.' }
  const result =
    format === 'jsonl'
      ? parseJsonl(text, columns)
      : format === 'json'
        ? parseJson(text, columns)
        : format === 'text'
          ? parseClauses(text)
          : parseDelimited(text, format, columns)
  if (result.ok && result.rows.length > MAX_ROWS) return tooMany(result.rows.length)
  return result
}

function parseClauses(text: string): ParseResult {
  const rows = cutClauses(text).map((clause, i) => ({
    row: i + 1,
    fields: { text: clause.text },
    metadata: { line: clause.line },
  }))
  return { ok: true, rows }
}

function parseJsonl(text: string, columns?: ColumnMapping): ParseResult {
  const rows: ParsedRow[] = []
  for (const [i, line] of text.split('\n').entries()) {
    const row = i + 1
    if (line.length > MAX_LINE_CHARS)
      rows.push({
        row,
        error: 'RECORD_TOO_LARGE',
        detail: `Row ${row}: ${line.length} characters; a line may have ${MAX_LINE_CHARS}.`,
      })
    else if (line.trim() !== '') {
      const parsed = tryJson(line)
      rows.push(
        parsed.ok
          ? mapRow(row, parsed.value, columns)
          : { row, error: 'MALFORMED_ROW', detail: `Row ${row}: ${parsed.why}.` },
      )
    }
    if (rows.length > MAX_ROWS) return tooMany(rows.length)
  }
  return { ok: true, rows }
}

/** An array of records, or one record. A syntax error anywhere spoils the whole file: it names line and column. */
function parseJson(text: string, columns?: ColumnMapping): ParseResult {
  const parsed = tryJson(text)
  if (!parsed.ok) {
    const before = parsed.position === null ? null : text.slice(0, parsed.position).split('\n')
    return {
      ok: false,
      code: 'MALFORMED_JSON',
      detail: `The file is not valid JSON: ${parsed.why}.`,
      ...(before && { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }),
    }
  }
  const items: unknown[] = Array.isArray(parsed.value) ? parsed.value : [parsed.value]
  if (items.length === 0)
    return { ok: false, code: 'EMPTY_FILE', detail: 'The file holds an empty list.' }
  if (items.length > MAX_ROWS) return tooMany(items.length)
  return { ok: true, rows: items.map((item, i) => mapRow(i + 1, item, columns)) }
}

function parseDelimited(text: string, format: 'csv' | 'tsv', columns?: ColumnMapping): ParseResult {
  const firstLine = text.slice(0, MAX_LINE_CHARS).split(/[\r\n]/, 1)[0] ?? ''
  // Without `header`, papaparse gives arrays: no row object is built whose keys the file could choose.
  const { data, errors } = Papa.parse<string[]>(text, { delimiter: delimiterOf(format, firstLine) })
  const header = uniqueNames((data[0] ?? []).map((name) => name.trim()))
  if (!isComplete(findColumns(header, columns))) {
    const known = Object.values(columns ?? COLUMN_ALIASES).flat()
    return {
      ok: false,
      code: 'NO_KNOWN_COLUMNS',
      detail: `The header (${header.slice(0, 20).join(', ').slice(0, 400)}) names no columns that make a record. Known: ${known.join(', ')}.`,
    }
  }
  const broken = new Map(errors.map((error) => [error.row, error]))
  const rows: ParsedRow[] = []
  for (const [i, cells] of data.entries()) {
    const row = i + 1
    if (i === 0 || (cells.length === 1 && cells[0]?.trim() === '')) continue
    const fault = broken.get(i)
    const malformed = (why: string): ParsedRow => ({
      row,
      error: 'MALFORMED_ROW',
      detail: `Row ${row}: ${why}.`,
    })
    if (fault !== undefined && fault.type === 'Quotes') rows.push(malformed(quoteFault(fault.code)))
    else if (cells.length !== header.length)
      rows.push(malformed(`${cells.length} cells under ${header.length} columns`))
    else
      rows.push(mapRow(row, Object.fromEntries(cells.map((cell, c) => [header[c], cell])), columns))
  }
  if (rows.length === 0)
    return { ok: false, code: 'EMPTY_FILE', detail: 'The file holds a header and no rows.' }
  return { ok: true, rows }
}

/** A second column of the same name becomes `name_2`: both keep their cells. */
function uniqueNames(names: readonly string[]): string[] {
  const seen = new Map<string, number>()
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    return count === 1 ? name : `${name}_${count}`
  })
}

const quoteFault = (code: string): string =>
  code === 'MissingQuotes' ? 'a quote is never closed' : 'a quote stands inside a quoted cell'

/** TSV is tabs. CSV is comma, semicolon or pipe, whichever its header has most of; comma when it has none. */
function delimiterOf(format: 'csv' | 'tsv', header: string): string {
  if (format === 'tsv') return '\t'
  const counts = [',', ';', '|'].map((mark) => ({ mark, count: header.split(mark).length }))
  return counts.reduce((best, next) => (next.count > best.count ? next : best)).mark
}

type Parsed = { ok: true; value: unknown } | { ok: false; why: string; position: number | null }

/** JSON.parse as a value. The reason never quotes the source, as the engine's own message would: it may be private. */
function tryJson(text: string): Parsed {
  try {
    return { ok: true, value: JSON.parse(text) }
  } catch (error) {
    const message = String(error)
    const at = /at position (\d{1,10})/.exec(message)?.[1]
    if (at !== undefined) {
      const position = Number(at)
      const column = position - text.lastIndexOf('\n', position - 1)
      return { ok: false, position, why: `not valid JSON at column ${column}` }
    }
    if (message.includes('end of JSON input'))
      return { ok: false, position: text.length, why: 'the JSON ends too early' }
    return { ok: false, position: null, why: 'not valid JSON' }
  }
}

const isJson = (text: string): boolean => tryJson(text).ok

const tooMany = (count: number): FileError => ({
  ok: false,
  code: 'TOO_MANY_ROWS',
  detail: `The file has ${count} rows or more; at most ${MAX_ROWS} are taken.`,
})
