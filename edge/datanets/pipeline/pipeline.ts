import { COLUMN_ALIASES } from './columns.ts'
import { MAX_CLAUSE_CHARS, MIN_CLAUSE_CHARS } from './clauses.ts'
import { MAX_HOLDERS, MAX_NEAR_CANDIDATES } from './candidates.ts'
import { createDeduplicator, type Evidence } from './dedup.ts'
import { createMemoryIndex, LOOKUP, type DedupIndex, type IndexEntry } from './dedup-index.ts'
import { gateReasons, GOPHER_REPETITION, type Measured } from './gates.ts'
import { CONTROL_TOKENS, findInjection, INJECTION_PATTERNS } from './injection.ts'
import { detectLanguage, MIN_LANGUAGE_CHARS, PLAIN_ENGLISH, SAMPLE_CHARS } from './language.ts'
import { MH1, WN1 } from './minhash.ts'
import { MAX_LINE_CHARS } from './parse.ts'
import { DEFAULT_PROFILE, type Profile } from './profile.ts'
import { measureQuality } from './quality.ts'
import { REASONS, verdictOf, type ReasonCode, type Verdict } from './reasons.ts'
import { RECOGNIZERS } from './recognizers.ts'
import { MAX_METADATA_CHARS, MAX_RECORD_CHARS, recordHash, recordText } from './record.ts'
import type { JsonObject, ParsedRow, Row } from './record.ts'
import { sanitize, type Attributes } from './sanitize.ts'
import { HEX_KEY_CONTEXT, PRIVATE_KEY_BLOCK, SECRET_PATTERNS } from './secrets.ts'
import { canonicalJson, sha256Hex, type Hex } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

/** Raised with every change of behaviour that no parameter below shows. */
export const PIPELINE_VERSION = 1

/** Records per round of index lookups, and their characters: what bounds the memory that candidates take. */
const ROUND_RECORDS = 250
const ROUND_CHARS = 1_000_000

/** One row's end. Rows that did not parse have no fields; rejected records keep theirs, sanitized, for appeal. */
export type PipelineRecord = {
  row: number
  verdict: Verdict
  /** 0 to 1, four places: what the record adds to earlier ones. 0 for rejected records. */
  novelty: number
  /** In the order found; empty for a record that nothing was held against. */
  reasons: ReasonCode[]
  /** One sentence that names the row, for rows that did not parse. */
  detail: string | null
  fields: RecordFields | null
  metadata: JsonObject
  recordHash: Hex | null
  cluster: Hex | null
  evidence: Evidence | null
  /** 0 to 1, four places: how much of it models had said before (see DedupDecision). 0 for what was not compared. */
  modelOutput: number
  /** What was measured and changed; null for rows that did not parse. */
  attributes: Attributes | null
  /** To be inserted into the dedup index together with the verdict; null for rejected records. */
  indexEntry: IndexEntry | null
}

export type PipelineCounts = {
  rows: number
  accepted: number
  needsReview: number
  rejected: number
  /** Accepted with novelty under 1. */
  discounted: number
  repaired: number
  redacted: number
  reasons: Partial<Record<ReasonCode, number>>
}

export type PipelineInput = {
  /** Rows of one submission, in order, or any slice of them. */
  rows: readonly ParsedRow[]
  contributor: string
  profile?: Profile
  /** Earlier records and answers; none when left out. It must not hold records of these same rows (see createDeduplicator). */
  index?: DedupIndex
}

/**
 * Sanitizes and judges rows: the same rows, profile and index always give the same records. Every row comes back, in
 * order, accepted, for review or rejected, with reasons.
 */
export async function runPipeline({
  rows,
  contributor,
  profile = DEFAULT_PROFILE,
  index = createMemoryIndex(),
}: PipelineInput): Promise<{ records: PipelineRecord[]; counts: PipelineCounts }> {
  const deduplicate = createDeduplicator(index, contributor, profile)
  const records: PipelineRecord[] = []
  for (const round of rounds(rows)) {
    const judged = round.map((row) => ('error' in row ? failed(row) : judge(row, profile)))
    const open = judged.flatMap((record) =>
      record.fields !== null && record.verdict !== 'rejected'
        ? { record, fields: record.fields }
        : [],
    )
    await deduplicate(
      open.map((item) => item.fields),
      (at, decision) => {
        const record = open[at]?.record
        if (record === undefined) return false
        if (decision.reason !== null) record.reasons.push(decision.reason)
        if (decision.modelOutput >= profile.modelOutput) record.reasons.push('MODEL_OUTPUT')
        record.verdict = verdictOf(record.reasons, profile.verdicts)
        const isKept = record.verdict !== 'rejected'
        record.novelty = isKept ? decision.novelty : 0
        record.evidence = decision.evidence
        record.modelOutput = decision.modelOutput
        record.cluster = decision.entry.cluster
        record.indexEntry = isKept ? decision.entry : null
        return isKept
      },
    )
    records.push(...judged)
  }
  return { records, counts: count(records) }
}

function* rounds(rows: readonly ParsedRow[]): Generator<ParsedRow[]> {
  let round: ParsedRow[] = []
  let chars = 0
  for (const row of rows) {
    round.push(row)
    chars += 'fields' in row ? recordText(row.fields).length : 0
    if (round.length >= ROUND_RECORDS || chars >= ROUND_CHARS) {
      yield round
      round = []
      chars = 0
    }
  }
  if (round.length > 0) yield round
}

function failed(row: Exclude<ParsedRow, Row>): PipelineRecord {
  return {
    ...UNDECIDED,
    row: row.row,
    verdict: verdictOf([row.error]),
    reasons: [row.error],
    detail: row.detail,
  }
}

const UNDECIDED = {
  novelty: 0,
  detail: null,
  fields: null,
  metadata: {},
  recordHash: null,
  cluster: null,
  evidence: null,
  modelOutput: 0,
  attributes: null,
  indexEntry: null,
} as const

/** Everything that one record says about itself, before it is compared with others. */
function judge(row: Row, profile: Profile): PipelineRecord {
  const { fields, metadata, repairs, redactions } = sanitize(row)
  const text = recordText(fields)
  const signals = measureQuality(text)
  const language = detectLanguage(text, profile.languages)
  const measured: Measured = {
    fields,
    signals,
    language,
    changes: repairs,
    spans: redactions,
    injection: findInjection(text),
  }
  const reasons = gateReasons(measured, profile)
  return {
    ...UNDECIDED,
    row: row.row,
    verdict: verdictOf(reasons, profile.verdicts),
    reasons,
    fields,
    metadata,
    recordHash: recordHash(fields),
    attributes: { repairs, redactions, language, signals },
  }
}

function count(records: readonly PipelineRecord[]): PipelineCounts {
  const having = (test: (record: PipelineRecord) => boolean): number => records.filter(test).length
  const reasons: PipelineCounts['reasons'] = {}
  for (const record of records)
    for (const reason of record.reasons) reasons[reason] = (reasons[reason] ?? 0) + 1
  return {
    rows: records.length,
    accepted: having((record) => record.verdict === 'accepted'),
    needsReview: having((record) => record.verdict === 'needs_review'),
    rejected: having((record) => record.verdict === 'rejected'),
    discounted: having((record) => record.verdict === 'accepted' && record.novelty < 1),
    repaired: having((record) => Object.keys(record.attributes?.repairs ?? {}).length > 0),
    redacted: having((record) => (record.attributes?.redactions.length ?? 0) > 0),
    reasons,
  }
}

/**
 * Names the pipeline that made a verdict: SHA-256 of the canonical JSON of its version and every parameter. Whoever
 * has the raw file, the earlier records, the fingerprints of earlier answers and this code at the same hash gets the same
 * verdicts; without those fingerprints, which are not public, the same but for `modelOutput` and MODEL_OUTPUT.
 */
export function pipelineHash(profile: Profile = DEFAULT_PROFILE): Hex {
  return sha256Hex(
    canonicalJson({
      version: PIPELINE_VERSION,
      profile,
      limits: { MAX_RECORD_CHARS, MAX_METADATA_CHARS, MAX_LINE_CHARS },
      clauses: { MIN_CLAUSE_CHARS, MAX_CLAUSE_CHARS },
      columns: COLUMN_ALIASES,
      language: { SAMPLE_CHARS, MIN_LANGUAGE_CHARS, PLAIN_ENGLISH },
      repetition: GOPHER_REPETITION,
      mh1: MH1,
      wn1: WN1,
      dedup: {
        MAX_NEAR_CANDIDATES,
        MAX_HOLDERS,
        ROUND_RECORDS,
        ROUND_CHARS,
        ...LOOKUP,
      },
      pii: RECOGNIZERS.map(({ type, pattern }) => [type, pattern.source]),
      secrets: [...SECRET_PATTERNS, PRIVATE_KEY_BLOCK, HEX_KEY_CONTEXT].map(
        (pattern) => pattern.source,
      ),
      injection: [...INJECTION_PATTERNS, CONTROL_TOKENS].map((pattern) => pattern.source),
      reasons: Object.fromEntries(
        Object.entries(REASONS).map(([code, { verdict }]) => [code, verdict]),
      ),
    }),
  )
}
