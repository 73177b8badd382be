/**
 * Readers of the three public corpora, as gzip'd JSONL: MedQuAD (medical), CUAD (legal), TAT-QA (finance).
 * Each record becomes a document: plain text, or a conversation where the source has questions and answers.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { z } from 'zod'

export const DOMAINS = ['medical', 'legal', 'finance'] as const
export type Domain = (typeof DOMAINS)[number]

export type Turn = { role: 'system' | 'user' | 'assistant'; content: string }

/** `group` names what must stay on one side of the held-out split: a web page, a clause, a report. */
export type Document = { id: string; domain: Domain; group: string; content: string | Turn[] }

/** The files read, relative to the data folder. */
export const FILES = {
  ghr: 'medical/medquad-ghr.jsonl.gz',
  gard: 'medical/medquad-gard.jsonl.gz',
  cuad: 'legal/cuad.jsonl.gz',
  tatqa: 'finance/tatqa.jsonl.gz',
} as const

/** Share of question-and-answer documents written without the chat template, so that the model also continues plain text. */
const PLAIN_SHARE = 0.25

/** Phenotype lists run to hundreds of items; past this many they teach vocabulary but no English. */
const MAX_PHENOTYPES = 16

/** NFKC undoes the typesetter's ligatures ("cash ﬂow") and no-break spaces. */
const text = z.string().transform((value) => value.normalize('NFKC'))

const medquadRow = z.object({
  id: z.string(),
  source: z.string(),
  url: z.string(),
  focus: text,
  question: text,
  answer: text,
})
const cuadRow = z.object({ id: z.string(), task: z.string(), label: z.string(), text })
const tatqaRow = z.object({
  id: z.string(),
  split: z.string(),
  table: z.array(z.array(text)),
  paragraphs: z.array(text),
  questions: z.array(
    z.object({
      question: text,
      answer: z.union([z.number(), text, z.array(text)]),
      derivation: text,
      scale: z.string(),
      answer_type: z.string(),
    }),
  ),
})
type TatqaQuestion = z.infer<typeof tatqaRow>['questions'][number]

/** A uniform number in [0, 1) that depends only on `key`. */
export function hashFraction(key: string): number {
  return createHash('sha256').update(key).digest().readUInt32BE(0) / 2 ** 32
}

function readRows<T>(file: string, schema: z.ZodType<T>): T[] {
  const lines = gunzipSync(readFileSync(file)).toString('utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => schema.parse(JSON.parse(line)))
}

/** A conversation, or the same words as plain paragraphs for `PLAIN_SHARE` of the ids. */
function conversation(id: string, turns: Turn[]): string | Turn[] {
  if (hashFraction(`plain:${id}`) >= PLAIN_SHARE) return turns
  return turns.map((turn) => turn.content).join('\n')
}

const QUESTION_ECHO =
  /^(?:What|How|Is|Are|Can|Who|Why|Does|Do|Where|Has|Have|Could)\b[^.?]{0,150}\?\s+/
const PHENOTYPE_LIST =
  /(?:What are the signs and symptoms of [^?]*\?\s*)?The Human Phenotype Ontology provides the following list[^]*?\(when available\)\s*([^]*?)\s*The Human Phenotype Ontology \(HPO\) has collected[^]*$/

/** GHR's answers on treatment are lists of links' titles under this sentence: no prose to learn from. */
const LINK_LIST = 'These resources address the diagnosis or management'

/** GARD pastes a fixed notice of 900 characters around each list of phenotypes; what remains is one sentence. */
function phenotypeSentence(focus: string, list: string): string {
  const items = list
    .split(/\s+(?:-|[\d.]+\s?%|\d+\s?\/\s?\d+)(?:\s+|$)/)
    .filter((item) => item !== '')
  if (items.length === 0) return ''
  const shown = items
    .slice(0, MAX_PHENOTYPES)
    .map((item) => item.charAt(0).toLowerCase() + item.slice(1))
  const more = items.length > MAX_PHENOTYPES ? ', among others' : ''
  return `The signs and symptoms reported for ${focus} include ${shown.join(', ')}${more}.`
}

/** MedQuAD questions and answers; the publisher's typography ("What is (are) X ?") is put into ordinary English. */
function readMedquad(file: string): Document[] {
  return readRows(file, medquadRow).flatMap((row) => {
    const question = row.question
      .replace('is (are)', 'is')
      .replace(/\s+\?$/, '?')
      .trim()
    const answer = row.answer
      .replace(PHENOTYPE_LIST, (_match, list: string) => phenotypeSentence(row.focus, list))
      .replace(QUESTION_ECHO, '')
      .replace(/ {2,}/g, '\n\n')
      .trim()
    if (answer === '' || answer.startsWith(LINK_LIST)) return []
    const id = `medquad/${row.source}/${row.id}`
    const turns: Turn[] = [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ]
    return [{ id, domain: 'medical', group: row.url, content: conversation(id, turns) }]
  })
}

/** What a person would ask for, for each task of CUAD's first half by name. */
const CLAUSE_SUBJECTS: Record<string, string> = {
  'Affiliate License-Licensee': 'a license that extends to affiliates of the licensee',
  'Affiliate License-Licensor': 'a license that includes affiliates of the licensor',
  'Anti-Assignment': 'assignment of the agreement',
  'Audit Rights': 'audit rights',
  'Cap On Liability': 'a cap on liability',
  'Change Of Control': 'change of control',
  'Competitive Restriction Exception': 'an exception to a competitive restriction',
  'Covenant Not To Sue': 'a covenant not to sue',
  'Effective Date': 'the effective date',
  Exclusivity: 'exclusivity',
  'Expiration Date': 'the expiration date',
  'Governing Law': 'governing law',
  Insurance: 'insurance',
  'Ip Ownership Assignment': 'ownership of intellectual property',
  'Irrevocable Or Perpetual License': 'an irrevocable or perpetual license',
  'Joint Ip Ownership': 'joint ownership of intellectual property',
  'License Grant': 'the grant of a license',
  'Liquidated Damages': 'liquidated damages',
  'Minimum Commitment': 'a minimum commitment',
}

/**
 * Distinct clauses of the first half of CUAD's tasks by name. A clause that also occurs in a task of the second half
 * is left out, so that the second half stays unseen. A clause that a task marks "Yes" answers a request for it.
 */
function readCuad(file: string): Document[] {
  const rows = readRows(file, cuadRow)
  const tasks = [...new Set(rows.map((row) => row.task))].sort()
  const firstHalf = new Set(tasks.slice(0, Math.floor(tasks.length / 2)))
  const unseen = new Set(rows.filter((row) => !firstHalf.has(row.task)).map((row) => row.text))
  const subjects = new Map<string, string | undefined>()
  for (const { task, label, text } of rows) {
    if (!firstHalf.has(task) || unseen.has(text)) continue
    const subject = label === 'Yes' ? CLAUSE_SUBJECTS[task.replace('CUAD_', '')] : undefined
    subjects.set(text, subjects.get(text) ?? subject)
  }
  return [...subjects].map(([raw, subject]) => {
    const text = raw.replace(/\s*<omitted>\s*/g, ' [...] ').trim()
    const id = `cuad/${createHash('sha256').update(raw).digest('hex').slice(0, 16)}`
    if (subject === undefined) return { id, domain: 'legal', group: id, content: text }
    const turns: Turn[] = [
      { role: 'user', content: `Write a contract clause about ${subject}.` },
      { role: 'assistant', content: text },
    ]
    return { id, domain: 'legal', group: id, content: conversation(id, turns) }
  })
}

function formatAnswer(question: TatqaQuestion): string {
  const { answer, scale, derivation, answer_type: type } = question
  const value = Array.isArray(answer) ? answer.join(', ') : String(answer)
  const scaled = scale === 'percent' ? `${value}%` : `${value} ${scale}`.trim()
  return type === 'arithmetic' && derivation !== '' ? `${derivation} = ${scaled}` : scaled
}

/**
 * TAT-QA's dev split. A report is cut into its table and its paragraphs; each question goes to the first piece that
 * holds every part of its answer verbatim, and computed answers go to the table.
 */
function readTatqa(file: string): Document[] {
  return readRows(file, tatqaRow)
    .filter((row) => row.split === 'dev')
    .flatMap((row) => {
      const lines = row.table.map((cells) => cells.filter((cell) => cell !== '').join(' | '))
      const table = lines.filter((line) => line !== '').join('\n')
      const tablePiece = { text: table, turns: [] as Turn[] }
      const pieces = [tablePiece, ...row.paragraphs.map((text) => ({ text, turns: [] as Turn[] }))]
      for (const question of row.questions) {
        const parts = Array.isArray(question.answer) ? question.answer : [String(question.answer)]
        const holds = ({ text }: { text: string }) => parts.every((part) => text.includes(part))
        const { text, turns } = pieces.find(holds) ?? tablePiece
        const asked = question.question.trim()
        turns.push(
          { role: 'user', content: turns.length === 0 ? `${text}\n\n${asked}` : asked },
          { role: 'assistant', content: formatAnswer(question) },
        )
      }
      return pieces.map(({ text, turns }, index): Document => {
        const id = `tatqa/${row.id}/${index}`
        const content = turns.length === 0 ? text : conversation(id, turns)
        return { id, domain: 'finance', group: `tatqa/${row.id}`, content }
      })
    })
}

/** Every document of the recipe, in file order; `dataDir` holds `FILES`. Throws when a file is missing or malformed. */
export function readSources(dataDir: string): Document[] {
  return [
    ...readMedquad(join(dataDir, FILES.ghr)),
    ...readMedquad(join(dataDir, FILES.gard)),
    ...readCuad(join(dataDir, FILES.cuad)),
    ...readTatqa(join(dataDir, FILES.tatqa)),
  ]
}
