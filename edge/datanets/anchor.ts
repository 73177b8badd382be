import { and, eq } from 'drizzle-orm'
import { encodeFunctionData } from 'viem'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { ZERO_HASH } from '#protocol/bytes.ts'
import { enqueueTransaction } from '../chain/enqueue.ts'
import type { Ctx } from '../context.ts'
import { contributions, datanets } from '../db/schema.ts'
import { chainId } from './datanets.ts'
import { unindexStatements } from './dedup-store.ts'
import type { Outcome } from '../chain/outcome.ts'

/**
 * Has the accepted records of a contribution anchored on chain, with the bond, as soon as its Datanet is registered
 * there. Does nothing for a contribution in another state. Idempotent by the transaction's key.
 */
export async function anchorContribution(ctx: Ctx, id: string): Promise<void> {
  const [row] = await ctx.db
    .select()
    .from(contributions)
    .innerJoin(datanets, eq(datanets.id, contributions.datanetId))
    .where(and(eq(contributions.id, id), eq(contributions.status, 'needs_anchor')))
  if (!row) return
  const { contributions: contribution, datanets: datanet } = row
  if (datanet.status === 'failed') {
    const reason = `The chain refused the Datanet: ${datanet.error}.`
    return settleContribution(ctx, id, { status: 'reverted', reason })
  }
  if (datanet.status === 'pending') return
  await enqueueTransaction(ctx, {
    key: `contribution:${id}`,
    to: ctx.settings.CONTRACTS.datanetRegistry,
    data: encodeFunctionData({
      abi: datanetRegistryAbi,
      functionName: 'anchorBatch',
      args: [
        chainId(datanet.id),
        chainId(id),
        contribution.root ?? ZERO_HASH,
        contribution.counts?.accepted ?? 0,
        contribution.contributor,
        contribution.pipelineHash ?? ZERO_HASH,
      ],
    }),
    value: { parameter: 'bond.contribution' },
  })
}

/** Anchors what waited for a Datanet to be registered, or fails it when the chain refused the Datanet. */
export async function anchorWaiting(ctx: Ctx, datanetId: string): Promise<void> {
  const waiting = await ctx.db
    .select({ id: contributions.id })
    .from(contributions)
    .where(and(eq(contributions.datanetId, datanetId), eq(contributions.status, 'needs_anchor')))
    .orderBy(contributions.id)
  for (const { id } of waiting) await anchorContribution(ctx, id)
}

/**
 * Records how the anchoring ended. Records that the chain refused leave the duplicate index, so that they can be sent
 * again. A transaction that a reorganisation moved to another block is recorded anew.
 */
export async function settleContribution(ctx: Ctx, id: string, outcome: Outcome): Promise<void> {
  if (outcome.status === 'success') {
    const { txHash, blockNumber } = outcome
    await ctx.db
      .update(contributions)
      .set({ status: 'anchored', txHash, blockNumber, anchoredAt: Date.now() })
      .where(eq(contributions.id, id))
    return
  }
  const failed = ctx.env.DB.prepare(
    `UPDATE contributions SET status = 'failed', errors = ?2 WHERE id = ?1 AND status IN ('needs_anchor', 'anchored')`,
  ).bind(id, JSON.stringify([{ detail: outcome.reason }]))
  await ctx.env.DB.batch([failed, ...unindexStatements(ctx.env, id)])
}
