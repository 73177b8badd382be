/**
 * Finds the earlier records that one may be a copy of: through its keys, its MinHash bands and its fingerprints, in
 * the persistent index and among the batch's own records. Hits of both are merged before they are capped, index first,
 * so a verdict does not depend on where a submission is cut into batches. And counts what models had said before.
 */
import { LOOKUP } from './dedup-index.ts'
import type { DedupIndex, IndexedRecord, IndexEntry, IndexHit, MemoryIndex } from './dedup-index.ts'
import { bandKeys, fingerprintsOf, sketch, type Sketch } from './minhash.ts'
import { simplify } from './normalize.ts'
import { recordHash, recordText, saidText } from './record.ts'
import { sha256Hex } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

/** Near-duplicate candidates that are compared in full: those that share most bands, then the earliest. */
export const MAX_NEAR_CANDIDATES = 128
/** Records whose windows are looked at for containment: those that share most fingerprints. */
export const MAX_HOLDERS = 8

/** `said`: fingerprints of what a model would learn to say. */
export type Sketched = { entry: IndexEntry; sketch: Sketch; said: number[] }
export type Candidate = { record: IndexedRecord; sketch: Sketch }
export type Candidates = {
  exact: Candidate[]
  near: Candidate[]
  holders: Candidate[]
  /** See DedupDecision. */
  modelOutput: number
}

type Refs = { exact: string[]; near: string[]; holders: string[] }
/** What the index gave for a part of the batch: hits by key, and every record that any of its items can need. */
export type Found = {
  keys: Hits<string>
  bands: Hits<number>
  windows: Hits<number>
  answers: Set<number>
  candidates: Map<string, Candidate>
}
type Hits<Key> = Map<Key, string[]>

/** What a record is compared by. */
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
    windowHashes: made.fingerprints,
  }
  const said =
    'text' in fields && made.fingerprints.length > 0
      ? made.fingerprints
      : fingerprintsOf(simplify(saidText(fields)))
  return { entry, sketch: made, said }
}

/** Fingerprints of what is a model's own in an answer: not what it may have from its prompt. */
export const answerWindows = (answer: string, prompt: string): number[] =>
  fingerprintsOf(simplify(answer), simplify(prompt))

/** The windows by which a record is looked up. */
const windowsOf = ({ entry, said }: Sketched): number[] => [
  ...new Set([...entry.windowHashes, ...said]),
]

/** Looks a part of the batch up in the index: a few large queries per kind, every candidate fetched once. */
export async function lookUp(index: DedupIndex, items: readonly Sketched[]): Promise<Found> {
  const keys = await collect(
    items.flatMap(({ entry }) => entry.keys),
    LOOKUP.keysPerCall,
    (part) => index.lookupKeys(part),
  )
  const open = items.filter(({ entry }) => !entry.keys.some((key) => keys.has(key)))
  const bands = await collect(
    open.flatMap(({ entry }) => entry.bandKeys),
    LOOKUP.bandsPerCall,
    (part) => index.lookupBands(part, LOOKUP.recordsPerBand),
  )
  const windows = await collect(open.flatMap(windowsOf), LOOKUP.windowsPerCall, (part) =>
    index.lookupWindows(part, LOOKUP.recordsPerWindow),
  )
  const answers = new Set<number>()
  for (const part of chunks([...new Set(open.flatMap(({ said }) => said))], LOOKUP.windowsPerCall))
    for (const hash of await index.lookupAnswers(part)) answers.add(hash)
  const found: Found = { keys, bands, windows, answers, candidates: new Map() }
  // The best of both sources are among the best of the index and the best of the batch.
  const wanted = items.map(({ entry }) =>
    rank(found, { keys: new Map(), bands: new Map(), windows: new Map() }, entry),
  )
  const refs = new Set(
    wanted.flatMap(({ exact, near, holders }) => [...exact, ...near, ...holders]),
  )
  for (const part of chunks([...refs], LOOKUP.recordsPerCall))
    for (const record of await index.fetchRecords(part))
      found.candidates.set(record.ref, { record, sketch: sketchFields(record.fields) })
  return found
}

/** The candidates of one item among what the index gave and the batch's own records. */
export function candidatesOf(
  item: Sketched,
  found: Found,
  local: MemoryIndex,
  sketchOf: (record: IndexedRecord) => Sketch,
): Candidates {
  const { entry, said } = item
  const own = {
    keys: byKey(local.lookupKeys(entry.keys)),
    bands: byKey(local.lookupBands(entry.bandKeys, LOOKUP.recordsPerBand)),
    windows: byKey(local.lookupWindows(windowsOf(item), LOOKUP.recordsPerWindow)),
  }
  const load = (refs: string[]): Candidate[] =>
    refs.flatMap(
      (ref) =>
        found.candidates.get(ref) ??
        local.fetchRecords([ref]).map((record) => ({ record, sketch: sketchOf(record) })),
    )
  const { exact, near, holders } = rank(found, own, entry)
  const isHeld = (hash: number): boolean => found.windows.has(hash) || own.windows.has(hash)
  return {
    exact: load(exact),
    near: load(near),
    holders: load(holders),
    modelOutput: exact.length > 0 ? 0 : modelShare(said, found.answers, isHeld),
  }
}

/**
 * The share of fingerprints that are a model's. Those that only earlier records hold count on neither side: the rules for
 * copies judge them, and an answer that recites records is not the model's own either. A window that a model said first
 * stays the model's when somebody hands it in.
 */
function modelShare(
  said: readonly number[],
  answers: ReadonlySet<number>,
  isHeld: (hash: number) => boolean,
): number {
  const models = said.filter((hash) => answers.has(hash)).length
  const nobodys = said.filter((hash) => !answers.has(hash) && !isHeld(hash)).length
  return models === 0 ? 0 : models / (models + nobodys)
}

type Source = { keys: Hits<string>; bands: Hits<number>; windows: Hits<number> }

function rank(first: Source, second: Source, entry: IndexEntry): Refs {
  const exact = merge(first.keys, second.keys, entry.keys, 1)
  if (exact.length > 0) return { exact, near: [], holders: [] }
  const bands = merge(first.bands, second.bands, entry.bandKeys, LOOKUP.recordsPerBand)
  const windows = merge(first.windows, second.windows, entry.windowHashes, LOOKUP.recordsPerWindow)
  return {
    exact,
    near: mostFrequent(bands, MAX_NEAR_CANDIDATES),
    holders: mostFrequent(windows, MAX_HOLDERS),
  }
}

const merge = <Key>(
  first: Hits<Key>,
  second: Hits<Key>,
  keys: readonly Key[],
  perKey: number,
): string[] =>
  keys.flatMap((key) => [...(first.get(key) ?? []), ...(second.get(key) ?? [])].slice(0, perKey))

/** References by falling frequency; among equals the one that stands first, which is the earliest of its key. */
function mostFrequent(refs: readonly string[], limit: number): string[] {
  const counts = new Map<string, number>()
  for (const ref of refs) counts.set(ref, (counts.get(ref) ?? 0) + 1)
  const ranked = [...counts].toSorted((a, b) => b[1] - a[1])
  return ranked.slice(0, limit).map(([ref]) => ref)
}

async function collect<Key>(
  keys: readonly Key[],
  perCall: number,
  call: (part: Key[]) => IndexHit<Key>[] | Promise<IndexHit<Key>[]>,
): Promise<Hits<Key>> {
  const hits: IndexHit<Key>[] = []
  for (const part of chunks([...new Set(keys)], perCall))
    for (const hit of await call(part)) hits.push(hit)
  return byKey(hits)
}

function byKey<Key>(hits: readonly IndexHit<Key>[]): Hits<Key> {
  const found: Hits<Key> = new Map()
  for (const { key, ref } of hits) {
    const refs = found.get(key)
    if (refs === undefined) found.set(key, [ref])
    else refs.push(ref)
  }
  return found
}

function* chunks<T>(items: T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}
