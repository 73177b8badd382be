/** Most bytes of one inline file. */
export const MAX_FILE_BYTES = 5 * 1024 * 1024

export type Encoding = 'utf-8' | 'utf-16le' | 'utf-16be'

/** Why a file as a whole was refused. `byteOffset` counts from 0, `line` and `column` from 1. */
export type FileError = {
  ok: false
  code:
    | 'EMPTY_FILE'
    | 'FILE_TOO_LARGE'
    | 'UNSUPPORTED_FORMAT'
    | 'BINARY_DATA'
    | 'INVALID_ENCODING'
    | 'MALFORMED_JSON'
    | 'NO_KNOWN_COLUMNS'
    | 'TOO_MANY_ROWS'
  detail: string
  byteOffset?: number
  line?: number
  column?: number
}

/** Leading bytes of what we can name but not read as text. */
const MAGIC: readonly (readonly [name: string, advice: string, bytes: readonly number[]])[] = [
  ['gzip', 'send it uncompressed', [0x1f, 0x8b]],
  ['zstd', 'send it uncompressed', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', 'send it uncompressed', [0x42, 0x5a, 0x68]],
  ['xz', 'send it uncompressed', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['7z', 'send the files inside it', [0x37, 0x7a, 0xbc, 0xaf]],
  ['zip', 'send the files inside it', [0x50, 0x4b, 0x03, 0x04]],
  ['PDF', 'send its text', [0x25, 0x50, 0x44, 0x46, 0x2d]],
  ['Parquet', 'send it as JSONL or CSV', [0x50, 0x41, 0x52, 0x31]],
  ['Arrow', 'send it as JSONL or CSV', [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31]],
  ['SQLite', 'send it as JSONL or CSV', [0x53, 0x51, 0x4c, 0x69, 0x74, 0x65, 0x20]],
  ['PNG', 'only text is taken', [0x89, 0x50, 0x4e, 0x47]],
  ['JPEG', 'only text is taken', [0xff, 0xd8, 0xff]],
]

/**
 * Bytes to text. UTF-8 with or without a byte order mark, UTF-16 with one. What is neither is refused with the offset
 * of the first wrong byte: guessing a legacy encoding would silently change what a contributor signed for.
 */
export function decodeBytes(
  bytes: Uint8Array,
  maxBytes: number = MAX_FILE_BYTES,
): { ok: true; text: string; encoding: Encoding } | FileError {
  if (bytes.length === 0) return { ok: false, code: 'EMPTY_FILE', detail: 'The file is empty.' }
  if (bytes.length > maxBytes)
    return {
      ok: false,
      code: 'FILE_TOO_LARGE',
      detail: `The file has ${bytes.length} bytes; at most ${maxBytes} are taken.`,
    }
  for (const [name, advice, magic] of MAGIC)
    if (magic.every((byte, i) => bytes[i] === byte))
      return {
        ok: false,
        code: 'UNSUPPORTED_FORMAT',
        detail: `The file is ${name}, by its first bytes; ${advice}.`,
      }
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return decodeUtf16(bytes, 'utf-16le')
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return decodeUtf16(bytes, 'utf-16be')
  return decodeUtf8(bytes)
}

function decodeUtf8(bytes: Uint8Array): ReturnType<typeof decodeBytes> {
  const nul = bytes.indexOf(0)
  if (nul >= 0)
    return {
      ok: false,
      code: 'BINARY_DATA',
      detail: `Byte ${nul} is NUL: the file is binary, or UTF-16 without a byte order mark.`,
      byteOffset: nul,
    }
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes)
    return { ok: true, text, encoding: 'utf-8' }
  } catch {
    const byteOffset = firstInvalidUtf8(bytes)
    return {
      ok: false,
      code: 'INVALID_ENCODING',
      detail: `Byte ${byteOffset} (0x${(bytes[byteOffset] ?? 0).toString(16).padStart(2, '0')}) is not valid UTF-8.`,
      byteOffset,
    }
  }
}

/** Offset of the first byte of the first ill-formed sequence (Unicode 16, table 3-7); the length when there is none. */
export function firstInvalidUtf8(bytes: Uint8Array): number {
  let at = 0
  while (at < bytes.length) {
    const lead = bytes[at] ?? 0
    const length =
      lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
    if (length === 0) return at
    for (let i = 1; i < length; i++) {
      // Only the second byte has tighter bounds: they exclude overlong forms, surrogates and code points over U+10FFFF.
      const low = i > 1 ? 0x80 : lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
      const high = i > 1 ? 0xbf : lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
      const byte = bytes[at + i] ?? 0
      if (byte < low || byte > high) return at
    }
    at += length
  }
  return at
}

const UTF16_CHUNK = 8192 // code units per fromCharCode call: well under every engine's argument limit

function decodeUtf16(bytes: Uint8Array, encoding: Encoding): ReturnType<typeof decodeBytes> {
  if (bytes.length % 2 === 1)
    return {
      ok: false,
      code: 'INVALID_ENCODING',
      detail: `Byte ${bytes.length - 1} is half of a UTF-16 code unit.`,
      byteOffset: bytes.length - 1,
    }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const units = new Uint16Array(bytes.length / 2 - 1)
  for (let i = 0; i < units.length; i++)
    units[i] = view.getUint16(2 + 2 * i, encoding === 'utf-16le')
  let text = ''
  for (let i = 0; i < units.length; i += UTF16_CHUNK)
    text += String.fromCharCode(...units.subarray(i, i + UTF16_CHUNK))
  const lone = units.findIndex(
    (unit, i) =>
      (isHigh(unit) && !isLow(units[i + 1] ?? 0)) || (isLow(unit) && !isHigh(units[i - 1] ?? 0)),
  )
  if (lone >= 0)
    return {
      ok: false,
      code: 'INVALID_ENCODING',
      detail: `Byte ${2 + 2 * lone} begins half of a UTF-16 surrogate pair.`,
      byteOffset: 2 + 2 * lone,
    }
  return { ok: true, text, encoding }
}

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000
