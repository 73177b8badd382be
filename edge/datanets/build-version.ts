import { and, eq } from 'drizzle-orm'
import { recordKey } from '#protocol/revocations.ts'
import { canonicalJson, type Hex } from '#protocol/bytes.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import type { BlobRef, DatanetManifest, VersionRow } from '#protocol/wire.ts'
import { putBlob } from '../blobs/store.ts'
import type { Ctx } from '../context.ts'
import { log } from '../log.ts'
import { contributions, versions } from '../db/schema.ts'
import { getDatanet } from './datanets.ts'
import { pipelineHash } from './pipeline/pipeline.ts'
import { readAccepted } from './records-file.ts'
import { revokedIn } from './revocations.ts'
import { encodeShard, SHARD_ROWS } from './shards.ts'
import { failVersion, publishVersion, type Version } from './versions.ts'

/**
 * Builds a version: every anchored accepted record of the Datanet that is not revoked, in the order of anchoring, as
 * Parquet shards and a manifest, all under their hashes. Safe to run again: nothing is visible before the row moves on,
 * the order never changes, so that full shards of an earlier version are the same files up to the first record that
 * was revoked since.
 */
export async function buildVersion(ctx: Ctx, id: string): Promise<void> {
  const [version] = await ctx.db.select().from(versions).where(eq(versions.id, id))
  if (version?.status === 'building') await build(ctx, version)
  else if (version) await publishVersion(ctx, version)
}

async function build(ctx: Ctx, version: Version): Promise<void> {
  const started = Date.now()
  const datanet = await getDatanet(ctx, version.datanetId)
  const { revoked, ...contents } = await collect(ctx, version.datanetId)
  const twin = await publishedWith(ctx, version.datanetId, contents.root)
  if (twin)
    return failVersion(ctx, version.id, `Version ${twin.number} has these very records: use it.`)
  const manifest: DatanetManifest = {
    format: 'openledger-datanet-1',
    datanet: datanet.id,
    name: datanet.name,
    version: version.number,
    parent: await parentRoot(ctx, version),
    licence: datanet.licence,
    pipelineHash: pipelineHash(datanet.profile),
    createdAt: new Date(version.createdAt).toISOString(),
    ...contents,
  }
  const stored = await putBlob(ctx.env, new TextEncoder().encode(canonicalJson(manifest)))
  const [built] = await ctx.db
    .update(versions)
    .set({
      status: 'publishing',
      root: manifest.root,
      manifest: stored.sha256,
      records: manifest.records,
      revoked,
    })
    .where(and(eq(versions.id, version.id), eq(versions.status, 'building')))
    .returning()
  if (built) await publishVersion(ctx, built)
  const { records, shards } = manifest
  log('info', { version: version.id, records, shards: shards.length, ms: Date.now() - started })
}

type Contents = Pick<DatanetManifest, 'root' | 'records' | 'reasons' | 'contributors' | 'shards'>

async function collect(ctx: Ctx, datanetId: string): Promise<Contents & { revoked: number }> {
  const anchored = await ctx.db
    .select()
    .from(contributions)
    .where(and(eq(contributions.datanetId, datanetId), eq(contributions.status, 'anchored')))
    .orderBy(contributions.blockNumber, contributions.id)
  const gone = await revokedIn(ctx, datanetId)
  const leaves: Hex[] = []
  let revoked = 0
  const shards: DatanetManifest['shards'] = []
  const reasons: Record<string, number> = {}
  const clusters = new Set<Hex>()
  const people = new Map<Hex, { records: number; clusters: number }>()
  let rows: VersionRow[] = []
  for (const contribution of anchored) {
    const { contributor, counts, recordsFile, metadata } = contribution
    for (const [reason, count] of Object.entries(counts?.reasons ?? {}))
      reasons[reason] = (reasons[reason] ?? 0) + count
    if (!recordsFile) throw new Error(`contribution ${contribution.id} has no records file`)
    for (const record of await readAccepted(ctx.env, recordsFile)) {
      if (gone.has(recordKey({ record: record.recordHash, contributor }))) {
        revoked++
        continue
      }
      const person = people.get(contributor) ?? { records: 0, clusters: 0 }
      person.records++
      // A cluster belongs to whoever has its first record in the version.
      if (!clusters.has(record.cluster)) person.clusters++
      clusters.add(record.cluster)
      people.set(contributor, person)
      leaves.push(leafHash('record', [record.recordHash, record.cluster, contributor]))
      rows.push({
        record: record.recordHash,
        cluster: record.cluster,
        contributor,
        fields: canonicalJson(record.fields),
        metadata: canonicalJson({
          ...record.metadata,
          openledger: {
            contribution: contribution.id,
            row: record.row,
            novelty: record.novelty,
            licence: metadata.licence,
            source: metadata.source,
          },
        }),
      })
      if (rows.length === SHARD_ROWS) {
        shards.push(await putShard(ctx, rows))
        rows = []
      }
    }
  }
  if (rows.length > 0) shards.push(await putShard(ctx, rows))
  return {
    root: merkleTree(leaves).root,
    records: leaves.length,
    revoked,
    reasons,
    contributors: [...people]
      .map(([contributor, counts]) => ({ contributor, ...counts }))
      .toSorted((a, b) => (a.contributor < b.contributor ? -1 : 1)),
    shards,
  }
}

async function putShard(ctx: Ctx, rows: VersionRow[]): Promise<BlobRef & { records: number }> {
  return { ...(await putBlob(ctx.env, encodeShard(rows))), records: rows.length }
}

/** The published version with a root, if there is one: the chain takes a root once. Withdrawals can lead back to one. */
async function publishedWith(ctx: Ctx, datanetId: string, root: Hex): Promise<Version | undefined> {
  const [found] = await ctx.db
    .select()
    .from(versions)
    .where(
      and(
        eq(versions.datanetId, datanetId),
        eq(versions.root, root),
        eq(versions.status, 'published'),
      ),
    )
  return found
}

async function parentRoot(ctx: Ctx, { datanetId, number }: Version): Promise<Hex | null> {
  const [parent] = await ctx.db
    .select({ root: versions.root })
    .from(versions)
    .where(and(eq(versions.datanetId, datanetId), eq(versions.number, number - 1)))
  return parent?.root ?? null
}
