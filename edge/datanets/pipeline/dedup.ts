/**
 * Duplicate search over one batch, record by record, against a persistent index and the batch's own earlier records.
 * Verdicts: same exact or normalised key: DUPLICATE_EXACT · Jaccard of word 5-grams >= 0.8: DUPLICATE_NEAR ·
 * containment of 13-word windows in others' records >= 0.8: PLAGIARISM_SUSPECT · Jaccard >= 0.5 or containment >= 0.3:
 * PARTIAL_OVERLAP, accepted with novelty 1 - containment · else novelty 1. Where 0.9 of the words of both records stand in
 * common 5-grams, they are one cluster, which is paid once: a word changed here and there makes no second record.
 * Beside that, which share of it models had said before: MODEL_OUTPUT from 0.5 on. Thresholds are the profile's.
 */
import { candidatesOf, lookUp, sketchFields, sketchRecord } from './candidates.ts'
import type { Candidate, Candidates, Sketched } from './candidates.ts'
import {
  createMemoryIndex,
  type DedupIndex,
  type IndexedRecord,
  type IndexEntry,
} from './dedup-index.ts'
import { intersect, sharedWords, type Sketch } from './minhash.ts'
import { simplify } from './normalize.ts'
import type { Profile } from './profile.ts'
import { mapFields } from './record.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

/** Sequences of the batch's own records: later than anything in a persistent index. */
const BATCH_FIRST_SEQUENCE = 2 ** 52

/** Why a record counts as a copy, or in part as one. */
export type Evidence = {
  /** Record hash of the earlier record. */
  duplicateOf: Hex
  measure: 'exact' | 'normalized' | 'jaccard' | 'containment'
  /** 0 to 1 under the measure, four places. */
  similarity: number
  sameContributor: boolean
  sameDatanet: boolean
  /** Fields of this record that the earlier one already holds, up to case, punctuation and white space. */
  retainedFields: string[]
}

export type DedupDecision = {
  reason: 'DUPLICATE_EXACT' | 'DUPLICATE_NEAR' | 'PLAGIARISM_SUSPECT' | 'PARTIAL_OVERLAP' | null
  /** 1 minus the share that earlier records hold, four places; 0 for duplicates. */
  novelty: number
  evidence: Evidence | null
  /**
   * Of the fingerprints of what the record says that no earlier record holds, the share that stand in answers which models
   * gave before; four places, 0 for exact duplicates.
   */
  modelOutput: number
  /** What to index if the record stays. `entry.cluster` is the record's cluster whether it stays or not. */
  entry: IndexEntry
}

/**
 * A decider for one batch. Call it with successive parts of the batch; each is compared with the index, with earlier
 * parts and with itself. `settle(at, decision)` takes each decision in order and says whether the record stays, so that
 * later ones are compared with it. Nothing is written: the caller stores entries together with verdicts, so a retry repeats both or neither.
 */
export function createDeduplicator(index: DedupIndex, contributor: string, profile: Profile) {
  const local = createMemoryIndex('batch:', BATCH_FIRST_SEQUENCE)
  const localSketches = new Map<string, Sketch>()
  const sketchOf = (record: IndexedRecord): Sketch =>
    localSketches.get(record.ref) ?? sketchFields(record.fields)

  return async (
    records: readonly RecordFields[],
    settle: (at: number, decision: DedupDecision) => boolean,
  ): Promise<void> => {
    const sketched = records.map((fields) => sketchRecord(fields, contributor))
    const found = await lookUp(index, sketched)
    for (const [at, item] of sketched.entries()) {
      const candidates = candidatesOf(item, found, local, sketchOf)
      const modelOutput = round(candidates.modelOutput)
      const decision = { ...decide(item, profile, candidates), modelOutput }
      if (settle(at, decision)) localSketches.set(local.add(decision.entry).ref, item.sketch)
    }
  }
}

/** What it is in comparison with earlier records. */
type Compared = Omit<DedupDecision, 'modelOutput'>

function decide(item: Sketched, profile: Profile, candidates: Candidates): Compared {
  const { entry } = item
  const same = earliest(candidates.exact)
  if (same !== null) {
    const measure = same.record.recordHash === entry.recordHash ? 'exact' : 'normalized'
    return duplicate('DUPLICATE_EXACT', item, same, evidence(item, same, measure, 1))
  }

  const similar = [
    ...candidates.near,
    ...candidates.holders.filter((held) => held.record.sameDatanet),
  ]
    .map((candidate) => ({ candidate, ...compare(item, candidate) }))
    .toSorted((a, b) => b.jaccard - a.jaccard || order(a.candidate, b.candidate))
  const closest = similar[0]
  if (closest !== undefined && closest.jaccard >= profile.nearDuplicate) {
    const cluster = similar.filter(({ jaccard }) => jaccard >= profile.nearDuplicate)
    const first = earliest(cluster.map(({ candidate }) => candidate)) ?? closest.candidate
    const shown = evidence(item, closest.candidate, 'jaccard', closest.jaccard)
    return duplicate('DUPLICATE_NEAR', item, first, shown)
  }

  const held = containment(item, [...candidates.holders, ...candidates.near])
  if (held.most !== null && held.others >= profile.plagiarismContainment)
    return {
      reason: 'PLAGIARISM_SUSPECT',
      novelty: round(1 - held.all),
      evidence: evidence(item, held.most, 'containment', held.others),
      entry: inClusterOf(entry, held.most),
    }
  const isSimilar = closest !== undefined && closest.jaccard >= profile.overlapJaccard
  if (isSimilar || (held.most !== null && held.all >= profile.overlapContainment)) {
    const share = Math.max(held.all, isSimilar ? closest.contained : 0)
    const most = held.most !== null && held.all >= profile.overlapContainment ? held.most : null
    const shown =
      most !== null
        ? evidence(item, most, 'containment', held.all)
        : closest && evidence(item, closest.candidate, 'jaccard', closest.jaccard)
    const alike = earliest(
      similar
        .filter(({ candidate, jaccard }) => jaccard > 0 && isAlike(item, candidate, profile))
        .map(({ candidate }) => candidate),
    )
    const isHeld = most !== null && held.all >= profile.plagiarismContainment
    const first = alike ?? (isHeld ? most : null)
    return {
      reason: 'PARTIAL_OVERLAP',
      novelty: round(1 - share),
      evidence: shown ?? null,
      entry: first ? inClusterOf(entry, first) : entry,
    }
  }
  return { reason: null, novelty: 1, evidence: null, entry }
}

/** Whether two records are the same but for a word here and there. */
const isAlike = (item: Sketched, other: Candidate, { sameClusterWords }: Profile): boolean =>
  sharedWords(item.sketch, other.sketch) >= sameClusterWords &&
  sharedWords(other.sketch, item.sketch) >= sameClusterWords

const duplicate = (
  reason: 'DUPLICATE_EXACT' | 'DUPLICATE_NEAR',
  item: Sketched,
  first: Candidate,
  shown: Evidence,
): Compared => ({ reason, novelty: 0, evidence: shown, entry: inClusterOf(item.entry, first) })

/** Clusters live within a Datanet: a record that another Datanet holds keeps its own. */
const inClusterOf = (entry: IndexEntry, { record }: Candidate): IndexEntry =>
  record.sameDatanet ? { ...entry, cluster: record.cluster } : entry

const order = (a: Candidate, b: Candidate): number => a.record.sequence - b.record.sequence

const earliest = (candidates: readonly Candidate[]): Candidate | null =>
  candidates.toSorted(order)[0] ?? null

/** Jaccard similarity of the shingles, and the share of this record's shingles that the other has. */
function compare(item: Sketched, other: Candidate): { jaccard: number; contained: number } {
  const a = item.sketch.shingles
  const b = other.sketch.shingles
  const shared = intersect(a, b)
  return { jaccard: shared / (a.length + b.length - shared), contained: shared / a.length }
}

/**
 * Shares of this record's windows found in the candidates together: in other contributors' (`others`), and in those
 * and the contributor's own of this Datanet (`all`). Giving one's own record to a second Datanet costs nothing.
 * `most` is the candidate that holds most, of the others when they hold anything.
 */
function containment(
  item: Sketched,
  candidates: readonly Candidate[],
): { others: number; all: number; most: Candidate | null } {
  const total = item.sketch.windows.length
  if (total === 0) return { others: 0, all: 0, most: null }
  const heldBy = { others: new Uint8Array(total), own: new Uint8Array(total) }
  let most: { candidate: Candidate; isOwn: boolean; shared: number } | null = null
  for (const candidate of candidates) {
    const isOwn = candidate.record.contributor === item.entry.contributor
    if (isOwn && !candidate.record.sameDatanet) continue
    const marks = isOwn ? heldBy.own : heldBy.others
    const shared = intersect(item.sketch.windows, candidate.sketch.windows, (at) => {
      marks[at] = 1
    })
    if (shared === 0) continue
    const isMore =
      most === null || (most.isOwn && !isOwn) || (most.isOwn === isOwn && shared > most.shared)
    if (isMore) most = { candidate, isOwn, shared }
  }
  let others = 0
  let all = 0
  for (let i = 0; i < total; i++) {
    others += heldBy.others[i] ?? 0
    all += (heldBy.others[i] ?? 0) | (heldBy.own[i] ?? 0)
  }
  return { others: others / total, all: all / total, most: most?.candidate ?? null }
}

function evidence(
  { entry }: Sketched,
  { record }: Candidate,
  measure: Evidence['measure'],
  similarity: number,
): Evidence {
  const earlier = new Set<string>()
  mapFields(record.fields, (text) => (earlier.add(simplify(text)), text))
  const retainedFields: string[] = []
  mapFields(entry.fields, (text, path) => {
    if (earlier.has(simplify(text))) retainedFields.push(path)
    return text
  })
  return {
    duplicateOf: record.recordHash,
    measure,
    similarity: round(similarity),
    sameContributor: record.contributor === entry.contributor,
    sameDatanet: record.sameDatanet,
    retainedFields,
  }
}

const round = (value: number): number => Math.round(value * 10_000) / 10_000
