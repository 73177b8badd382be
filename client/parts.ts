import Papa from 'papaparse'
import { cutClauses } from '#edge/datanets/pipeline/clauses.ts'
import { decodeBytes, MAX_FILE_BYTES } from '#edge/datanets/pipeline/decode.ts'
import type { ColumnMapping } from '#edge/datanets/pipeline/columns.ts'
import { MAX_ROWS } from '#edge/datanets/pipeline/parse.ts'
import type { ParsedRow } from '#edge/datanets/pipeline/record.ts'
import { readRows } from '#edge/datanets/read-rows.ts'
import { Problem } from '#edge/problem.ts'
import { UsageError } from './command.ts'
import type { ContentType } from './openledger.ts'

const TYPES: Record<string, ContentType> = {
  jsonl: 'application/x-ndjson',
  ndjson: 'application/x-ndjson',
  json: 'application/json',
  csv: 'text/csv',
  tsv: 'text/tab-separated-values',
  txt: 'text/plain',
  md: 'text/markdown',
}
/** Room for what a part adds: a CSV's header, brackets. */
const PART_BYTES = MAX_FILE_BYTES - 64 * 1024

export type File = { body: Uint8Array<ArrayBuffer>; type: ContentType }

/** A piece of a file that is small enough to be taken; row `n` of it is row `rowsBefore + n` of the whole. */
export type Part = File & { rowsBefore: number }

/** The content type of a file by its name. Throws a UsageError for one that cannot be handed in. */
export function contentTypeOf(path: string): ContentType {
  const type = TYPES[path.slice(path.lastIndexOf('.') + 1).toLowerCase()]
  if (!type)
    throw new UsageError(`${path}: its name has to end in ${Object.keys(TYPES).join(', ')}`)
  return type
}

/** A file in parts whose records stay whole; a small one as it is. Throws a UsageError when it cannot be cut. */
export function partsOf(file: File): Part[] {
  const { body, type } = file
  const decoded = decodeBytes(body, body.length)
  const parts = decoded.ok ? cut(decoded.text, type) : decoded.detail
  // As it is: what is wrong with it is said by row.
  if (body.length <= PART_BYTES && (typeof parts === 'string' || parts.length <= 1))
    return [{ ...file, rowsBefore: 0 }]
  if (typeof parts === 'string') throw new UsageError(parts)
  return parts
}

export type ReadPart = Part & { rows: ParsedRow[] }

const MOST_FAULTS = 20

/**
 * The parts of a file with their rows; `columns` name what makes a record where the usual names do not. Throws a
 * UsageError that names the rows which cannot be read, as the API would, before any part is sent.
 */
export function readParts(file: File, columns: ColumnMapping | null = null): ReadPart[] {
  return partsOf(file).map((part) => {
    try {
      return { ...part, rows: readRows(part.body, { contentType: part.type, columns }) }
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      const faults = (error.details.errors ?? []).map(({ row = 0, detail }) =>
        detail.replace(/^Row \d+/, `Row ${part.rowsBefore + row}`),
      )
      const more = faults.length > MOST_FAULTS ? [`and ${faults.length - MOST_FAULTS} more`] : []
      const said = [...faults.slice(0, MOST_FAULTS), ...more].join('\n  ')
      throw new UsageError(said || error.message, { cause: error })
    }
  })
}

/** The parts of a text, or why it cannot be cut. */
function cut(text: string, type: ContentType): Part[] | string {
  switch (type) {
    case 'application/x-ndjson':
      return grouped(text.split('\n'), { type })
    case 'text/csv':
    case 'text/tab-separated-values':
      return cutTable(text, type)
    case 'application/json':
      return cutList(text)
    case 'text/plain':
    case 'text/markdown':
      // The clauses into which the Datanet would cut it, each with the line where it begins.
      return grouped(
        cutClauses(text).map(({ text: clause, line }) => JSON.stringify({ text: clause, line })),
        { type: 'application/x-ndjson' },
      )
  }
}

function cutTable(text: string, type: ContentType): Part[] | string {
  const { data, meta, errors } = Papa.parse<string[]>(text)
  // Written anew, the fault would be gone and its cells with it.
  const fault = errors.find((error) => error.type === 'Quotes')
  if (fault) return `Row ${(fault.row ?? 0) + 1}: ${fault.message}`
  const [header = '', ...rows] = data.map((cells) =>
    Papa.unparse([cells], { delimiter: meta.delimiter }),
  )
  return grouped(rows, { type, begin: `${header}\n` })
}

function cutList(text: string): Part[] | string {
  const type = 'application/json'
  const items = parseJson(text)
  if (!Array.isArray(items))
    return `a file of over ${PART_BYTES} bytes has to be a JSON array of records, or JSONL`
  const records = items.map((item) => JSON.stringify(item))
  return grouped(records, { type, begin: '[', separator: ',', end: ']' })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Records in groups below the limits. */
function grouped(
  records: readonly string[],
  {
    type,
    begin = '',
    separator = '\n',
    end = '',
  }: { type: ContentType; begin?: string; separator?: string; end?: string },
): Part[] {
  const groups: { records: string[]; rowsBefore: number }[] = []
  let size = Infinity
  for (const [rowsBefore, record] of records.entries()) {
    const bytes = Buffer.byteLength(record) + separator.length
    if (size + bytes > PART_BYTES || (groups.at(-1)?.records.length ?? 0) >= MAX_ROWS) {
      groups.push({ records: [], rowsBefore })
      size = Buffer.byteLength(begin)
    }
    groups.at(-1)?.records.push(record)
    size += bytes
  }
  return groups
    .filter((group) => group.records.some((record) => record.trim() !== ''))
    .map((group) => ({
      type,
      rowsBefore: group.rowsBefore,
      body: new TextEncoder().encode(begin + group.records.join(separator) + end),
    }))
}
