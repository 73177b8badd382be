/** The files of an adapter's indexes, verified and read: hashing, parsing and drawing that no token should wait for. */
import {
  readIndex,
  type IndexFiles,
  type IndexOwner,
  type IndexParts,
} from '../attribution/index-files.ts'
import { decodeSpanIndex } from '../attribution/span-files.ts'
import { rowTokens, type SpanIndex } from '../attribution/span-index.ts'
import type { Hex } from '#protocol/bytes.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import { sha256Of } from '../blobs.ts'

/** A file with the hash that the manifest says it has. */
type File = { sha256: Hex; bytes: Uint8Array }
export type ReadRequest = {
  files: Readonly<Record<keyof IndexFiles | 'spans', File>>
  owner: IndexOwner
}
export type ServedParts = {
  parts: IndexParts
  spans: SpanIndex
  /** Memory held, about. */
  bytes: number
}

/** Throws an Error that names what does not hold. */
export function readServed({ files, owner }: ReadRequest): ServedParts {
  for (const [name, { sha256, bytes }] of Object.entries(files)) {
    const found = sha256Of(bytes)
    if (found !== sha256) throw new Error(`index ${name} has the hash ${found}, not ${sha256}`)
  }
  const { rows, vectors, landmarks, projection } = files
  const parts = readIndex(
    {
      rows: rows.bytes,
      vectors: vectors.bytes,
      landmarks: landmarks.bytes,
      projection: projection.bytes,
    },
    owner,
  )
  const spans = decodeSpanIndex(files.spans.bytes)
  if (spans.rows !== parts.rows.length)
    throw new Error('its two indexes have different numbers of rows')
  parts.rows.forEach((row, i) => {
    const tokens = rowTokens(spans, i)
    if (tokens.length !== row.tokens || tokensRoot(tokens) !== row.tokensRoot)
      throw new Error(`index/spans.bin: row ${i} has other tokens than index/rows.json`)
  })
  const bytes = buffersOf({ parts, spans }).reduce((n, { byteLength }) => n + byteLength, 0)
  return { parts, spans, bytes: bytes + rows.bytes.length }
}

/** The memory of all arrays of numbers, each once: what is moved to another thread instead of copied. */
export const buffersOf = ({
  parts,
  spans,
}: Pick<ServedParts, 'parts' | 'spans'>): ArrayBuffer[] => [
  ...new Set(arraysIn([{ ...parts, rows: [] }, spans])),
]

function arraysIn(value: unknown): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) return value.buffer instanceof ArrayBuffer ? [value.buffer] : []
  if (value instanceof Map) return [...value.values()].flatMap(arraysIn)
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(arraysIn)
}
