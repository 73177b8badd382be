import { and, asc, desc, eq, gt, inArray, lte, sql } from 'drizzle-orm'
import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import {
  recordKey,
  revocationHead,
  withdrawalSigner,
  type RecordKey,
  type Revocation,
} from '#protocol/revocations.ts'
import { accountOf, type Ctx } from '../context.ts'
import { findRejectedBatches } from '../db/chain-index.ts'
import { jsonList } from '../db/json-list.ts'
import { readLedger } from '../db/ledger.ts'
import { contributions, records, revocationCalls, revocations } from '../db/schema.ts'
import type { Env } from '../env.ts'
import { seconds } from '../http/time.ts'
import { log } from '../log.ts'
import { Problem } from '../problem.ts'
import { getContribution, type Contribution } from './contributions.ts'
import { chainId } from './datanets.ts'
import { jsonChunks } from './dedup-store.ts'
import {
  insertCall,
  penaltyCalls,
  sendRevocations,
  withdrawalCall,
  type RevocationCall,
} from './revocation-calls.ts'

/** Writers that lost the race for the next place in the log try again; each loss means that another one got on. */
const ATTEMPTS = 20

type Row = typeof revocations.$inferSelect
type Source = Pick<Row, 'reason' | 'accountId' | 'block' | 'note'>

/** What the log says after a withdrawal. */
export type Withdrawal = {
  /** Records of the request that are revoked now, and those that were not before. */
  records: number
  added: number
  /** Entries of the log, and its head. */
  entries: number
  head: Hex
}

/**
 * Takes records of a contribution back, as its contributor signed; on chain too. Whatever was revoked already stays so, hence a
 * repeated request changes nothing. Throws `contribution/not-found`, `auth/forbidden`, `contribution/not-anchored`,
 * `record/not-found`, `contribution/not-signed`.
 */
export async function withdraw(
  ctx: Ctx,
  contributionId: string,
  {
    records: named,
    signature,
    note,
  }: { records: readonly Hex[]; signature: Hex; note?: string | undefined },
): Promise<Withdrawal> {
  const { accountId } = accountOf(ctx)
  const contribution = await getContribution(ctx, contributionId)
  if (contribution.accountId !== accountId)
    throw new Problem('auth/forbidden', { detail: 'Only who contributed records withdraws them.' })
  if (contribution.status !== 'anchored')
    throw new Problem('contribution/not-anchored', { detail: `It is ${contribution.status}.` })
  const accepted = new Set((await acceptedOf(ctx, contributionId)).map(({ record }) => record))
  const unknown = named.find((record) => !accepted.has(record))
  if (unknown)
    throw new Problem('record/not-found', {
      detail: `The contribution has no accepted record ${unknown}.`,
      param: 'records',
    })
  const { contributor } = contribution
  const { CHAIN_ID: chainId, CONTRACTS } = ctx.settings
  const signer = await withdrawalSigner(named, signature, { chainId, ...CONTRACTS })
  if (signer !== contributor)
    throw new Problem('contribution/not-signed', {
      detail: `The signature is ${signer ?? 'nobody'}’s, not ${contributor}’s.`,
      param: 'signature',
    })
  const call = withdrawalCall(contributor, named, signature)
  const source = { reason: 'revoked' as const, accountId, block: null, note: note ?? null }
  const withdrawal = await revoke(ctx, contribution, [{ records: named, call }], source)
  // What is written goes out in the end; at once is best, because the settlement waits for it.
  ctx.waitUntil(sendRevocations(ctx))
  return withdrawal
}

/** Revokes the records of batches that curation has rejected on chain; answers how many batches it found to do. */
export async function sweepRejected(ctx: Ctx): Promise<number> {
  const [last] = await ctx.db
    .select({ block: sql<number>`coalesce(max(${revocations.block}), -1)`.as('block') })
    .from(revocations)
  // The last block once more: the sweep before may have ended within it.
  const rejected = await readLedger(ctx.env, (tx) => findRejectedBatches(tx, last?.block ?? -1))
  for (const { batchId, contributor, block } of rejected) {
    const own = await ctx.db
      .select({ id: contributions.id, contributor: contributions.contributor })
      .from(contributions)
      .where(and(eq(contributions.contributor, contributor), eq(contributions.status, 'anchored')))
    const contribution = own.find(({ id }) => chainId(id) === batchId)
    if (!contribution) continue // a batch that was anchored past this edge
    const source = { reason: 'penalized' as const, accountId: null, block, note: null }
    const leaves = await acceptedOf(ctx, contribution.id)
    await revoke(ctx, contribution, penaltyCalls(batchId, contributor, leaves), source)
  }
  return rejected.length
}

/** Records of a contribution that were accepted: the leaves of its batch. */
async function acceptedOf(
  { db }: Pick<Ctx, 'db'>,
  contributionId: string,
): Promise<{ record: Hex; cluster: Hex }[]> {
  const found = await db
    .select({ record: records.recordHash, cluster: records.cluster })
    .from(records)
    .where(and(eq(records.contributionId, contributionId), eq(records.verdict, 'accepted')))
    .orderBy(records.row)
  return found.flatMap(({ record, cluster }) => (record && cluster ? [{ record, cluster }] : []))
}

/** Records to revoke, and the call that shows them on chain. */
type Part = { records: readonly Hex[]; call: RevocationCall }

/**
 * Appends to the log what is not in it, with its calls, all or nothing; the place in the log is the key that two writers race
 * for.
 */
async function revoke(
  ctx: Ctx,
  { id, contributor }: Pick<Contribution, 'id' | 'contributor'>,
  parts: readonly Part[],
  source: Source,
): Promise<Withdrawal> {
  const { DB } = ctx.env
  const wanted = parts.flatMap((part) => part.records)
  for (let attempt = 1; ; attempt++) {
    const [known, [last]] = await ctx.db.batch([
      ctx.db
        .select({ record: revocations.record })
        .from(revocations)
        .where(
          and(
            eq(revocations.contributor, contributor),
            inArray(revocations.record, jsonList(wanted)),
          ),
        ),
      ctx.db.select().from(revocations).orderBy(desc(revocations.seq)).limit(1),
    ])
    const gone = new Set(known.map(({ record }) => record))
    const added = chained(
      parts.flatMap(({ records: own, call }) =>
        own.flatMap((record) => (gone.has(record) ? [] : [{ record, call: call.id }])),
      ),
      { last, contributor, contribution: id, reason: source.reason },
    )
    const end = added.at(-1) ?? last
    const outcome = {
      records: wanted.length,
      added: added.length,
      entries: end?.seq ?? 0,
      head: end?.head ?? ZERO_HASH,
    }
    if (added.length === 0) return outcome
    try {
      const used = new Set(added.map(({ call }) => call))
      await DB.batch([
        ...jsonChunks(added).map((json) =>
          DB.prepare(
            `INSERT INTO revocations (seq, record, contributor, contribution_id, reason, time, head, call, account_id, block, note)
             SELECT value->>'$.seq', value->>'$.record', value->>'$.contributor', value->>'$.contribution',
               value->>'$.reason', value->>'$.time', value->>'$.head', value->>'$.call', ?2, ?3, ?4 FROM json_each(?1)`,
          ).bind(json, source.accountId, source.block, source.note),
        ),
        ...parts.flatMap(({ call }) => (used.has(call.id) ? [insertCall(ctx.env, call)] : [])),
      ])
      log('info', { requestId: ctx.requestId, contribution: id, reason: source.reason, ...outcome })
      return outcome
    } catch (error) {
      if (attempt === ATTEMPTS || !String(error).includes('UNIQUE constraint failed')) throw error
    }
  }
}

function chained(
  wanted: readonly Pick<Revocation, 'record' | 'call'>[],
  {
    last,
    ...about
  }: { last: Row | undefined } & Pick<Revocation, 'contributor' | 'contribution' | 'reason'>,
): Revocation[] {
  // Never before the entry before: times tell which part of the log a receipt had to heed.
  const time = Math.max(seconds(Date.now()), last?.time ?? 0)
  let [seq, head] = [last?.seq ?? 0, last?.head ?? ZERO_HASH]
  const once = new Map(wanted.map((one) => [one.record, one])).values()
  return [...once].map((one) => {
    const entry = { seq: ++seq, ...one, time, ...about }
    head = revocationHead(head, entry)
    return { ...entry, head }
  })
}

/** Entries of the log after one, up to limit + 1, each with the transaction of its call once that is in a block. */
export async function listRevocations(
  { db }: Pick<Ctx, 'db'>,
  { after, limit }: { after: number; limit: number },
): Promise<(Revocation & { txHash: Hex | null })[]> {
  const rows = await db
    .select({ entry: revocations, txHash: revocationCalls.txHash })
    .from(revocations)
    .leftJoin(revocationCalls, eq(revocationCalls.id, revocations.call))
    .where(gt(revocations.seq, after))
    .orderBy(asc(revocations.seq))
    .limit(limit + 1)
  return rows.map(({ entry, txHash }) => ({ ...entryOf(entry), txHash }))
}

/** A call that shows revocations on chain, for anybody to send; throws `revocation/not-found`. */
export async function getRevocationCall({ db }: Pick<Ctx, 'db'>, id: Hex) {
  const [row] = await db.select().from(revocationCalls).where(eq(revocationCalls.id, id))
  if (!row) throw new Problem('revocation/not-found', { detail: id })
  return row
}

const entryOf = ({
  seq,
  record,
  contributor,
  contributionId,
  reason,
  call,
  time,
  head,
}: Row): Revocation => ({
  seq,
  record,
  contributor,
  contribution: contributionId,
  reason,
  call,
  time,
  head,
})

/** Entries of those records that were revoked by a time (Unix seconds), by record hash and contributor. */
export async function findRevocations(
  { db }: Pick<Ctx, 'db'>,
  keys: readonly RecordKey[],
  time: number,
): Promise<(key: RecordKey) => Revocation | null> {
  if (keys.length === 0) return () => null
  const wanted = jsonList(keys.map(({ record }) => record))
  const rows = await db
    .select()
    .from(revocations)
    .where(and(inArray(revocations.record, wanted), lte(revocations.time, time)))
  const entries = rows.map(entryOf)
  return ({ record, contributor }) =>
    entries.find((entry) => entry.record === record && entry.contributor === contributor) ?? null
}

/** The end of the log at a time (Unix seconds): how many entries, and the head. */
export async function revocationsAt(
  { db }: Pick<Ctx, 'db'>,
  time: number,
): Promise<{ entries: number; head: Hex }> {
  const [row] = await db
    .select({ entries: revocations.seq, head: revocations.head })
    .from(revocations)
    .where(lte(revocations.time, time))
    .orderBy(desc(revocations.seq))
    .limit(1)
  return row ?? { entries: 0, head: ZERO_HASH }
}

/** Those of the anchored records of a Datanet that were revoked by a time (Unix seconds), as `recordKey`s. */
export async function revokedIn(
  { env }: { env: Pick<Env, 'DB'> },
  datanetId: string,
  time = Number.MAX_SAFE_INTEGER,
): Promise<Set<string>> {
  const { results } = await env.DB.prepare(
    `SELECT v.record, v.contributor FROM revocations AS v WHERE v.time <= ?2 AND EXISTS (
       SELECT 1 FROM records AS r JOIN contributions AS c ON c.id = r.contribution_id
       WHERE r.record_hash = v.record AND c.contributor = v.contributor AND c.datanet_id = ?1
         AND c.status = 'anchored' AND r.verdict = 'accepted')`,
  )
    .bind(datanetId, time)
    .all<RecordKey>()
  return new Set(results.map(recordKey))
}
