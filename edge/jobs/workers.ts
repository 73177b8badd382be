import { and, desc, eq, gt, lt, sql } from 'drizzle-orm'
import type { Hex } from '#protocol/bytes.ts'
import { newId } from '#protocol/ids.ts'
import type { WorkerHello } from '#protocol/wire.ts'
import { readChain } from '../chain/client.ts'
import { baseOnChain } from '../chain/models.ts'
import type { Ctx } from '../context.ts'
import { bases, workers } from '../db/schema-models.ts'
import { Problem } from '../problem.ts'

/** A worker that was not heard of for this long gets no requests. */
const FRESH_MS = 30_000
/** Being heard of is written down at most this often: a D1 database has one writer. */
const SEEN_EVERY_MS = 5_000

export type Worker = typeof workers.$inferSelect

/**
 * Admits a gpu-worker and the base models it serves, each of which must be on chain. Idempotent by its signing
 * address: a restarted worker is the same one. Throws `worker/unknown-base`.
 */
export async function registerWorker(ctx: Ctx, hello: WorkerHello): Promise<string> {
  for (const { digest, name } of hello.bases)
    if (!(await readChain(() => baseOnChain(ctx.settings, digest))))
      throw new Problem('worker/unknown-base', {
        detail: `The chain has no base model ${digest} (${name}).`,
        param: 'bases',
      })
  const now = Date.now()
  const worker = { ...hello, load: hello.load ?? null, registeredAt: now, seenAt: now }
  const [[row]] = await ctx.db.batch([
    ctx.db
      .insert(workers)
      .values({ id: newId('worker'), ...worker })
      .onConflictDoUpdate({ target: workers.address, set: worker })
      .returning({ id: workers.id }),
    ...hello.bases.map((base) =>
      ctx.db
        .insert(bases)
        .values({ ...base, createdAt: now })
        .onConflictDoUpdate({
          target: bases.digest,
          set: { name: base.name, contextLength: base.contextLength },
        }),
    ),
  ])
  if (!row) throw new Error(`worker ${hello.address} vanished`)
  return row.id
}

/** A registered worker, noted as heard of. Throws `worker/not-found`: the worker shall register again. */
export async function hearFrom(ctx: Ctx, workerId: string): Promise<Worker> {
  const [row] = await ctx.db.select().from(workers).where(eq(workers.id, workerId))
  if (!row) throw new Problem('worker/not-found', { detail: `No worker has the id ${workerId}.` })
  await noteSeen(ctx, workerId)
  return row
}

/** Notes that a worker lives. */
export async function noteSeen(ctx: Ctx, workerId: string): Promise<void> {
  const now = Date.now()
  await ctx.db
    .update(workers)
    .set({ seenAt: now })
    .where(and(eq(workers.id, workerId), lt(workers.seenAt, now - SEEN_EVERY_MS)))
}

/** Posts JSON to one of the workers' own routes. */
export const postToWorker = (
  { url }: Pick<Worker, 'url'>,
  path: string,
  { token, body, signal }: { token: string; body: object; signal: AbortSignal },
): Promise<Response> =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  })

/** Workers that serve a base model and were heard of lately, freshest first. */
export const liveWorkers = (ctx: Ctx, base: Hex): Promise<Worker[]> =>
  ctx.db
    .select()
    .from(workers)
    .where(
      and(
        gt(workers.seenAt, Date.now() - FRESH_MS),
        sql`EXISTS (SELECT 1 FROM json_each(${workers.bases}) WHERE value->>'$.digest' = ${base})`,
      ),
    )
    .orderBy(desc(workers.seenAt))
