import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import test from 'node:test'
import { decodeBytes, firstInvalidUtf8 } from './decode.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const bytes = (...parts: (string | number[])[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? [...utf8(part)] : part)))

const decodeFatally = (part: Uint8Array): string =>
  new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(part)

const errorOf = (input: Uint8Array, maxBytes?: number) => {
  const result = decodeBytes(input, maxBytes)
  assert(!result.ok)
  return result
}

test('UTF-8 comes back as it is, without its byte order mark', () => {
  const text = 'naïve 漢字 🦊\n'
  assert.deepEqual(decodeBytes(utf8(text)), { ok: true, text, encoding: 'utf-8' })
  assert.deepEqual(decodeBytes(bytes([0xef, 0xbb, 0xbf], text)), {
    ok: true,
    text,
    encoding: 'utf-8',
  })
})

test('UTF-16 with a byte order mark is read in both byte orders', () => {
  const text = 'a é 漢 🦊'.repeat(5000) // longer than one chunk, with surrogate pairs across chunk borders
  const little = new Uint8Array(Buffer.from(`\ufeff${text}`, 'utf16le'))
  const big = Uint8Array.from(little, (_, i) => little[i ^ 1] ?? 0)
  assert.deepEqual(decodeBytes(little), { ok: true, text, encoding: 'utf-16le' })
  assert.deepEqual(decodeBytes(big), { ok: true, text, encoding: 'utf-16be' })
})

test('a wrong byte is named by its offset, never read as another encoding', () => {
  const error = errorOf(bytes('caf', [0xe9], ' au lait'))
  assert.equal(error.code, 'INVALID_ENCODING')
  assert.equal(error.byteOffset, 3)
  assert.match(error.detail, /Byte 3 \(0xe9\)/)
})

test('the first invalid byte is found for each kind of ill-formed sequence', () => {
  const cases: [number[], number][] = [
    [[0x80], 0], // continuation without a lead
    [[0xc0, 0xaf], 0], // overlong
    [[0xe0, 0x80, 0x80], 0], // overlong
    [[0xf0, 0x80, 0x80, 0x80], 0], // overlong
    [[0xed, 0xa0, 0x80], 0], // surrogate
    [[0xf4, 0x90, 0x80, 0x80], 0], // over U+10FFFF
    [[0xe2, 0x82], 0], // cut short
    [[0xff], 0],
  ]
  for (const [tail, at] of cases)
    assert.equal(firstInvalidUtf8(bytes('aé漢🦊', tail, 'z')), utf8('aé漢🦊').length + at)
  assert.equal(firstInvalidUtf8(utf8('aé漢🦊')), utf8('aé漢🦊').length)
})

test('the offset agrees with the platform decoder on random bytes', () => {
  let seed = 7
  const random = (): number => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 24
  for (let round = 0; round < 2000; round++) {
    const input = Uint8Array.from({ length: 6 }, () =>
      random() < 100 ? random() & 0x7f : random(),
    )
    const at = firstInvalidUtf8(input)
    assert.doesNotThrow(() => decodeFatally(input.subarray(0, at)))
    if (at < input.length) assert.throws(() => decodeFatally(input))
  }
})

test('what is not text is refused by name, by its first bytes', () => {
  assert.match(errorOf(new Uint8Array(gzipSync('text'))).detail, /gzip.*uncompressed/)
  for (const [magic, name] of [
    ['%PDF-1.7', /PDF/],
    ['PAR1', /Parquet/],
    ['PK\u0003\u0004', /zip/],
  ] as const) {
    const error = errorOf(utf8(`${magic} and more`))
    assert.equal(error.code, 'UNSUPPORTED_FORMAT')
    assert.match(error.detail, name)
  }
})

test('empty files, files over the cap, NUL bytes and broken UTF-16 are told apart', () => {
  assert.equal(errorOf(new Uint8Array()).code, 'EMPTY_FILE')
  assert.equal(errorOf(utf8('12345'), 4).code, 'FILE_TOO_LARGE')
  assert.equal(decodeBytes(utf8('1234'), 4).ok, true)
  assert.deepEqual(
    [errorOf(bytes('ab', [0], 'c')).code, errorOf(bytes('ab', [0])).byteOffset],
    ['BINARY_DATA', 2],
  )
  assert.equal(errorOf(Uint8Array.of(0xff, 0xfe, 0x41)).byteOffset, 2) // odd length
  assert.equal(errorOf(Uint8Array.of(0xff, 0xfe, 0x41, 0, 0x00, 0xd8)).byteOffset, 4) // lone high surrogate
  assert.equal(errorOf(Uint8Array.of(0xfe, 0xff, 0xdc, 0x00, 0, 0x41)).byteOffset, 2) // lone low surrogate
})
