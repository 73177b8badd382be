/**
 * Rows of one size on disk, on their way through an index's passes. They are appended in a fixed order, so a file that a
 * killed process left behind is gone on with; a row half written is cut off.
 */
import { open } from 'node:fs/promises'

/** How a row lies in the file. */
export type RowFormat<Row> = {
  bytes: number
  write: (row: Row, into: Buffer) => void
  /** Of bytes that are the row's own and aligned to its size. */
  read: (from: Buffer) => Row
}

/** Read at once, at most. */
const READ_BYTES = 2 ** 22

/** Opens or creates the file. */
export async function openRowFile<Row>(path: string, format: RowFormat<Row>) {
  const file = await open(path, 'a+')
  const size = format.bytes
  const together = Math.max(1, Math.floor(READ_BYTES / size))
  let count = Math.floor((await file.stat()).size / size)
  await file.truncate(count * size)
  const place = (bytes: Buffer, row: number) => bytes.subarray(row * size, (row + 1) * size)
  const readAt = async (first: number, rows: number): Promise<Row[]> => {
    const bytes = Buffer.alloc(rows * size)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, first * size)
    if (bytesRead !== bytes.length) throw new Error(`${path} ends before row ${first + rows}`)
    return Array.from({ length: rows }, (_, row) => format.read(place(bytes, row)))
  }
  return {
    /** Rows in the file. */
    count: () => count,
    append: async (rows: readonly Row[]): Promise<void> => {
      const bytes = Buffer.alloc(rows.length * size)
      rows.forEach((row, i) => format.write(row, place(bytes, i)))
      await file.appendFile(bytes)
      count += rows.length
    },
    /** All rows in order, some at a time. */
    async *parts(): AsyncGenerator<Row[], void, void> {
      for (let first = 0; first < count; first += together)
        yield await readAt(first, Math.min(together, count - first))
    },
    row: async (at: number): Promise<Row> => {
      const [row] = await readAt(at, 1)
      if (!row) throw new RangeError(`${path} has no row ${at}`)
      return row
    },
    close: () => file.close(),
  }
}

export type RowFile<Row> = Awaited<ReturnType<typeof openRowFile<Row>>>
