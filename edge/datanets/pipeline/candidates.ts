/**
 * Finds the earlier records that one may be a copy of: through its keys, its MinHash bands and its sampled windows, in
 * the persistent index and among the batch's own records.
 */
import { LOOKUP } from './dedup-index.ts'
import type { DedupIndex, IndexedRecord, IndexEntry, IndexHit, MemoryIndex } from './dedup-index.ts'
import { bandKeys, sampledWindows, sketch, type Sketch } from './minhash.ts'
import { simplify } from './normalize.ts'
import { recordHash, recordText } from './record.ts'
import { sha256Hex } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

/** Near-duplicate candidates that are compared in full: those that share most bands, then the earliest. */
export const MAX_NEAR_CANDIDATES = 32
/** Records whose windows are looked at for containment: those that share most sampled windows. */
export const MAX_HOLDERS = 8
/** Records of the persistent index are fetched as holders only when they share this much of the sample. */
export const MIN_SHARED_SAMPLE = 0.15

export type Sketched = { entry: IndexEntry; sketch: Sketch }
export type Candidate = { record: IndexedRecord; sketch: Sketch }
export type Candidates = { exact: Candidate[]; near: Candidate[]; holders: Candidate[] }

/** Sketches earlier record fields: what a fetched record is compared by. */
export const sketchFields = (fields: RecordFields): Sketch => sketch(simplify(recordText(fields)))

/** A record with its keys, bands and windows; its cluster is itself until an earlier one is found. */
export function sketchRecord(fields: RecordFields, contributor: string): Sketched {
  const simplified = simplify(recordText(fields))
  const made = sketch(simplified)
  const hash = recordHash(fields)
  const entry: IndexEntry = {
    recordHash: hash,
    cluster: hash,
    contributor,
    fields,
    keys: [hash, sha256Hex(simplified)],
    bandKeys: bandKeys(made.shingles),
    windowHashes: sampledWindows(made.windows),
  }
  return { entry, sketch: made }
}

/** Candidates among the batch's own records. */
export function findLocal(
  local: MemoryIndex,
  { entry }: Sketched,
  sketchOf: (record: IndexedRecord) => Sketch,
): Candidates {
  const load = (refs: string[]): Candidate[] =>
    local.fetchRecords(refs).map((record) => ({ record, sketch: sketchOf(record) }))
  const exact = load(local.lookupKeys(entry.keys).map((hit) => hit.ref))
  if (exact.length > 0) return { exact, near: [], holders: [] }
  const bands = local.lookupBands(entry.bandKeys, LOOKUP.recordsPerBand)
  const windows = local.lookupWindows(entry.windowHashes, LOOKUP.recordsPerWindow)
  return {
    exact,
    near: load(mostHit(bands, MAX_NEAR_CANDIDATES)),
    holders: load(mostHit(windows, MAX_HOLDERS)),
  }
}

/** Candidates in the index for each item by position: a few large queries per kind, every candidate fetched once. */
export async function findRemote(
  index: DedupIndex,
  items: readonly Sketched[],
): Promise<(at: number) => Candidates> {
  const keys = await lookup(
    items.flatMap(({ entry }) => entry.keys),
    LOOKUP.keysPerCall,
    index.lookupKeys,
  )
  const open = items.filter(({ entry }) => !entry.keys.some((key) => keys.has(key)))
  const bands = await lookup(
    open.flatMap(({ entry }) => entry.bandKeys),
    LOOKUP.bandsPerCall,
    (part) => index.lookupBands(part, LOOKUP.recordsPerBand),
  )
  const windows = await lookup(
    open.flatMap(({ entry }) => entry.windowHashes),
    LOOKUP.windowsPerCall,
    (part) => index.lookupWindows(part, LOOKUP.recordsPerWindow),
  )
  const plans = items.map(({ entry }) => ({
    exact: hitsOf(keys, entry.keys).map((hit) => hit.ref),
    near: mostHit(hitsOf(bands, entry.bandKeys), MAX_NEAR_CANDIDATES),
    holders: holderRefs(windows, entry.windowHashes),
  }))
  const refs = new Set(plans.flatMap((plan) => [...plan.exact, ...plan.near, ...plan.holders]))
  const found = new Map<string, Candidate>()
  for (const part of chunks([...refs], LOOKUP.recordsPerCall))
    for (const record of await index.fetchRecords(part))
      found.set(record.ref, { record, sketch: sketchFields(record.fields) })
  const load = (wanted: string[]): Candidate[] => wanted.flatMap((ref) => found.get(ref) ?? [])
  return (at) => ({
    exact: load(plans[at]?.exact ?? []),
    near: load(plans[at]?.near ?? []),
    holders: load(plans[at]?.holders ?? []),
  })
}

function holderRefs(windows: Map<number, IndexHit<number>[]>, hashes: readonly number[]): string[] {
  const shared = hashes.filter((hash) => windows.has(hash)).length
  if (shared === 0 || shared < MIN_SHARED_SAMPLE * hashes.length) return []
  return mostHit(hitsOf(windows, hashes), MAX_HOLDERS)
}

async function lookup<Key>(
  keys: readonly Key[],
  perCall: number,
  call: (part: Key[]) => IndexHit<Key>[] | Promise<IndexHit<Key>[]>,
): Promise<Map<Key, IndexHit<Key>[]>> {
  const found = new Map<Key, IndexHit<Key>[]>()
  for (const part of chunks([...new Set(keys)], perCall))
    for (const hit of await call(part)) {
      const hits = found.get(hit.key)
      if (hits === undefined) found.set(hit.key, [hit])
      else hits.push(hit)
    }
  return found
}

const hitsOf = <Key>(found: Map<Key, IndexHit<Key>[]>, keys: readonly Key[]): IndexHit<Key>[] =>
  keys.flatMap((key) => found.get(key) ?? [])

/** References by falling number of hits; among equals the one found first, which is the earliest of its band. */
function mostHit<Key>(hits: readonly IndexHit<Key>[], limit: number): string[] {
  const counts = new Map<string, number>()
  for (const { ref } of hits) counts.set(ref, (counts.get(ref) ?? 0) + 1)
  const ranked = [...counts].toSorted((a, b) => b[1] - a[1])
  return ranked.slice(0, limit).map(([ref]) => ref)
}

function* chunks<T>(items: T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}
