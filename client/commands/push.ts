import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { createMemoryIndex } from '#edge/datanets/pipeline/dedup-index.ts'
import { runPipeline } from '#edge/datanets/pipeline/pipeline.ts'
import { DEFAULT_PROFILE, type Profile } from '#edge/datanets/pipeline/profile.ts'
import { REASONS, type ReasonCode } from '#edge/datanets/pipeline/reasons.ts'
import { sha256Hex, ZERO_ADDRESS } from '#protocol/bytes.ts'
import { onlyArgument, UsageError, type Command, type Context } from '../command.ts'
import { until, type Client, type Contribution, type Datanet } from '../openledger.ts'
import { contentTypeOf, readParts, type Part, type ReadPart } from '../parts.ts'
import type { RecordVerdict } from '../schema.ts'
import { textTable } from '../table.ts'
import { findDatanet } from './datanet.ts'

const ENDED: Contribution['status'][] = ['anchored', 'rejected', 'failed']
const PROCESS_TIMEOUT_MS = 600_000
const MOST_SHOWN = 20

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
    const path = onlyArgument(input, 'datanet push', 'FILE')
    const name = input.text('datanet')
    const isDry = input.has('dry-run')
    const file = { body: readFile(path), type: contentTypeOf(path) }
    if (name === undefined && !isDry) throw new UsageError('datanet push needs --datanet')
    const client = isDry ? settings.guest : await settings.client()
    const datanet = name === undefined ? null : await findDatanet(client, name)
    const parts = readParts(file, datanet?.schema)
    if (datanet === null || isDry) return judge(context, parts, datanet)
    return push(context, { client, datanet, parts, path })
  },
}

function readFile(path: string): Uint8Array<ArrayBuffer> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile())
    throw new UsageError(`there is no file ${path}`)
  return Uint8Array.from(readFileSync(path))
}

/** The verdicts that these records would get, but for what others' records and models' answers say too. */
async function judge(
  { print, progress }: Context,
  parts: ReadPart[],
  datanet: Datanet | null,
): Promise<number> {
  const step = progress.step('Judging locally')
  const counts = { rows: 0, accepted: 0, needs_review: 0, rejected: 0 }
  const held: Held[] = []
  const profile = { ...DEFAULT_PROFILE, ...datanet?.profile } as Profile
  const index = createMemoryIndex()
  for (const [i, { rows, rowsBefore }] of parts.entries()) {
    const { records } = await runPipeline({ rows, contributor: ZERO_ADDRESS, profile, index })
    for (const { row, verdict, reasons, detail } of records) {
      counts.rows += 1
      counts[verdict] += 1
      if (verdict !== 'accepted') held.push({ row: rowsBefore + row, verdict, reasons, detail })
    }
    step.update((i + 1) / parts.length)
  }
  step.done(`${counts.accepted} of ${counts.rows} would be accepted`)
  print([countsText(counts), ...heldLines(held, held.length)].join('\n'), { counts, held })
  return counts.accepted === 0 ? 1 : 0
}

async function push(
  { input, print, progress }: Context,
  {
    client,
    datanet,
    parts,
    path,
  }: { client: Client; datanet: Datanet; parts: Part[]; path: string },
): Promise<number> {
  const metadata = {
    source: input.text('source') ?? basename(path),
    licence: input.text('licence') ?? datanet.licence,
    intended_use: input.text('intended-use') ?? 'fine-tuning',
    context: input.text('context') ?? 'handed in with openledger datanet push',
  }
  const sending = progress.step('Sending')
  const ids: string[] = []
  for (const [i, { body, type }] of parts.entries()) {
    // The key names the content: sent again, a part that has arrived is answered with its first id.
    const key = sha256Hex(JSON.stringify([datanet.id, sha256Hex(body), metadata]))
    ids.push((await client.contribute(datanet.id, { body, type, metadata, key })).id)
    sending.update((i + 1) / parts.length, `part ${i + 1} of ${parts.length}`)
  }
  sending.done(`${parts.length} part${parts.length === 1 ? '' : 's'}`)

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
  const total = (name: 'rows' | 'accepted' | 'needs_review' | 'rejected') =>
    contributions.reduce((n, { counts }) => n + (counts?.[name] ?? 0), 0)
  const counts = {
    rows: total('rows'),
    accepted: total('accepted'),
    needs_review: total('needs_review'),
    rejected: total('rejected'),
  }
  judging.done(`${counts.accepted} records accepted and anchored`)
  const held = await heldRows(client, contributions, parts)
  const faults = contributions.flatMap(({ errors }) => (errors ?? []).map(({ detail }) => detail))
  print(
    [countsText(counts), ...heldLines(held, counts.rows - counts.accepted), ...faults, ...ids].join(
      '\n',
    ),
    { datanet: datanet.id, contributions, held },
  )
  return counts.accepted > 0 ? 0 : 1
}

/** A record that was not accepted; `row` is its place in the file. */
type Held = Pick<RecordVerdict, 'row' | 'verdict' | 'reasons' | 'detail'>

/** The first records of a file that were not accepted. */
async function heldRows(
  client: Client,
  contributions: Contribution[],
  parts: Part[],
): Promise<Held[]> {
  const held: Held[] = []
  for (const [i, { id }] of contributions.entries())
    for (const wanted of ['rejected', 'needs_review'] as const) {
      let found = 0
      for await (const { row, verdict, reasons, detail } of client.verdicts(id, wanted)) {
        held.push({ row: (parts[i]?.rowsBefore ?? 0) + row, verdict, reasons, detail })
        if (++found >= MOST_SHOWN) break
      }
    }
  return held.toSorted((a, b) => a.row - b.row).slice(0, MOST_SHOWN)
}

const countsText = (counts: Record<'rows' | 'accepted' | 'needs_review' | 'rejected', number>) =>
  `${counts.rows} records: ${counts.accepted} accepted, ${counts.needs_review} for review, ${counts.rejected} rejected`

/** What was not accepted, row by row, and why; `count` is how many there are. */
function heldLines(held: Held[], count: number): string[] {
  if (held.length === 0) return []
  const shown = held.slice(0, MOST_SHOWN)
  const table = textTable([
    ['row', 'verdict', 'reason', 'because'],
    ...shown.map(({ row, verdict, reasons, detail }) => [
      String(row),
      verdict,
      reasons.join(', ').toLowerCase(),
      detail?.replace(/^Row \d+: /, '') ?? meaningOf(reasons),
    ]),
  ])
  return [table + more(count)]
}

const meaningOf = (reasons: string[]): string =>
  reasons.map((reason) => (isReason(reason) ? REASONS[reason].meaning : reason)).join(' ')

const isReason = (text: string): text is ReasonCode => Object.hasOwn(REASONS, text)

const more = (count: number): string =>
  count > MOST_SHOWN ? `\n  and ${count - MOST_SHOWN} more` : ''
