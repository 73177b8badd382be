/** The int8 vectors of an index, where the scan kernel reads them. */
import { LANES, openMemory, scanKernel } from './scan-kernel.ts'

export type VectorTable = {
  count: number
  dims: number
  /** The vector of a row, a view [dims]. */
  vector: (row: number) => Int8Array
  /** Dot products of a query [dims] with all rows, [count]; the array is overwritten by the next call. */
  dots: (query: Int8Array) => Int32Array
}

/** A memory may have 65,536 pages; a table takes as many memories as it needs. */
const CHUNK_BYTES = 2 ** 30

/** Copies `count` vectors of `dims` numbers, one after the other in `vectors`, into a table. */
export function vectorTable(vectors: Int8Array, dims: number): VectorTable {
  const count = vectors.length / dims
  if (!Number.isInteger(count)) throw new RangeError(`vectors do not have ${dims} dimensions`)
  const stride = Math.ceil(dims / LANES) * LANES
  const perChunk = Math.max(1, Math.floor(CHUNK_BYTES / stride))
  const dots = new Int32Array(count)
  const chunks = Array.from({ length: Math.ceil(count / perChunk) }, (_, i) => {
    const first = i * perChunk
    return chunk(vectors.subarray(first * dims, (first + perChunk) * dims), dims, stride)
  })
  return {
    count,
    dims,
    vector: (row) => {
      const at = (row % perChunk) * stride
      return (chunks[Math.floor(row / perChunk)] as Chunk).rows.subarray(at, at + dims)
    },
    dots: (query) => {
      if (query.length !== dims)
        throw new RangeError(`the query has ${query.length} dimensions, the table ${dims}`)
      chunks.forEach((one, i) => dots.set(one.dots(query), i * perChunk))
      return dots
    },
  }
}

type Chunk = ReturnType<typeof chunk>

/** A memory: the query, the results, then the rows padded with zeros to the stride. */
function chunk(vectors: Int8Array, dims: number, stride: number) {
  const count = vectors.length / dims
  const outAt = 2 * stride
  const rowsAt = outAt + Math.ceil((4 * count) / LANES) * LANES
  const memory = openMemory(rowsAt + count * stride)
  const rows = new Int8Array(memory.buffer, rowsAt, count * stride)
  if (stride === dims) rows.set(vectors)
  else
    for (let i = 0; i < count; i++) rows.set(vectors.subarray(i * dims, (i + 1) * dims), i * stride)
  const query = new Int16Array(memory.buffer, 0, stride)
  const out = new Int32Array(memory.buffer, outAt, count)
  const scan = scanKernel(memory)
  return {
    rows,
    dots: (asked: Int8Array): Int32Array => {
      query.set(asked)
      scan(rowsAt, count, 0, outAt, outAt)
      return out
    },
  }
}
