import type { Hex } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

/** An earlier record as the index gives it back. */
export type IndexedRecord = {
  /** The index's own name for it, unique across Datanets (a record hash is not). */
  ref: string
  recordHash: Hex
  /** Record hash of the earliest record of its near-duplicate cluster; its own when it is alone. */
  cluster: Hex
  contributor: string
  /** False when it came in by the Datanet-independent window lookup and lies in another Datanet. */
  sameDatanet: boolean
  /** Order of acceptance: smaller is earlier. */
  sequence: number
  fields: RecordFields
}

export type IndexHit<Key> = { key: Key; ref: string }

type Awaitable<T> = T | Promise<T>

/**
 * Lookups into the records accepted (or under review) before this batch. Keys and bands are those of one Datanet,
 * windows those of all. Lists never exceed the sizes in LOOKUP; a limit is per key and keeps the earliest records. Hits of
 * one key come in order of sequence. Of answers that models gave before this batch was handed in, the index knows nothing
 * but the fingerprints.
 */
export type DedupIndex = {
  lookupKeys: (keys: string[]) => Awaitable<IndexHit<string>[]>
  lookupBands: (bandKeys: number[], limitPerBand: number) => Awaitable<IndexHit<number>[]>
  lookupWindows: (hashes: number[], limitPerWindow: number) => Awaitable<IndexHit<number>[]>
  /** Those of the windows that models said before any record held them. */
  lookupAnswers: (hashes: number[]) => Awaitable<number[]>
  fetchRecords: (refs: string[]) => Awaitable<IndexedRecord[]>
}

/** Batch sizes of lookups, each one bound JSON array in SQL, and caps against templates that fill a band. */
export const LOOKUP = {
  keysPerCall: 1_000,
  bandsPerCall: 1_000,
  windowsPerCall: 1_000,
  recordsPerCall: 100,
  recordsPerBand: 50,
  recordsPerWindow: 8,
} as const

/** What the caller adds to the index for a record that was not rejected. All rows are keyed by these values. */
export type IndexEntry = {
  recordHash: Hex
  cluster: Hex
  contributor: string
  fields: RecordFields
  /** Exact and normalised key. */
  keys: [exact: string, normalized: string]
  /** 14 MinHash band keys, integers below 2^52. */
  bandKeys: number[]
  /** Hashes of chosen 13-word windows, integers below 2^52: about one per eight words. */
  windowHashes: number[]
}

/** What is remembered of an answer: fingerprints of what is the model's own in it; Unix milliseconds when it began. */
export type AnswerPrint = { windows: number[]; givenAt: number }

/** An index in memory: the records of the batch at hand, and tests. */
export type MemoryIndex = {
  [Name in keyof DedupIndex]: (
    ...args: Parameters<DedupIndex[Name]>
  ) => Awaited<ReturnType<DedupIndex[Name]>>
} & {
  /** Adds a record and returns it; adding the same record hash again changes nothing. */
  add: (entry: IndexEntry) => IndexedRecord
  /** Adds the fingerprints of an answer, but for windows that an added record holds. */
  addAnswer: (hashes: readonly number[]) => void
}

/** An empty index. Its references are record hashes behind `refPrefix`; sequences count from `firstSequence`. */
export function createMemoryIndex(refPrefix = '', firstSequence = 0): MemoryIndex {
  const records = new Map<string, IndexedRecord>()
  const byKey: Postings<string> = new Map()
  const byBand: Postings<number> = new Map()
  const byWindow: Postings<number> = new Map()
  const answers = new Set<number>()
  return {
    lookupKeys: (keys) => collect(byKey, keys, 1),
    lookupBands: (bandKeys, limit) => collect(byBand, bandKeys, limit),
    lookupWindows: (hashes, limit) => collect(byWindow, hashes, limit),
    lookupAnswers: (hashes) => hashes.filter((hash) => answers.has(hash)),
    fetchRecords: (refs) => refs.flatMap((ref) => records.get(ref) ?? []),
    add: (entry) => {
      const ref = refPrefix + entry.recordHash
      const known = records.get(ref)
      if (known !== undefined) return known
      const { recordHash, cluster, contributor, fields } = entry
      const sequence = firstSequence + records.size
      const record = { ref, recordHash, cluster, contributor, fields, sequence, sameDatanet: true }
      records.set(ref, record)
      for (const key of entry.keys) push(byKey, key, ref)
      for (const key of entry.bandKeys) push(byBand, key, ref)
      for (const key of entry.windowHashes) push(byWindow, key, ref)
      return record
    },
    addAnswer: (hashes) => {
      for (const hash of hashes) if (!byWindow.has(hash)) answers.add(hash)
    },
  }
}

/** Most keys have one record: an array for each would double the memory. */
type Postings<Key> = Map<Key, string | string[]>

function collect<Key>(postings: Postings<Key>, keys: Key[], limit: number): IndexHit<Key>[] {
  return keys.flatMap((key) =>
    [postings.get(key) ?? []]
      .flat()
      .slice(0, limit)
      .map((ref) => ({ key, ref })),
  )
}

function push<Key>(postings: Postings<Key>, key: Key, ref: string): void {
  const refs = postings.get(key)
  if (refs === undefined) postings.set(key, ref)
  else if (typeof refs === 'string') postings.set(key, [refs, ref])
  else refs.push(ref)
}
