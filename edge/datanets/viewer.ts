import type { Hex } from '#protocol/bytes.ts'
import { leafHash, merkleTree, type MerkleTree } from '#protocol/merkle.ts'
import type { DatanetManifest, VersionRow } from '#protocol/wire.ts'
import type { Ctx } from '../context.ts'
import { Problem } from '../problem.ts'
import { readLeaves, readShard } from './shards.ts'
import { getVersion, readManifest } from './versions.ts'

export type NumberedRow = VersionRow & { index: number }

/** Rows of a version in order, from after index `after` (counted from 0), up to limit + 1. */
export async function listRows(
  ctx: Ctx,
  datanetId: string,
  number: number,
  { limit, after }: { limit: number; after?: number },
): Promise<NumberedRow[]> {
  const manifest = await builtManifest(ctx, datanetId, number)
  const start = after === undefined ? 0 : after + 1
  const end = start + limit + 1
  const rows: NumberedRow[] = []
  let first = 0
  for (const shard of manifest.shards) {
    const range = { start: Math.max(start - first, 0), end: Math.min(end - first, shard.records) }
    if (range.start < range.end) {
      const found = await readShard(ctx.env, shard, range)
      found.forEach((row, i) => rows.push({ ...row, index: first + range.start + i }))
    }
    first += shard.records
  }
  return rows
}

export type RecordProof = {
  record: Hex
  cluster: Hex
  contributor: Hex
  leaf: Hex
  proof: Hex[]
  root: Hex
}

/** Proves that a record is in a version, against the root that is on chain. Throws `record/not-found`. */
export async function proveRecord(
  ctx: Ctx,
  datanetId: string,
  number: number,
  record: Hex,
): Promise<RecordProof> {
  const manifest = await builtManifest(ctx, datanetId, number)
  const { leaves, tree } = await treeOf(ctx, manifest)
  const found = leaves.find((row) => row.record === record)
  if (!found)
    throw new Problem('record/not-found', { detail: `${record} is not in version ${number}.` })
  return { ...found, proof: tree.proof(found.leaf), root: tree.root }
}

type Leaf = { record: Hex; cluster: Hex; contributor: Hex; leaf: Hex }
type VersionTree = { root: Hex; leaves: Leaf[]; tree: MerkleTree }

/** The last tree that was asked for; 100,000 leaves take some 40 MB, so no more than one is kept. */
let last: VersionTree | null = null

async function treeOf(ctx: Ctx, { root, shards }: DatanetManifest): Promise<VersionTree> {
  if (last?.root === root) return last
  const leaves: Leaf[] = []
  for (const shard of shards)
    for (const row of await readLeaves(ctx.env, shard))
      leaves.push({ ...row, leaf: leafHash('record', [row.record, row.cluster, row.contributor]) })
  const tree = merkleTree(leaves.map((row) => row.leaf))
  if (tree.root !== root) throw new Error(`shards of version ${root} have the root ${tree.root}`)
  last = { root, leaves, tree }
  return last
}

async function builtManifest(
  ctx: Ctx,
  datanetId: string,
  number: number,
): Promise<DatanetManifest> {
  const manifest = await readManifest(ctx, await getVersion(ctx, datanetId, number))
  if (!manifest)
    throw new Problem('version/in-progress', { detail: `Version ${number} is being built.` })
  return manifest
}
