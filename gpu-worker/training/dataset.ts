/** The rows of the Datanet versions that a job trains on, checked against the roots on chain. */
import { parquetReadObjects } from 'hyparquet'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import {
  datanetManifest,
  recordFields,
  versionRow,
  type JobManifest,
  type RecordFields,
  type VersionRow,
} from '#protocol/wire.ts'
import type { BlobStore } from '../blobs.ts'

export type TrainingRow = {
  record: Hex
  cluster: Hex
  contributor: Hex
  fields: RecordFields
}

/** A job's data that cannot be trained on as it is; trying again would not help. */
export class DatasetError extends Error {
  override readonly name = 'DatasetError'
}

/** Fetches and verifies all rows, version by version, in the order of their shards. */
export async function loadRows(
  blobs: Pick<BlobStore, 'get'>,
  datanets: JobManifest['datanets'],
  signal?: AbortSignal,
): Promise<TrainingRow[]> {
  const rows: TrainingRow[] = []
  for (const { id, version, root, manifest: manifestHash } of datanets) {
    const name = `${id} version ${version}`
    const manifest = datanetManifest.parse(
      JSON.parse(new TextDecoder().decode(await blobs.get(manifestHash, signal))),
    )
    if (manifest.root !== root) throw new DatasetError(`${name}: the manifest is of another root`)
    const shards: VersionRow[][] = []
    for (const shard of manifest.shards)
      shards.push(await readShard(await blobs.get(shard.sha256, signal)))
    const versionRows = shards.flat()
    const leaves = versionRows.map((row) =>
      leafHash('record', [row.record, row.cluster, row.contributor]),
    )
    if (merkleTree(leaves).root !== root)
      throw new DatasetError(`${name}: the rows do not have the root that is on chain`)
    for (const row of versionRows) rows.push(trainingRow(row, name)) // too many to be arguments
  }
  return rows
}

/** Rows of one Parquet shard. */
export async function readShard(bytes: Uint8Array): Promise<VersionRow[]> {
  const file = Uint8Array.from(bytes).buffer
  return versionRow.array().parse(await parquetReadObjects({ file }))
}

function trainingRow(row: VersionRow, version: string): TrainingRow {
  const { record, cluster, contributor } = row
  if (keccak(row.fields) !== record)
    throw new DatasetError(`${version}: record ${record} has the content of another`)
  return { record, cluster, contributor, fields: recordFields.parse(JSON.parse(row.fields)) }
}

/**
 * One row per near-duplicate cluster, in the order of `rows`: the cluster's canonical record, which the cluster is
 * named after, or else the first. Credit is per cluster, so training on copies would only bend the model.
 */
export function canonicalRows(rows: readonly TrainingRow[]): TrainingRow[] {
  const kept = new Map<Hex, TrainingRow>()
  for (const row of rows) {
    const held = kept.get(row.cluster)
    if (!held || (row.record === row.cluster && held.record !== held.cluster))
      kept.set(row.cluster, row)
  }
  return [...kept.values()]
}
