import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { z } from 'zod'
import type { Hex } from '#protocol/bytes.ts'
import { versionRow, type VersionRow } from '#protocol/wire.ts'
import { blobKey } from '../blobs/store.ts'
import type { Env } from '../env.ts'

/** Rows per Parquet file: what a 128 MB isolate can hold twice, as rows and as bytes. */
export const SHARD_ROWS = 5_000
const ROW_GROUP_ROWS = 1_000 // what a viewer's page has to read at least

const COLUMNS = ['record', 'cluster', 'contributor', 'fields', 'metadata'] as const

/** Encodes rows of a version as Parquet (Snappy, row groups of 1,000). Equal rows give equal bytes. */
export function encodeShard(rows: readonly VersionRow[]): Uint8Array {
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: COLUMNS.map((name) => ({
        name,
        data: rows.map((row) => row[name]),
        type: 'STRING',
        nullable: false,
      })),
      rowGroupSize: ROW_GROUP_ROWS,
      createdBy: 'openledger',
    }),
  )
}

/** Reads rows [start, end) of a shard in R2, of which it fetches only the row groups and columns asked for. */
export async function readShard(
  env: Env,
  shard: { sha256: Hex; bytes: number },
  { start, end }: { start: number; end: number },
): Promise<VersionRow[]> {
  const rows = await parquetReadObjects({
    file: remoteFile(env, shard),
    rowStart: start,
    rowEnd: end,
  })
  return z.array(versionRow).parse(rows)
}

const leafColumns = versionRow.pick({ record: true, cluster: true, contributor: true })

/** The columns of every row of a shard that its Merkle leaf is made of. */
export async function readLeaves(
  env: Env,
  shard: { sha256: Hex; bytes: number },
): Promise<z.infer<typeof leafColumns>[]> {
  const rows = await parquetReadObjects({
    file: remoteFile(env, shard),
    columns: Object.keys(leafColumns.shape),
  })
  return z.array(leafColumns).parse(rows)
}

/** Bytes that a column's values take in a shard before compression, as its footer states them. */
export async function columnBytes(
  env: Env,
  shard: { sha256: Hex; bytes: number },
  column: (typeof COLUMNS)[number],
): Promise<number> {
  const { row_groups } = await parquetMetadataAsync(remoteFile(env, shard))
  return row_groups
    .flatMap(({ columns }) => columns)
    .filter(({ meta_data }) => meta_data?.path_in_schema[0] === column)
    .reduce((n, { meta_data }) => n + Number(meta_data?.total_uncompressed_size ?? 0), 0)
}

const remoteFile = (env: Env, { sha256, bytes }: { sha256: Hex; bytes: number }) => ({
  byteLength: bytes,
  slice: async (start: number, end = bytes): Promise<ArrayBuffer> => {
    const object = await env.BLOBS.get(blobKey(sha256), {
      range: { offset: start, length: end - start },
    })
    if (!object) throw new Error(`shard ${sha256} is missing`)
    return object.arrayBuffer()
  },
})
