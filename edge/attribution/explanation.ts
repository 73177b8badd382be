import { eq } from 'drizzle-orm'
import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import type { ParameterValues } from '#protocol/parameters.ts'
import type { ReceiptRow } from '#protocol/receipt.ts'
import { evidenceReply, type Evidence, type EvidenceRequest } from '#protocol/evidence.ts'
import type { Revocation } from '#protocol/revocations.ts'
import { promptText, type Explanation } from '#protocol/generation.ts'
import { readChain } from '../chain/client.ts'
import { readParameters } from '../chain/parameters.ts'
import type { Ctx } from '../context.ts'
import { readTexts } from '../custody/texts.ts'
import { findRevocations } from '../datanets/revocations.ts'
import { records } from '../db/schema.ts'
import { adapters } from '../db/schema-models.ts'
import { routeOrder } from '../inference/route.ts'
import { workerProblem } from '../inference/worker-stream.ts'
import { liveWorkers, postToWorker, type Worker } from '../jobs/workers.ts'
import { Problem } from '../problem.ts'
import { reasonOfListed, reasonOfUnlisted, type Reason, type RowEvidence } from './reasons.ts'
import type { ReceiptView } from './receipts.ts'

const WORKER_MS = 60_000
/** The same content may have been handed in often; one acceptance is enough to know. */
const MOST_COPIES = 100
const RETRY_AFTER_SECONDS = 5

/** A row that the receipt lists; its texts are the payer's alone. */
export type ListedRow = ReceiptRow & {
  reason: Reason
  texts: Explanation['rows'][number] | null
}

/** Why a record is paid or not: the receipt's row, or the indexes' evidence, or what its Datanet says. */
export type RecordReason = {
  record: Hex
  reason: Reason
  row: ReceiptRow | null
  evidence: RowEvidence | null
  /** With `duplicate_of`: the record that is credited. */
  duplicateOf: Hex | null
  /** By which it was revoked when the answer was given. */
  revocation: Revocation | null
}

/** The governed numbers that a receipt was made under; null when governance has changed them since. */
export async function valuesOf(
  { settings }: Pick<Ctx, 'settings'>,
  { signed }: ReceiptView,
): Promise<ParameterValues | null> {
  const { values, paramsHash } = await readChain(() => readParameters(settings))
  return paramsHash === signed.receipt.paramsHash ? values : null
}

/** The rows of a receipt with their reasons; with texts for the payer. */
export function explainRows(view: ReceiptView, { actor }: Pick<Ctx, 'actor'>): ListedRow[] {
  const isPayer = actor.kind === 'account' && actor.accountId === view.accountId
  return view.signed.receipt.rows.map((row) => ({
    ...row,
    reason: reasonOfListed(row),
    texts: isPayer
      ? (view.explanation.rows.find(({ record }) => record === row.record) ?? null)
      : null,
  }))
}

/** Why one record is paid for an answer or not. Throws `record/not-found` when nobody ever handed it in. */
export async function explainRecord(
  ctx: Ctx,
  view: ReceiptView,
  record: Hex,
): Promise<RecordReason> {
  const listed = view.signed.receipt.rows.find((row) => row.record === record)
  if (listed) return fromListed(listed)
  const known = await knownRecord(ctx, record)
  const clusters = known.cluster ? [known.cluster] : []
  const { evidence } = await evidenceFor(ctx, view, { records: [record], clusters, limit: 2 })
  const own = evidence.find((row) => row.record === record)
  const [credited] = evidence
  const none = { record, row: null, evidence: null, duplicateOf: null, revocation: null }
  if (own) return fromUnlisted(own, await unlistedFacts(ctx, view, [own]))
  if (credited)
    return { ...none, reason: 'duplicate_of', evidence: credited, duplicateOf: credited.record }
  if (known.duplicateOf) return { ...none, reason: 'duplicate_of', duplicateOf: known.duplicateOf }
  return { ...none, reason: 'not_indexed' }
}

/** The same for a contributor's records in the model's index: those of the most influence, and how many there are. */
export async function explainContributor(
  ctx: Ctx,
  view: ReceiptView,
  contributor: Hex,
  limit: number,
): Promise<{ reasons: RecordReason[]; indexed: number }> {
  const { evidence, selected } = await evidenceFor(ctx, view, { contributor, limit })
  const facts = await unlistedFacts(ctx, view, evidence)
  const reasons = evidence.map((own): RecordReason => {
    const listed = view.signed.receipt.rows.find((row) => row.record === own.record)
    return listed ? { ...fromListed(listed), evidence: own } : fromUnlisted(own, facts)
  })
  return { reasons, indexed: selected }
}

type UnlistedFacts = {
  values: ParameterValues | null
  revocationOf: (row: RowEvidence) => Revocation | null
}

/** What decides about rows that the receipt does not list, besides their evidence. */
async function unlistedFacts(
  ctx: Ctx,
  view: ReceiptView,
  rows: readonly RowEvidence[],
): Promise<UnlistedFacts> {
  const [values, revocationOf] = await Promise.all([
    valuesOf(ctx, view),
    findRevocations(ctx, rows, Number(view.signed.receipt.time)),
  ])
  return { values, revocationOf }
}

function fromUnlisted(own: RowEvidence, { values, revocationOf }: UnlistedFacts): RecordReason {
  const revocation = revocationOf(own)
  return {
    record: own.record,
    reason: reasonOfUnlisted(own, values, revocation),
    row: null,
    evidence: own,
    duplicateOf: null,
    revocation,
  }
}

const fromListed = (row: ReceiptRow): RecordReason => ({
  record: row.record,
  reason: reasonOfListed(row),
  row,
  evidence: null,
  duplicateOf: null,
  revocation: null,
})

/** What the Datanets know of a record: its cluster, and the record that it repeats if it was refused for that. */
async function knownRecord(
  { db }: Pick<Ctx, 'db'>,
  record: Hex,
): Promise<{ cluster: Hex | null; duplicateOf: Hex | null }> {
  const found = await db
    .select({ cluster: records.cluster, evidence: records.evidence, verdict: records.verdict })
    .from(records)
    .where(eq(records.recordHash, record))
    .limit(MOST_COPIES)
  const best = found.find(({ verdict }) => verdict === 'accepted') ?? found[0]
  if (!best) throw new Problem('record/not-found', { detail: `No Datanet was given ${record}.` })
  const duplicateOf = best.verdict === 'accepted' ? null : (best.evidence?.duplicateOf ?? null)
  return { cluster: best.cluster, duplicateOf }
}

type Asked = Pick<EvidenceRequest, 'limit'> &
  Partial<Pick<EvidenceRequest, 'records' | 'clusters' | 'contributor'>>

/** Asks a worker that serves the model to score the receipt's query vector again. */
async function evidenceFor(ctx: Ctx, view: ReceiptView, asked: Asked): Promise<Evidence> {
  const { receipt, query } = view.signed
  if (receipt.adapter === ZERO_HASH) return { rows: 0, selected: 0, evidence: [] }
  const [adapter] = await ctx.db.select().from(adapters).where(eq(adapters.digest, receipt.adapter))
  if (!adapter) throw new Error(`adapter ${receipt.adapter} has a receipt and no row`)
  const texts = await readTexts(ctx, receipt)
  const request: EvidenceRequest = {
    records: [],
    clusters: [],
    ...asked,
    base: receipt.base,
    adapter: { digest: receipt.adapter, manifest: adapter.manifest },
    query,
    time: Number(receipt.time),
    texts: texts && { prompt: promptText(texts.input), tokens: texts.tokens },
  }
  let refused = new Problem('model/unavailable', { retryAfter: RETRY_AFTER_SECONDS })
  const workers = await liveWorkers(ctx, receipt.base)
  for (const worker of routeOrder(workers, {
    adapter: receipt.adapter,
    requestId: receipt.requestId,
  })) {
    const reply = await evidenceOf(worker, ctx.settings.WORKER_TOKEN, request)
    if (!(reply instanceof Problem)) return reply
    refused = reply
  }
  throw refused
}

async function evidenceOf(
  worker: Worker,
  token: string,
  request: EvidenceRequest,
): Promise<Evidence | Problem> {
  try {
    const response = await postToWorker(worker, '/explain', {
      token,
      body: request,
      signal: AbortSignal.timeout(WORKER_MS),
    })
    if (!response.ok) throw new Error(`the worker answered ${response.status}`)
    const reply = evidenceReply.parse(await response.json())
    return 'type' in reply ? workerProblem(reply) : reply
  } catch (cause) {
    return new Problem('model/unavailable', { retryAfter: RETRY_AFTER_SECONDS, cause })
  }
}
