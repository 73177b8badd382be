import { MAX_METADATA_CHARS, MAX_RECORD_CHARS, recordText, unsafeJson } from './record.ts'
import type { JsonObject, JsonValue, ParsedRow, RowError } from './record.ts'
import { canonicalJson } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

export type Target = 'text' | 'prompt' | 'context' | 'completion' | 'messages'

/**
 * Column names we understand without being told, lower case; the first that a row has wins.
 * `context` is appended to the prompt after an empty line (Alpaca's `input`, SQuAD's `context`); alone it is the prompt.
 */
export const COLUMN_ALIASES = {
  messages: ['messages', 'conversations', 'conversation'],
  prompt: ['prompt', 'question', 'instruction', 'query'],
  context: ['input', 'context'],
  completion: ['completion', 'answer', 'output', 'response', 'target'],
  text: ['text', 'content', 'clause', 'passage', 'paragraph', 'body', 'document'],
} as const satisfies Record<Target, readonly string[]>

/** Roles as OpenAI names them, and ShareGPT's and others' names for them. */
const ROLES: ReadonlyMap<string, 'system' | 'user' | 'assistant'> = new Map([
  ['system', 'system'],
  ['user', 'user'],
  ['human', 'user'],
  ['assistant', 'assistant'],
  ['gpt', 'assistant'],
  ['bot', 'assistant'],
  ['model', 'assistant'],
])
const MAX_MESSAGES = 200

/** Column names that the contributor gives; columns named here are used, and no alias beside them. */
export type ColumnMapping = Partial<Record<Target, string>>

/** Which of a file's columns hold which target. Names are compared without case and outer white space. */
export function findColumns(names: readonly string[], mapping?: ColumnMapping): ColumnMapping {
  const byName = new Map(names.toReversed().map((name) => [name.trim().toLowerCase(), name]))
  const found: ColumnMapping = {}
  for (const target of Object.keys(COLUMN_ALIASES) as Target[]) {
    const wanted = mapping ? [mapping[target] ?? []].flat() : COLUMN_ALIASES[target]
    const alias = wanted.find((name) => byName.has(name.trim().toLowerCase()))
    const name = alias === undefined ? undefined : byName.get(alias.trim().toLowerCase())
    if (name !== undefined) found[target] = name
  }
  return found
}

/** Whether the columns make a record: messages, or a prompt (or context) with a completion, or text. */
export const isComplete = (columns: ColumnMapping): boolean =>
  columns.messages !== undefined ||
  ((columns.prompt ?? columns.context) !== undefined && columns.completion !== undefined) ||
  columns.text !== undefined

/**
 * One parsed object to a row: messages before prompt and completion before text; every other column is metadata.
 * What does not fit comes back as an error naming the row.
 */
export function mapRow(row: number, value: unknown, mapping?: ColumnMapping): ParsedRow {
  const fail = (error: RowError['error'], detail: string): RowError => ({
    row,
    error,
    detail: `Row ${row}: ${detail}.`,
  })
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    return fail('SCHEMA_MISMATCH', 'a record is a JSON object')
  const unsafe = unsafeJson(value)
  if (unsafe !== null) return fail('UNSAFE_STRUCTURE', unsafe)
  const source = value as JsonObject // unsafeJson walked it: plain JSON, finite, shallow
  const columns = findColumns(Object.keys(source), mapping)
  const built = buildFields(source, columns)
  if (typeof built === 'string') return fail('SCHEMA_MISMATCH', built)
  if (recordText(built.fields).length > MAX_RECORD_CHARS)
    return fail('RECORD_TOO_LARGE', `more than ${MAX_RECORD_CHARS} characters`)
  const metadata = Object.fromEntries(
    Object.entries(source).filter(([name]) => !built.used.includes(name)),
  )
  if (JSON.stringify(metadata).length > MAX_METADATA_CHARS)
    return fail('RECORD_TOO_LARGE', `more than ${MAX_METADATA_CHARS} characters of metadata`)
  return { row, fields: built.fields, metadata }
}

type Built = { fields: RecordFields; used: (string | undefined)[] }

/** The fields and the columns they used up, or what is wrong in words. */
function buildFields(source: JsonObject, columns: ColumnMapping): Built | string {
  const { messages, prompt, context, completion, text } = columns
  if (messages !== undefined) return buildMessages(source[messages], messages)
  if ((prompt ?? context) !== undefined && completion !== undefined) {
    const parts: string[] = []
    for (const name of [prompt, context]) {
      const part = name === undefined ? '' : scalarText(source[name])
      if (part === null) return `the column "${name}" is not text`
      if (part.trim() !== '') parts.push(part)
    }
    const answer = scalarText(source[completion])
    if (answer === null) return `the column "${completion}" is not text`
    return {
      fields: { prompt: parts.join('\n\n'), completion: answer },
      used: [prompt, context, completion],
    }
  }
  if (text === undefined)
    return 'it has none of the columns text, prompt with completion, or messages'
  const content = scalarText(source[text])
  return content === null
    ? `the column "${text}" is not text`
    : { fields: { text: content }, used: [text] }
}

/** OpenAI's `[{role, content}]`, or ShareGPT's `[{from, value}]`; a string is read as JSON, as CSV files carry it. */
function buildMessages(column: JsonValue | undefined, name: string): Built | string {
  const list = typeof column === 'string' ? parsedOrNull(column) : column
  if (!Array.isArray(list) || list.length === 0)
    return `the column "${name}" is no list of messages`
  if (list.length > MAX_MESSAGES) return `more than ${MAX_MESSAGES} messages`
  const messages: { role: 'system' | 'user' | 'assistant'; content: string }[] = []
  for (const [i, item] of list.entries()) {
    const { role, from, content, value } = Object(item) as JsonObject
    const known = ROLES.get(String(role ?? from).toLowerCase())
    const said = content ?? value
    if (known === undefined) return `${name}[${i}] has no known role`
    if (typeof said !== 'string') return `${name}[${i}] has no text`
    messages.push({ role: known, content: said })
  }
  return { fields: { messages }, used: [name] }
}

function parsedOrNull(text: string): JsonValue {
  try {
    const value: JsonValue = JSON.parse(text)
    return unsafeJson(value) === null ? value : null
  } catch {
    return null // no JSON is no list of messages: the caller says so
  }
}

/** Text of a string, number or boolean; null for anything else. An absent column of a JSONL row is empty. */
function scalarText(value: JsonValue | undefined): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return canonicalJson(value)
  if (typeof value === 'boolean') return String(value)
  return value === undefined ? '' : null
}
