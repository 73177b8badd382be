import { Problem, type Fault, type ProblemType } from '../problem.ts'
import type { ColumnMapping } from './pipeline/columns.ts'
import { decodeBytes, MAX_FILE_BYTES, type FileError } from './pipeline/decode.ts'
import { formatOf, parseText } from './pipeline/parse.ts'
import type { ParsedRow, RowError } from './pipeline/record.ts'

const MAX_FAULTS = 100

const FILE_PROBLEMS = {
  EMPTY_FILE: 'contribution/empty',
  FILE_TOO_LARGE: 'request/too-large',
  TOO_MANY_ROWS: 'request/too-large',
  UNSUPPORTED_FORMAT: 'request/unsupported-type',
  BINARY_DATA: 'request/unsupported-type',
  INVALID_ENCODING: 'contribution/malformed',
  MALFORMED_JSON: 'contribution/malformed',
  NO_KNOWN_COLUMNS: 'contribution/malformed',
} as const satisfies Record<FileError['code'], ProblemType>

/**
 * The rows of a file, of which each is a record or lacks one's columns (the pipeline's verdict says so). Whatever
 * cannot be read spoils the whole file, so that a contributor never finds half of one stored: throws the Problem
 * that names every row at fault.
 */
export function readRows(
  bytes: Uint8Array,
  { contentType, columns }: { contentType: string; columns: ColumnMapping | null },
): ParsedRow[] {
  const format = formatOf(contentType)
  if (!format)
    throw new Problem('request/unsupported-type', {
      detail:
        'Send application/x-ndjson, application/json, text/csv, text/tab-separated-values, text/plain or text/markdown.',
      param: 'content-type',
    })
  const decoded = decodeBytes(bytes, MAX_FILE_BYTES)
  if (!decoded.ok) throw fileProblem(decoded)
  const parsed = parseText(decoded.text, { format, ...(columns && { columns }) })
  if (!parsed.ok) throw fileProblem(parsed)
  const failed = parsed.rows.filter((row): row is RowError => 'error' in row)
  const unreadable = failed.filter((row) => row.error !== 'SCHEMA_MISMATCH')
  if (unreadable.length > 0) throw rowProblem(unreadable)
  if (failed.length === parsed.rows.length) throw rowProblem(failed)
  return parsed.rows
}

const fileProblem = ({ code, detail, line }: FileError): Problem =>
  new Problem(FILE_PROBLEMS[code], {
    detail,
    ...(line !== undefined && { errors: [{ field: `line ${line}`, detail }] }),
  })

function rowProblem(rows: readonly RowError[]): Problem {
  const isTooLarge = rows.every((row) => row.error === 'RECORD_TOO_LARGE')
  const errors: Fault[] = rows
    .slice(0, MAX_FAULTS)
    .map(({ row, error, detail }) => ({ row, field: error, detail }))
  const others = rows.length - 1
  const more = others > 0 ? ` And ${others} more row${others === 1 ? '' : 's'}.` : ''
  return new Problem(isTooLarge ? 'contribution/record-too-large' : 'contribution/malformed', {
    detail: `${rows[0]?.detail ?? ''}${more}`,
    errors,
  })
}
