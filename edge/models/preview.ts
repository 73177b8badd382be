import type { Hex } from '#protocol/bytes.ts'
import { previewReply, type PreviewRow } from '#protocol/preview.ts'
import { recordFields, type LoraMethod, type RecordFields } from '#protocol/wire.ts'
import type { Ctx } from '../context.ts'
import { mapRow, type ColumnMapping } from '../datanets/pipeline/columns.ts'
import type { RowError } from '../datanets/pipeline/record.ts'
import { listRows } from '../datanets/viewer.ts'
import { askWorker } from '../jobs/ask-worker.ts'
import { Problem } from '../problem.ts'
import { checkBase } from './jobs.ts'

/** What a worker reads in one request is less than 4 MiB. */
const MAX_CHARS = 1_000_000

export type PreviewInput = {
  model: string
  method: LoraMethod
  /** Rows of a version, from after an index on, or rows of the caller's own with the columns that they have. */
  source:
    | { id: string; version: number; limit: number; after?: number | undefined }
    | { rows: readonly unknown[]; columns?: ColumnMapping | undefined }
}

export type PreviewedRow = PreviewRow & {
  /** Counted from 0 in a version, from 1 among rows of the caller's own. */
  row: number
  /** Hash of a version's record. */
  record: Hex | null
  format: 'chat' | 'completion' | 'text'
}

export type Preview = {
  base: string
  rows: PreviewedRow[]
  /** Rows that make no record, each with its reason. */
  refused: RowError[]
}

type Sourced = { row: number; record: Hex | null; fields: RecordFields }

/** What training would make of rows, as the worker's tokenizer sees them. Stores nothing. */
export async function previewRows(
  ctx: Ctx,
  { model, method, source }: PreviewInput,
): Promise<Preview> {
  const { base } = await checkBase(ctx, { model, method })
  const { read, refused } = 'rows' in source ? mapRows(source) : await versionRows(ctx, source)
  if (JSON.stringify(read).length > MAX_CHARS)
    throw new Problem('request/too-large', {
      detail: `A preview takes ${MAX_CHARS} characters of records at once; ask for fewer rows.`,
    })
  if (read.length === 0) return { base: base.name, rows: [], refused }
  const response = await askWorker(ctx, base.digest, '/preview', {
    base: base.digest,
    records: read.map(({ fields }) => fields),
    sequenceLength: method.sequenceLength,
  })
  const { rows } = previewReply.parse(await response.json())
  if (rows.length !== read.length) throw new Error('a worker previewed other rows than it was sent')
  const named = read.map(({ row, record, fields }, i) => ({
    ...(rows[i] as PreviewRow),
    row,
    record,
    format: formatOf(fields),
  }))
  return { base: base.name, rows: named, refused }
}

function mapRows({ rows, columns }: Extract<PreviewInput['source'], { rows: unknown }>) {
  const read: Sourced[] = []
  const refused: RowError[] = []
  for (const [i, value] of rows.entries()) {
    const mapped = mapRow(i + 1, value, columns)
    if ('error' in mapped) refused.push(mapped)
    else read.push({ row: mapped.row, record: null, fields: mapped.fields })
  }
  return { read, refused }
}

async function versionRows(
  ctx: Ctx,
  { id, version, limit, after }: Extract<PreviewInput['source'], { id: string }>,
) {
  const page = { limit, ...(after !== undefined && { after }) }
  const rows = (await listRows(ctx, id, version, page)).slice(0, limit)
  const read = rows.map(({ index, record, fields }): Sourced => ({
    row: index,
    record,
    fields: recordFields.parse(JSON.parse(fields)),
  }))
  return { read, refused: [] as RowError[] }
}

function formatOf(fields: RecordFields): PreviewedRow['format'] {
  if ('messages' in fields) return 'chat'
  return 'prompt' in fields ? 'completion' : 'text'
}
