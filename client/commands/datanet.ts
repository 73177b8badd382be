import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import Papa from 'papaparse'
import { runPipeline } from '#edge/datanets/pipeline/pipeline.ts'
import { MAX_FILE_BYTES, decodeBytes } from '#edge/datanets/pipeline/decode.ts'
import { MAX_ROWS } from '#edge/datanets/pipeline/parse.ts'
import { DEFAULT_PROFILE, type Profile } from '#edge/datanets/pipeline/profile.ts'
import { readRows } from '#edge/datanets/read-rows.ts'
import { Problem } from '#edge/problem.ts'
import { sha256Hex, ZERO_ADDRESS } from '#protocol/bytes.ts'
import { UsageError, type Command, type Context } from '../command.ts'
import {
  until,
  type Client,
  type ContentType,
  type Contribution,
  type Datanet,
} from '../openledger.ts'
import { textTable } from '../table.ts'

const TYPES: Record<string, ContentType> = {
  jsonl: 'application/x-ndjson',
  ndjson: 'application/x-ndjson',
  json: 'application/json',
  csv: 'text/csv',
  tsv: 'text/tab-separated-values',
  txt: 'text/plain',
  md: 'text/markdown',
}
const ENDED: Contribution['status'][] = ['anchored', 'rejected', 'failed']
const PROCESS_TIMEOUT_MS = 600_000
const MOST_SHOWN = 20
/** Room for what a part adds: a CSV's header, brackets. */
const PART_BYTES = MAX_FILE_BYTES - 64 * 1024

/** Hands a file in to a Datanet. */
export const pushDatanet: Command = {
  details: `Large files go in parts. Interrupted, the same command goes on where it stopped: a part that has arrived is not
taken twice. --dry-run judges the records here, with the sanitizer that the Datanet uses, and sends nothing;
duplicates of records that others handed in are only found by sending.`,
  options: {
    datanet: { value: 'NAME', describe: 'id, slug or name' },
    'dry-run': { describe: 'judge locally, send nothing' },
    source: { value: 'TEXT', describe: 'where the records come from (default: the file’s name)' },
    licence: { value: 'SPDX', describe: 'their licence (default: the Datanet’s)' },
    'intended-use': { value: 'TEXT', describe: 'what they are for (default: fine-tuning)' },
    context: { value: 'TEXT', describe: 'anything a judge should know' },
  },
  run: async (context) => {
    const { input, settings } = context
    const [path, ...more] = input.positionals
    const name = input.text('datanet')
    if (path === undefined || more.length > 0) throw new UsageError('datanet push needs one FILE')
    const type = typeOf(path)
    const bytes = readFile(path)
    if (input.has('dry-run') && name === undefined)
      return judge(context, { bytes, type, profile: DEFAULT_PROFILE })
    if (name === undefined) throw new UsageError('datanet push needs --datanet')
    const client = input.has('dry-run') ? settings.guest : await settings.client()
    const datanet = await findDatanet(client, name)
    if (input.has('dry-run'))
      return judge(context, {
        bytes,
        type,
        profile: { ...DEFAULT_PROFILE, ...datanet.profile } as Profile,
      })
    return push(context, client, datanet, { path, bytes, type })
  },
}

/** A Datanet by id, slug or name; throws a UsageError when there is none or several. */
export async function findDatanet(client: Client, name: string): Promise<Datanet> {
  if (/^dn_[0-9a-z]+$/i.test(name)) return client.datanet(name)
  const found: Datanet[] = []
  for await (const datanet of client.datanets())
    if (datanet.slug === name || datanet.name === name) found.push(datanet)
  const [only, another] = found
  if (!only) throw new UsageError(`there is no Datanet "${name}"`)
  if (another)
    throw new UsageError(
      `several Datanets are called "${name}": ${found.map(({ id }) => id).join(', ')}`,
    )
  return only
}

function typeOf(path: string): ContentType {
  const type = TYPES[path.slice(path.lastIndexOf('.') + 1).toLowerCase()]
  if (!type)
    throw new UsageError(`${path}: its name has to end in ${Object.keys(TYPES).join(', ')}`)
  return type
}

function readFile(path: string): Uint8Array<ArrayBuffer> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile())
    throw new UsageError(`there is no file ${path}`)
  return Uint8Array.from(readFileSync(path))
}

type File = { bytes: Uint8Array<ArrayBuffer>; type: ContentType }

/** The verdicts that these records would get, but for duplicates of others' records. */
async function judge(
  { print, progress }: Context,
  { bytes, type, profile }: File & { profile: Profile },
): Promise<number> {
  const step = progress.step('Judging locally')
  const counts: Record<string, number> = { rows: 0, accepted: 0, needs_review: 0, rejected: 0 }
  const held: {
    part: number
    row: number
    verdict: string
    reasons: string[]
    detail: string | null
  }[] = []
  const parts = partsOf({ bytes, type })
  for (const [part, body] of parts.entries()) {
    const rows = refusals(() => readRows(body, { contentType: type, columns: null }))
    const { records } = await runPipeline({ rows, contributor: ZERO_ADDRESS, profile })
    for (const { row, verdict, reasons, detail } of records) {
      counts['rows'] = (counts['rows'] ?? 0) + 1
      counts[verdict] = (counts[verdict] ?? 0) + 1
      if (verdict !== 'accepted') held.push({ part: part + 1, row, verdict, reasons, detail })
    }
    step.update((part + 1) / parts.length)
  }
  step.done(`${counts['accepted']} of ${counts['rows']} would be accepted`)
  const shown = held.slice(0, MOST_SHOWN)
  const table = textTable([
    ['row', 'verdict', 'reasons'],
    ...shown.map(({ part, row, verdict, reasons }) => [
      parts.length > 1 ? `${part}:${row}` : String(row),
      verdict,
      reasons.join(', ').toLowerCase(),
    ]),
  ])
  const rest = held.length > shown.length ? `\n  and ${held.length - shown.length} more` : ''
  print(
    `${counts['accepted']} accepted, ${counts['needs_review']} for review, ${counts['rejected']} rejected${held.length > 0 ? `\n${table}${rest}` : ''}`,
    { counts, held },
  )
  return counts['accepted'] === 0 ? 1 : 0
}

async function push(
  { input, print, progress }: Context,
  client: Client,
  datanet: Datanet,
  { path, ...file }: File & { path: string },
): Promise<number> {
  const metadata = {
    source: input.text('source') ?? basename(path),
    licence: input.text('licence') ?? datanet.licence,
    intended_use: input.text('intended-use') ?? 'fine-tuning',
    context: input.text('context') ?? 'handed in with openledger datanet push',
  }
  const parts = partsOf(file)
  const sending = progress.step('Sending')
  const ids: string[] = []
  for (const [i, body] of parts.entries()) {
    // The key names the content: sent again, a part that has arrived is answered with its first id.
    const key = sha256Hex(JSON.stringify([datanet.id, sha256Hex(body), metadata]))
    ids.push((await client.contribute(datanet.id, { body, type: file.type, metadata, key })).id)
    sending.update((i + 1) / parts.length, `part ${i + 1} of ${parts.length}`)
  }
  sending.done(`${file.bytes.length} bytes in ${parts.length} part${parts.length === 1 ? '' : 's'}`)

  const judging = progress.step('Judging and anchoring')
  const contributions = await until(
    () => Promise.all(ids.map((id) => client.contribution(id))),
    (all) => {
      const ended = all.filter(({ status }) => ENDED.includes(status)).length
      judging.update(ended / all.length, `${ended} of ${all.length}`)
      return ended === all.length
    },
    { timeoutMs: PROCESS_TIMEOUT_MS, everyMs: 1_000 },
  )
  const total = (of: (counts: NonNullable<Contribution['counts']>) => number) =>
    contributions.reduce((n, { counts }) => n + (counts ? of(counts) : 0), 0)
  const reasons = new Map<string, number>()
  for (const { counts } of contributions)
    for (const [reason, count] of Object.entries(counts?.reasons ?? {}))
      reasons.set(reason, (reasons.get(reason) ?? 0) + count)
  const accepted = total((counts) => counts.accepted)
  judging.done(`${accepted} records accepted and anchored`)
  const why = [...reasons].map(([reason, count]) => `${reason.toLowerCase()} ${count}`).join(', ')
  const faults = contributions.flatMap(({ errors }) => (errors ?? []).map(({ detail }) => detail))
  print(
    [
      `${total((counts) => counts.rows)} records: ${accepted} accepted, ${total((counts) => counts.needs_review)} for review, ${total((counts) => counts.rejected)} rejected`,
      ...(why ? [why] : []),
      ...faults,
      ...ids,
    ].join('\n'),
    { datanet: datanet.id, contributions },
  )
  return accepted > 0 ? 0 : 1
}

/** How a file is cut into parts whose records stay whole; null when it cannot be. */
const CUT: Partial<Record<ContentType, (text: string) => string[] | null>> = {
  'application/x-ndjson': (text) => grouped(text.split('\n')),
  'text/csv': cutTable,
  'text/tab-separated-values': cutTable,
  'application/json': (text) => {
    const items: unknown = parseJson(text)
    return Array.isArray(items)
      ? grouped(
          items.map((item) => JSON.stringify(item)),
          { separator: ',' },
        ).map((part) => `[${part}]`)
      : null
  },
}

/** A file as bodies that are each small enough to be taken. Throws a UsageError when it cannot be cut. */
export function partsOf({ bytes, type }: File): Uint8Array<ArrayBuffer>[] {
  const isSmall = bytes.length <= PART_BYTES
  const decoded = decodeBytes(bytes, bytes.length)
  const parts = decoded.ok ? (CUT[type]?.(decoded.text) ?? null) : null
  if (isSmall && (parts === null || parts.length <= 1)) return [bytes] // as it is: what is wrong with it is said by row
  if (parts === null)
    throw new UsageError(
      decoded.ok
        ? `a file of this kind may have ${MAX_FILE_BYTES} bytes; hand its records in as JSONL`
        : decoded.detail,
    )
  return parts.map((text) => new TextEncoder().encode(text))
}

function cutTable(text: string): string[] {
  const { data, meta } = Papa.parse<string[]>(text, { skipEmptyLines: true })
  const [header = '', ...rows] = data.map((cells) =>
    Papa.unparse([cells], { delimiter: meta.delimiter }),
  )
  return grouped(rows, { header: `${header}\n` })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Lines in groups below the limits, each group after `header`. */
function grouped(
  lines: readonly string[],
  { header = '', separator = '\n' }: { header?: string; separator?: string } = {},
): string[] {
  const groups: string[][] = []
  let size = Infinity
  for (const line of lines) {
    if (line.trim() === '') continue
    const bytes = Buffer.byteLength(line) + 1
    if (size + bytes > PART_BYTES || (groups.at(-1)?.length ?? 0) >= MAX_ROWS) {
      groups.push([])
      size = Buffer.byteLength(header)
    }
    groups.at(-1)?.push(line)
    size += bytes
  }
  return groups.map((group) => header + group.join(separator))
}

/** What the edge would answer, as an error of the user's. */
function refusals<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof Problem) {
      const faults = (error.details.errors ?? [])
        .slice(0, MOST_SHOWN)
        .map(({ detail }) => `\n  ${detail}`)
      throw new UsageError(`${error.message}${faults.join('')}`, { cause: error })
    }
    throw error
  }
}
