/** Datanet versions as the edge publishes them, for tests: Parquet shards and a manifest in a content-addressed store. */
import { parquetWriteBuffer } from 'hyparquet-writer'
import { canonicalJson, keccak, sha256Hex, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import type { DatanetManifest, JobManifest, RecordFields, VersionRow } from '#protocol/wire.ts'
import type { BlobStore } from '../blobs.ts'

export type TestRecord = { fields: RecordFields; contributor: Hex; cluster?: Hex }

/** A content-addressed store in memory. */
export function memoryBlobs(): BlobStore & { held: Map<Hex, Uint8Array> } {
  const held = new Map<Hex, Uint8Array>()
  return {
    held,
    get: async (sha256) => held.get(sha256) ?? Promise.reject(new Error(`no blob ${sha256}`)),
    put: async (bytes) => {
      const sha256 = sha256Hex(bytes)
      held.set(sha256, bytes)
      return { sha256, bytes: bytes.length }
    },
  }
}

/** A version's row: its hashes follow from the fields; alone in its cluster unless one is named. */
export function versionRowOf({ fields, contributor, cluster }: TestRecord): VersionRow {
  const text = canonicalJson(fields)
  const record = keccak(text)
  return { record, cluster: cluster ?? record, contributor, fields: text, metadata: '{}' }
}

export function shardOf(rows: readonly VersionRow[]): Uint8Array {
  const columns = ['record', 'cluster', 'contributor', 'fields', 'metadata'] as const
  const columnData = columns.map((name) => ({
    name,
    data: rows.map((row) => row[name]),
    type: 'STRING' as const,
  }))
  return new Uint8Array(parquetWriteBuffer({ columnData }))
}

/** Publishes records as version 1 of a Datanet in two shards, as a job names it. */
export async function publishDatanet(
  blobs: BlobStore,
  records: readonly TestRecord[],
): Promise<JobManifest['datanets'][number]> {
  const rows = records.map(versionRowOf)
  const middle = Math.ceil(rows.length / 2)
  const shards: DatanetManifest['shards'] = []
  for (const part of [rows.slice(0, middle), rows.slice(middle)])
    if (part.length > 0) shards.push({ ...(await blobs.put(shardOf(part))), records: part.length })
  const root = merkleTree(
    rows.map((row) => leafHash('record', [row.record, row.cluster, row.contributor])),
  ).root
  const manifest: DatanetManifest = {
    format: 'openledger-datanet-1',
    datanet: 'dn_test',
    name: 'test',
    version: 1,
    parent: null,
    licence: 'CC0-1.0',
    pipelineHash: ZERO_HASH,
    root,
    records: rows.length,
    reasons: {},
    contributors: [],
    shards,
    createdAt: '2026-01-01T00:00:00.000Z',
  }
  const stored = await blobs.put(new TextEncoder().encode(JSON.stringify(manifest)))
  return { id: 'dn_test', version: 1, root, manifest: stored.sha256 }
}
