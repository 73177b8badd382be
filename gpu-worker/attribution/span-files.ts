/**
 * The span index as a file, `index/spans.bin`, little endian, so that it can be searched where it lies:
 *   8 bytes  magic "OLSPANS" and the version digit
 *   2 x u32  vocabulary, number of shards
 *   3 x u32  per shard: rows, suffixes, symbols of the text
 * then per shard, each array beginning at a multiple of 4 bytes:
 *   i32[rows]              where each row's symbols start in the text
 *   i32[suffixes]          sorted suffixes
 *   u16 or i32[symbols]    text: per row its trained tokens (id + 1); a 0 ends every segment
 * Rows are those of `index/rows.json`, in its order, through all shards. Equal indexes have equal bytes.
 */
import { withShards, type SpanIndex, type SpanShard } from './span-index.ts'
import { emptyText, openCorpus, type Text } from './suffix-array.ts'

const MAGIC = new TextEncoder().encode('OLSPANS2')
const WORD = 4

/** Bytes of `index/spans.bin`; revocations are not part of it. */
export function encodeSpanIndex({ shards, vocabulary }: SpanIndex): Uint8Array {
  const sizes = shards.flatMap(({ corpus: { text, suffixes }, rowStart }) => [
    rowStart.length,
    suffixes.length,
    text.length,
  ])
  const arrays = shards.flatMap(({ corpus: { text, suffixes }, rowStart }) => [
    rowStart,
    suffixes,
    text,
  ])
  const parts = [MAGIC, Uint32Array.of(vocabulary, shards.length, ...sizes), ...arrays]
  return Buffer.concat(
    parts.flatMap(({ buffer, byteOffset, byteLength }) => [
      new Uint8Array(buffer, byteOffset, byteLength),
      new Uint8Array(padded(byteLength) - byteLength),
    ]),
  )
}

/**
 * Reads `index/spans.bin` without copying it when its bytes are aligned. Throws when it is not one, of another version or
 * cut short; that the bytes are the right ones is for their hash to say.
 */
export function decodeSpanIndex(bytes: Uint8Array): SpanIndex {
  const file = bytes.byteOffset % WORD === 0 ? bytes : Uint8Array.from(bytes)
  if (!Buffer.from(file.subarray(0, MAGIC.length)).equals(MAGIC))
    throw new Error('spans.bin: not a version 2 span index')
  let at = MAGIC.length
  /** The place of the next array. */
  const skip = (bytes: number): [ArrayBufferLike, number] => {
    const start = at
    at += padded(bytes)
    if (at > file.length) throw new Error('spans.bin: it ends too early')
    return [file.buffer, file.byteOffset + start]
  }
  const words = (count: number) => new Int32Array(...skip(WORD * count), count)
  const [vocabulary = 0, count = 0] = words(2)
  const sizes = words(3 * count)
  const width = emptyText(0, vocabulary).BYTES_PER_ELEMENT
  const shards = Array.from({ length: count }, (_, i): SpanShard => {
    const [rows = 0, tokens = 0, symbols = 0] = sizes.subarray(3 * i)
    const rowStart = words(rows)
    const suffixes = words(tokens)
    const place = skip(width * symbols)
    const text: Text =
      width === 2 ? new Uint16Array(...place, symbols) : new Int32Array(...place, symbols)
    if (
      (rowStart[0] ?? 0) !== 0 ||
      !rowStart.every((start, row) => start >= (rowStart[row - 1] ?? 0) && start <= symbols)
    )
      throw new Error('spans.bin: the rows are not in order')
    return { rowStart, corpus: openCorpus(text, suffixes, vocabulary) }
  })
  if (at !== file.length) throw new Error('spans.bin: it goes on after its end')
  return withShards(shards, vocabulary)
}

const padded = (bytes: number): number => Math.ceil(bytes / WORD) * WORD
