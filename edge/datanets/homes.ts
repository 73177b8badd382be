import { z } from 'zod'
import type { Hex } from '#protocol/bytes.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { bytes32 } from '#protocol/wire.ts'
import { jsonChunks } from './dedup-store.ts'

/** The Datanet that a record is paid out of, given the roots of the versions that its receipt names. */
export type DatanetOf = (record: Hex, roots: readonly Hex[]) => string | null

const home = z.object({ record: bytes32, datanet: z.string() })
const version = z.object({ root: bytes32, datanet: z.string() })

/** Finds the Datanets of everything that receipts pay; a record may have been given to several. */
export async function datanetsOf(
  { DB }: { DB: D1Database },
  receipts: readonly SignedReceipt[],
): Promise<DatanetOf> {
  const roots = receipts.flatMap(({ receipt }) => [
    ...receipt.datanets,
    ...receipt.citations.map(({ datanet }) => datanet),
  ])
  const records = receipts.flatMap(({ receipt: { rows, citations } }) =>
    [...rows, ...citations].map(({ record }) => record),
  )
  const versions = await select(
    DB,
    `SELECT root, datanet_id AS datanet FROM versions WHERE root IN (SELECT value FROM json_each(?1))`,
    roots,
    version,
  )
  const homes = await select(
    DB,
    `SELECT DISTINCT r.record_hash AS record, c.datanet_id AS datanet
     FROM records AS r JOIN contributions AS c ON c.id = r.contribution_id
     WHERE r.verdict = 'accepted' AND r.record_hash IN (SELECT value FROM json_each(?1))`,
    records,
    home,
  )
  const ofRoot = new Map(versions.map(({ root, datanet }) => [root, datanet]))
  const ofRecord = Map.groupBy(homes, ({ record }) => record)
  return (record, named) => {
    const known = new Set(named.map((root) => ofRoot.get(root)))
    return ofRecord.get(record)?.find(({ datanet }) => known.has(datanet))?.datanet ?? null
  }
}

async function select<T>(
  DB: D1Database,
  statement: string,
  hashes: readonly Hex[],
  row: z.ZodType<T>,
): Promise<T[]> {
  const found: T[] = []
  for (const json of jsonChunks([...new Set(hashes)])) {
    const { results } = await DB.prepare(statement).bind(json).all()
    found.push(...z.array(row).parse(results))
  }
  return found
}
