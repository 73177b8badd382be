import { and, eq, getTableColumns, gt } from 'drizzle-orm'
import type { Ctx } from '../context.ts'
import { contributions, records, revocations } from '../db/schema.ts'
import { Problem } from '../problem.ts'
import { headInbox } from './inbox.ts'
import type { Verdict } from './pipeline/reasons.ts'

export type Contribution = typeof contributions.$inferSelect

/**
 * A contribution by id: from D1 once a consumer has taken it up, before that from the inbox, so that it can be read
 * the moment it was accepted. Throws `contribution/not-found`.
 */
export async function getContribution(ctx: Ctx, id: string): Promise<Contribution> {
  const read = () => ctx.db.select().from(contributions).where(eq(contributions.id, id))
  const [row] = await read()
  if (row) return row
  const waiting = await headInbox(ctx.env, id)
  if (waiting) return { ...UNTOUCHED, id, ...waiting }
  const [taken] = await read() // it may have left the inbox between the two reads
  if (!taken) throw new Problem('contribution/not-found', { detail: id.slice(0, 64) })
  return taken
}

const UNTOUCHED = {
  status: 'received',
  errors: null,
  counts: null,
  pipelineHash: null,
  recordsFile: null,
  root: null,
  txHash: null,
  blockNumber: null,
  processedAt: null,
  anchoredAt: null,
} as const

/** Verdicts of a contribution in row order, and why its records are revoked if they are, from after row `after`; up to limit + 1. */
export async function listVerdicts(
  ctx: Ctx,
  id: string,
  { limit, after, verdict }: { limit: number; after?: number; verdict?: Verdict },
) {
  const { contributor } = await getContribution(ctx, id)
  return ctx.db
    .select({ ...getTableColumns(records), revoked: revocations.reason })
    .from(records)
    .leftJoin(
      revocations,
      and(
        eq(records.verdict, 'accepted'),
        eq(revocations.record, records.recordHash),
        eq(revocations.contributor, contributor),
      ),
    )
    .where(
      and(
        eq(records.contributionId, id),
        after === undefined ? undefined : gt(records.row, after),
        verdict && eq(records.verdict, verdict),
      ),
    )
    .orderBy(records.row)
    .limit(limit + 1)
}
