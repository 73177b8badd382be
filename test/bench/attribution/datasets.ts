/**
 * Three datasets that the embedded base has not seen (see gpu-worker/pretrain/sources.ts for what it has): MedQuAD's answers
 * of five other publishers, clauses of the half of CUAD's tasks that pre-training leaves out, and the paragraphs of the
 * annual reports of TAT-QA's test split. Records go through the real submission pipeline; what it accepts becomes
 * the trained set and the held-out queries. The method was chosen while looking at the first two; TAT-QA was added after that.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { z } from 'zod'
import { createMemoryIndex } from '#edge/datanets/pipeline/dedup-index.ts'
import { runPipeline } from '#edge/datanets/pipeline/pipeline.ts'
import type { Tokenizer } from '#gpu-worker/tokenizer.ts'
import { toExamples, type Example } from '#gpu-worker/training/examples.ts'
import { sha256Hex, type Hex } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

export const DATASETS = ['medquad', 'cuad', 'tatqa'] as const
export type DatasetName = (typeof DATASETS)[number]

export type AttributionTask = {
  name: DatasetName
  train: Example[]
  /** Held-out records of the same groups: what their loss is under an adapter is what attribution must predict. */
  queries: Example[]
  /** Other records, for null queries and for choosing the damping. */
  others: Example[]
}

export type TaskSize = { records: number; queries: number; sequenceLength: number }

export const TASK_SIZE: TaskSize = { records: 512, queries: 48, sequenceLength: 64 }

const OTHERS = 64

type Item = { contributor: string; group: string; fields: RecordFields }

const MEDQUAD_PUBLISHERS = ['cancergov', 'nhlbi', 'niddk', 'ninds', 'seniorhealth']
/** Records taken of one group (a disease, a kind of clause, a report): several must bear on a query, none alone decides it. */
const GROUP_LIMIT = { medquad: 5, cuad: 40, tatqa: 5 } as const
const GROUP_LEAST = { medquad: 4, cuad: 8, tatqa: 4 } as const

const medquadRow = z.object({
  focus: z.string(),
  question: z.string(),
  answer: z.string(),
  source: z.string(),
})
const cuadRow = z.object({ task: z.string(), label: z.string(), text: z.string() })
const tatqaRow = z.object({
  id: z.string(),
  split: z.string(),
  table: z.array(z.array(z.string())),
  paragraphs: z.array(z.string()),
  questions: z.array(z.object({ question: z.string() })),
})

const ITEMS = { medquad: medquadItems, cuad: cuadItems, tatqa: tatqaItems } satisfies Record<
  DatasetName,
  (dataDir: string) => Item[]
>

/** Loads a dataset from the folder of public data; deterministic. Throws when a file is missing. */
export async function loadTask(
  name: DatasetName,
  dataDir: string,
  tokenizer: Tokenizer,
  size: TaskSize,
): Promise<AttributionTask> {
  const items = ITEMS[name](dataDir)
  const accepted = await throughPipeline(items)
  const groups = Map.groupBy(accepted, ({ group }) => group)
  const chosen = [...groups]
    .filter(([, members]) => members.length >= GROUP_LEAST[name])
    .toSorted(byHash(([group]) => group))
    .map(([, members]) =>
      members.toSorted(byHash(({ record }) => record)).slice(0, GROUP_LIMIT[name]),
    )
  const { train, queries } = split(chosen, size)
  const examples = (rows: readonly Accepted[]) =>
    toExamples(
      rows.map(({ record, cluster, contributor, fields }) => ({
        record,
        cluster,
        contributor: addressOf(contributor),
        fields,
      })),
      tokenizer,
      size.sequenceLength,
    ).examples
  const used = new Set([...train, ...queries].map(({ record }) => record))
  const others = accepted
    .filter(({ record }) => !used.has(record))
    .toSorted(byHash(({ record }) => record))
    .slice(0, OTHERS)
  const task = {
    name,
    train: examples(train),
    queries: examples(queries),
    others: examples(others),
  }
  if (task.train.length < size.records || task.queries.length < size.queries)
    throw new Error(`${name} has ${task.train.length} records and ${task.queries.length} queries`)
  return task
}

type Accepted = Item & { record: Hex; cluster: Hex }

/** What the submission pipeline accepts, one submission per contributor; near-duplicates of earlier records fall away. */
async function throughPipeline(items: readonly Item[]): Promise<Accepted[]> {
  const index = createMemoryIndex()
  const accepted: Accepted[] = []
  for (const [contributor, own] of Map.groupBy(items, (item) => item.contributor)) {
    const rows = own.map(({ fields }, row) => ({ row, fields, metadata: {} }))
    const { records } = await runPipeline({ rows, contributor, index })
    for (const { row, verdict, fields, recordHash, cluster, indexEntry } of records) {
      if (indexEntry) index.add(indexEntry)
      const group = own[row]?.group
      if (verdict === 'accepted' && fields && recordHash && cluster && group !== undefined)
        accepted.push({ contributor, group, fields, record: recordHash, cluster })
    }
  }
  return accepted
}

/** One query from each group in turn, then records group by group until there are enough. */
function split(
  groups: readonly Accepted[][],
  { records, queries }: TaskSize,
): { train: Accepted[]; queries: Accepted[] } {
  const rounds = Math.ceil(queries / Math.max(1, groups.length))
  const train: Accepted[] = []
  const asked: Accepted[] = []
  for (const group of groups) {
    const mine = Math.min(rounds, queries - asked.length)
    asked.push(...group.slice(0, mine))
    if (train.length < records) train.push(...group.slice(mine, mine + records - train.length))
  }
  return { train, queries: asked }
}

function medquadItems(dataDir: string): Item[] {
  return MEDQUAD_PUBLISHERS.flatMap((publisher) =>
    readRows(join(dataDir, 'medical', `medquad-${publisher}.jsonl.gz`), medquadRow)
      .filter(({ answer }) => answer.trim() !== '')
      .map(({ source, focus, question, answer }) => ({
        contributor: source,
        group: focus,
        fields: {
          prompt: question.replace('is (are)', 'is').replace(/[\s?]*$/, '?'),
          completion: answer.replaceAll(/\s+/g, ' ').trim(),
        },
      })),
  )
}

/** Clauses marked "Yes" of the tasks that readCuad keeps out of pre-training: the second half by name. */
function cuadItems(dataDir: string): Item[] {
  const rows = readRows(join(dataDir, 'legal', 'cuad.jsonl.gz'), cuadRow)
  const tasks = [...new Set(rows.map((row) => row.task))].toSorted()
  const unseen = new Set(tasks.slice(Math.floor(tasks.length / 2)))
  return rows
    .filter(({ task, label }) => unseen.has(task) && label === 'Yes')
    .map(({ task, text }) => ({ contributor: task, group: task, fields: { text } }))
}

/** Paragraphs of the reports that pre-training does not read: its test split. Each report is a contributor. */
function tatqaItems(dataDir: string): Item[] {
  return readRows(join(dataDir, 'finance', 'tatqa.jsonl.gz'), tatqaRow)
    .filter(({ split }) => split === 'test_gold')
    .flatMap(({ id, paragraphs }) =>
      paragraphs.map((text) => ({ contributor: id, group: id, fields: { text } })),
    )
}

/** Texts, questions, and for each question the place of the one text that it is about. */
export type QuestionSet = { texts: string[]; asked: { question: string; record: number }[] }

export const QUESTION_SETS = ['medquad', 'tatqa'] as const

/** At most `most` questions that the base has not seen, over all records of the dataset. Answers stand without their question. */
export function questions(
  name: (typeof QUESTION_SETS)[number],
  dataDir: string,
  most: number,
): QuestionSet {
  const found = name === 'medquad' ? medquadQuestions(dataDir) : tatqaQuestions(dataDir)
  const asked = found.asked.toSorted(byHash(({ question, record }) => `${record} ${question}`))
  return { ...found, asked: asked.slice(0, most) }
}

function medquadQuestions(dataDir: string): QuestionSet {
  const rows = MEDQUAD_PUBLISHERS.flatMap((publisher) =>
    readRows(join(dataDir, 'medical', `medquad-${publisher}.jsonl.gz`), medquadRow),
  )
  // One answer may be given to several questions.
  const texts = [...new Set(rows.map(({ answer }) => answer.trim()))].filter((text) => text !== '')
  const places = new Map(texts.map((text, place) => [text, place]))
  const asked = rows.flatMap(({ question, answer }) => {
    const record = places.get(answer.trim())
    return record === undefined ? [] : [{ question, record }]
  })
  return { texts, asked }
}

/** Every report's paragraphs and table are a record; questions are those of the test split, which pre-training does not read. */
function tatqaQuestions(dataDir: string): QuestionSet {
  const rows = readRows(join(dataDir, 'finance', 'tatqa.jsonl.gz'), tatqaRow)
  const texts = rows.map(({ paragraphs, table }) =>
    [...paragraphs, ...table.map((cells) => cells.join(' '))].join('\n'),
  )
  const asked = rows.flatMap(({ split, questions: own }, record) =>
    split === 'test_gold' ? own.map(({ question }) => ({ question, record })) : [],
  )
  return { texts, asked }
}

function readRows<T>(file: string, schema: z.ZodType<T>): T[] {
  const lines = gunzipSync(readFileSync(file)).toString('utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => schema.parse(JSON.parse(line)))
}

/** A stand-in account of a publisher or task. */
export const addressOf = (contributor: string): Hex =>
  `0x${sha256Hex(`contributor ${contributor}`).slice(2, 42)}`

/** Orders by a hash of the key: a fixed random order. */
function byHash<T>(key: (item: T) => string): (a: T, b: T) => number {
  const hash = (item: T) => sha256Hex(`bench:attribution ${key(item)}`)
  return (a, b) => (hash(a) < hash(b) ? -1 : 1)
}
