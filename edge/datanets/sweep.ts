import { and, eq, lt } from 'drizzle-orm'
import { transactionStatus } from '../chain/enqueue.ts'
import type { Ctx } from '../context.ts'
import { contributions, datanets, versions } from '../db/schema.ts'
import { anchorContribution, anchorWaiting, settleContribution } from './anchor.ts'
import { registerDatanet, settleDatanet } from './datanets.ts'
import { waitingIds } from './inbox.ts'
import { outcomeOfEvent, outcomeOfStatus, type Outcome } from '../chain/outcome.ts'
import { publishVersion, settleVersion } from './versions.ts'
import type { TxEvent } from '../http/messages.ts'

const LOST_AFTER_MS = 20_000 // a healthy message is handled long before; one too many is harmless
const BATCH = 100 // messages of one sendBatch

/** A transaction's end reached us: by message, or by the sweep that asks for what no message told. */
export async function onDatanetTx(ctx: Ctx, tx: TxEvent): Promise<void> {
  await endDatanet(ctx, idOf(tx), outcomeOfEvent(tx))
}

export async function onContributionTx(ctx: Ctx, tx: TxEvent): Promise<void> {
  await settleContribution(ctx, idOf(tx), outcomeOfEvent(tx))
}

export async function onVersionTx(ctx: Ctx, tx: TxEvent): Promise<void> {
  await settleVersion(ctx, idOf(tx), outcomeOfEvent(tx))
}

async function endDatanet(ctx: Ctx, id: string, outcome: Outcome): Promise<void> {
  await settleDatanet(ctx, id, outcome)
  await anchorWaiting(ctx, id)
}

/** Rings the bell again for contributions that the queue lost: it keeps messages in memory locally. */
export async function sweepInbox(ctx: Ctx): Promise<number> {
  const ids = await waitingIds(ctx.env, new Date(Date.now() - LOST_AFTER_MS), BATCH)
  if (ids.length > 0)
    await ctx.env.CONTRIBUTIONS.sendBatch(
      ids.map((id) => ({ body: { type: 'contribution' as const, id } })),
    )
  return ids.length
}

/** Repeats or finishes what waits for the chain longer than it should. */
export async function sweepAnchors(ctx: Ctx): Promise<number> {
  const before = Date.now() - LOST_AFTER_MS
  const [pending, waiting, building, publishing] = await ctx.db.batch([
    ctx.db
      .select()
      .from(datanets)
      .where(and(eq(datanets.status, 'pending'), lt(datanets.createdAt, before)))
      .limit(BATCH),
    ctx.db
      .select({ id: contributions.id })
      .from(contributions)
      .where(and(eq(contributions.status, 'needs_anchor'), lt(contributions.processedAt, before)))
      .limit(BATCH),
    ctx.db
      .select({ id: versions.id })
      .from(versions)
      .where(and(eq(versions.status, 'building'), lt(versions.createdAt, before)))
      .limit(BATCH),
    ctx.db
      .select()
      .from(versions)
      .where(and(eq(versions.status, 'publishing'), lt(versions.createdAt, before)))
      .limit(BATCH),
  ])
  for (const row of pending)
    await finish(ctx, `datanet:${row.id}`, {
      again: () => registerDatanet(ctx, row),
      end: (outcome) => endDatanet(ctx, row.id, outcome),
    })
  for (const { id } of waiting)
    await finish(ctx, `contribution:${id}`, {
      again: () => anchorContribution(ctx, id),
      end: (outcome) => settleContribution(ctx, id, outcome),
    })
  for (const { id } of building) await ctx.env.CONTRIBUTIONS.send({ type: 'version', id })
  for (const row of publishing)
    await finish(ctx, `version:${row.id}`, {
      again: () => publishVersion(ctx, row),
      end: (outcome) => settleVersion(ctx, row.id, outcome),
    })
  return pending.length + waiting.length + building.length + publishing.length
}

async function finish(
  ctx: Ctx,
  key: string,
  { again, end }: { again: () => Promise<void>; end: (outcome: Outcome) => Promise<void> },
): Promise<void> {
  const status = await transactionStatus(ctx, key)
  const outcome = outcomeOfStatus(status)
  if (outcome) await end(outcome)
  else if (status.status === 'unknown') await again()
}

const idOf = ({ key }: TxEvent): string => key.slice(key.indexOf(':') + 1)
