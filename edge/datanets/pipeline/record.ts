import { canonicalJson, keccak, type Hex } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject
export type JsonObject = { [key: string]: JsonValue }

/** Most UTF-16 code units that a record's fields may hold together. */
export const MAX_RECORD_CHARS = 131_072
/** Most characters of canonical JSON that a record's metadata may take. */
export const MAX_METADATA_CHARS = 16_384
const MAX_DEPTH = 16
const MAX_NODES = 10_000
const MAX_KEY_CHARS = 256

/** A row that parsed: `row` is its 1-based place in the file, as parse.ts counts it for each format. */
export type Row = { row: number; fields: RecordFields; metadata: JsonObject }

/** A row that did not: it stays in the sequence, so no row of a file is ever lost. */
export type RowError = {
  row: number
  error: 'MALFORMED_ROW' | 'SCHEMA_MISMATCH' | 'RECORD_TOO_LARGE' | 'UNSAFE_STRUCTURE'
  detail: string
}

export type ParsedRow = Row | RowError

/** The record as one text, for everything that looks at the whole: signals, language, duplicates. */
export function recordText(fields: RecordFields): string {
  if ('text' in fields) return fields.text
  if ('messages' in fields) return fields.messages.map((message) => message.content).join('\n')
  return `${fields.prompt}\n${fields.completion}`
}

/** What a model that is trained on the record learns to say: all of a text, and of an exchange the answers. */
export function saidText(fields: RecordFields): string {
  if ('text' in fields) return fields.text
  if ('completion' in fields) return fields.completion
  const said = fields.messages.filter(({ role }) => role === 'assistant')
  return said.map(({ content }) => content).join('\n')
}

/** The fields with every text replaced by `change(text, path)`; paths read `text`, `prompt`, `messages[0].content`. */
export function mapFields(
  fields: RecordFields,
  change: (text: string, path: string) => string,
): RecordFields {
  if ('text' in fields) return { text: change(fields.text, 'text') }
  if ('messages' in fields)
    return {
      messages: fields.messages.map(({ role, content }, i) => ({
        role,
        content: change(content, `messages[${i}].content`),
      })),
    }
  return {
    prompt: change(fields.prompt, 'prompt'),
    completion: change(fields.completion, 'completion'),
  }
}

/** A JSON value with every string leaf replaced by `change(text, path)`. The depth is bounded by `unsafeJson`. */
export function mapStrings(
  value: JsonValue,
  path: string,
  change: (text: string, path: string) => string,
): JsonValue {
  if (typeof value === 'string') return change(value, path)
  if (Array.isArray(value)) return value.map((item, i) => mapStrings(item, `${path}[${i}]`, change))
  if (value === null || typeof value !== 'object') return value
  // fromEntries defines own properties, so no key can reach a prototype.
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key.toWellFormed(),
      mapStrings(item, `${path}.${key.toWellFormed()}`, change),
    ]),
  )
}

/** The record's identity: keccak-256 of the canonical JSON of its sanitized fields. Metadata is no part of it. */
export const recordHash = (fields: RecordFields): Hex => keccak(canonicalJson(fields))

/** Why a value parsed from JSON must not go on, in words, or null. Bounds the recursion of everything after it. */
export function unsafeJson(value: unknown): string | null {
  let nodes = 0
  const visit = (item: unknown, depth: number): string | null => {
    if (++nodes > MAX_NODES) return `more than ${MAX_NODES} values in one record`
    if (typeof item === 'number' && !Number.isFinite(item)) return 'a number out of range'
    if (item === null || typeof item !== 'object') return null
    if (depth > MAX_DEPTH) return `nested deeper than ${MAX_DEPTH} levels`
    for (const [key, child] of Object.entries(item)) {
      if (key === '__proto__') return 'the key __proto__ is reserved'
      if (key.length > MAX_KEY_CHARS) return `a key longer than ${MAX_KEY_CHARS} characters`
      const found = visit(child, depth + 1)
      if (found !== null) return found
    }
    return null
  }
  return visit(value, 1)
}
