import { and, eq, inArray } from 'drizzle-orm'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import { putBlob } from '../blobs/store.ts'
import type { Ctx } from '../context.ts'
import { log } from '../log.ts'
import { contributions } from '../db/schema.ts'
import { Problem, type Fault } from '../problem.ts'
import { anchorContribution } from './anchor.ts'
import { getDatanet } from './datanets.ts'
import { dedupIndexOf, indexStatements, jsonChunks } from './dedup-store.ts'
import { deleteInbox, readInbox, type Envelope } from './inbox.ts'
import { pipelineHash, runPipeline, type PipelineRecord } from './pipeline/pipeline.ts'
import { readRows } from './read-rows.ts'
import { putRecordsFile } from './records-file.ts'

/** Shares are stored in parts of this. */
const SHARE_UNITS = 10_000

/**
 * Takes one contribution from the inbox to its verdicts. Safe to run again at any point: files are stored under
 * their hash, verdicts, duplicate index and status change in one D1 batch, and a contribution whose batch went
 * through only has its last steps repeated. What cannot be read fails for good; anything else throws, for a retry.
 */
export async function processContribution(ctx: Ctx, id: string): Promise<void> {
  const waiting = await readInbox(ctx.env, id)
  if (waiting) {
    await open(ctx, id, waiting.about)
    const status = await statusOf(ctx, id)
    if (status === 'received' || status === 'processing') {
      try {
        await judge(ctx, id, waiting.about, await waiting.body())
      } catch (error) {
        if (!(error instanceof Problem) || error.status >= 500) throw error
        await failContribution(ctx, id, error.details.errors ?? [{ detail: error.message }])
      }
    }
    await deleteInbox(ctx.env, id)
  }
  await anchorContribution(ctx, id)
}

/** Ends a contribution that cannot go on; one that got beyond processing stays as it is. */
async function failContribution(ctx: Ctx, id: string, errors: Fault[]): Promise<void> {
  await ctx.db
    .update(contributions)
    .set({ status: 'failed', errors, processedAt: Date.now() })
    .where(and(eq(contributions.id, id), inArray(contributions.status, ['received', 'processing'])))
}

/** Fails a contribution that the queue gave up on, and keeps its bytes under their hash. */
export async function buryContribution(ctx: Ctx, id: string): Promise<void> {
  const waiting = await readInbox(ctx.env, id)
  if (!waiting) return
  await open(ctx, id, waiting.about)
  await putBlob(ctx.env, await waiting.body())
  await failContribution(ctx, id, [
    { detail: 'Processing failed again and again on our side. Send the contribution again.' },
  ])
  await deleteInbox(ctx.env, id)
}

async function open(ctx: Ctx, id: string, about: Envelope): Promise<void> {
  await ctx.db
    .insert(contributions)
    .values({ id, ...about, status: 'processing' })
    .onConflictDoNothing({ target: contributions.id })
}

async function statusOf(ctx: Ctx, id: string) {
  const [row] = await ctx.db
    .select({ status: contributions.status })
    .from(contributions)
    .where(eq(contributions.id, id))
  return row?.status
}

async function judge(
  ctx: Ctx,
  id: string,
  { datanetId, contributor, contentType, createdAt }: Envelope,
  body: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const started = Date.now()
  const datanet = await getDatanet(ctx, datanetId)
  const rows = readRows(body, { contentType, columns: datanet.columns })
  const { records, counts } = await runPipeline({
    rows,
    contributor,
    profile: datanet.profile,
    index: dedupIndexOf(ctx.env, { datanetId, receivedAt: createdAt }),
  })
  const pipelineMs = Date.now() - started
  await putBlob(ctx.env, body)
  const recordsFile = await putRecordsFile(ctx.env, records)
  const leaves = records.flatMap(({ verdict, recordHash, cluster }) =>
    verdict === 'accepted' ? [leafHash('record', [recordHash, cluster, contributor])] : [],
  )
  const { DB } = ctx.env
  const ended = DB.prepare(
    `UPDATE contributions SET status = ?2, counts = ?3, pipeline_hash = ?4, records_file = ?5, root = ?6,
     processed_at = ?7, errors = ?8 WHERE id = ?1`,
  ).bind(
    id,
    leaves.length > 0 ? 'needs_anchor' : 'rejected',
    JSON.stringify(counts),
    pipelineHash(datanet.profile),
    recordsFile,
    merkleTree(leaves).root,
    Date.now(),
    leaves.length > 0 ? null : JSON.stringify([{ detail: 'No record was accepted.' }]),
  )
  await DB.batch([
    ...verdictStatements(DB, id, records),
    ...indexStatements(
      ctx.env,
      { datanetId, contributionId: id },
      records.flatMap((record) => record.indexEntry ?? []),
    ),
    ended,
  ])
  log('info', { requestId: ctx.requestId, contribution: id, ...counts, pipelineMs })
}

/** A second delivery of the same message at the same time fails here on the primary key, and its whole batch with it. */
function verdictStatements(
  DB: D1Database,
  contributionId: string,
  records: readonly PipelineRecord[],
): D1PreparedStatement[] {
  const rows = records.map((record) => ({
    row: record.row,
    verdict: record.verdict,
    novelty: Math.round(record.novelty * SHARE_UNITS),
    reasons: record.reasons,
    detail: record.detail,
    hash: record.recordHash,
    cluster: record.cluster,
    evidence: record.evidence,
    modelOutput: Math.round(record.modelOutput * SHARE_UNITS),
  }))
  return jsonChunks(rows).map((json) =>
    DB.prepare(
      `INSERT INTO records
         (contribution_id, row, verdict, novelty, reasons, detail, record_hash, cluster, evidence, model_output)
       SELECT ?1, value->>'$.row', value->>'$.verdict', value->>'$.novelty', value->'$.reasons', value->>'$.detail',
         value->>'$.hash', value->>'$.cluster', nullif(value->'$.evidence', 'null'), value->>'$.modelOutput'
       FROM json_each(?2)`,
    ).bind(contributionId, json),
  )
}
