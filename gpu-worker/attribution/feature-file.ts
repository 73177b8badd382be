/**
 * Features on their way through an index's passes, on disk: a row is an exponent (int16), two zero bytes and
 * FEATURE_DIMS int8. Rows are appended in a fixed order, so a file that a killed process left behind is gone on with;
 * a row half written is cut off.
 */
import { open } from 'node:fs/promises'
import { FEATURE_DIMS } from './features.ts'
import type { Quantized } from './quantize.ts'

const HEADER_BYTES = 4
const ROW_BYTES = HEADER_BYTES + FEATURE_DIMS
/** Rows read at once: 4 MiB. */
const ROWS_PER_READ = 256

export type FeatureRow = Pick<Quantized, 'values' | 'exponent'>

/** Opens or creates the file. */
export async function openFeatureFile(path: string) {
  const file = await open(path, 'a+')
  let count = Math.floor((await file.stat()).size / ROW_BYTES)
  await file.truncate(count * ROW_BYTES)
  const readAt = async (first: number, rows: number): Promise<FeatureRow[]> => {
    const bytes = Buffer.alloc(rows * ROW_BYTES)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, first * ROW_BYTES)
    if (bytesRead !== bytes.length) throw new Error(`${path} ends before row ${first + rows}`)
    return Array.from({ length: rows }, (_, i) => ({
      exponent: bytes.readInt16LE(i * ROW_BYTES),
      values: new Int8Array(
        bytes.buffer,
        bytes.byteOffset + i * ROW_BYTES + HEADER_BYTES,
        FEATURE_DIMS,
      ),
    }))
  }
  return {
    /** Rows in the file. */
    count: () => count,
    append: async (rows: readonly FeatureRow[]): Promise<void> => {
      const bytes = Buffer.alloc(rows.length * ROW_BYTES)
      rows.forEach(({ values, exponent }, i) => {
        bytes.writeInt16LE(exponent, i * ROW_BYTES)
        bytes.set(
          new Uint8Array(values.buffer, values.byteOffset, values.length),
          i * ROW_BYTES + HEADER_BYTES,
        )
      })
      await file.appendFile(bytes)
      count += rows.length
    },
    /** All rows in order, a few at a time. */
    async *rows(): AsyncGenerator<FeatureRow, void, void> {
      for (let first = 0; first < count; first += ROWS_PER_READ)
        yield* await readAt(first, Math.min(ROWS_PER_READ, count - first))
    },
    row: async (at: number): Promise<FeatureRow> => {
      const [row] = await readAt(at, 1)
      if (!row) throw new RangeError(`${path} has no row ${at}`)
      return row
    },
    close: () => file.close(),
  }
}

export type FeatureFile = Awaited<ReturnType<typeof openFeatureFile>>
