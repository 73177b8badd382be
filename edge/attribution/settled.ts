import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import type { Ctx } from '../context.ts'
import { readLedger, type LedgerTx } from '../db/ledger.ts'
import type { PaidFor } from '../db/postings.ts'
import { Problem } from '../problem.ts'

/**
 * What settled receipts paid to records by score and for citations, from the Postgres ledger. The rows are for reading; the money is in the ledger's
 * entries and on the chain. Receipts of a disabled epoch are in none of these answers until they are settled again.
 */

/** Which payments: all that match every member given. */
export type PaymentFilter = {
  contributor?: Hex | undefined
  record?: Hex | undefined
  payer?: Hex | undefined
  /** Id of the Datanet that they were paid out of. */
  datanet?: string | undefined
  paidFor?: PaidFor | undefined
  /** Adapter digests. */
  adapters?: readonly Hex[] | undefined
  /** Made at or after, Unix seconds. */
  since?: number | undefined
}

export type Payment = {
  epoch: number
  requestId: Hex
  adapter: Hex
  cluster: Hex
  record: Hex
  contributor: Hex
  /** Id of the Datanet that it was paid out of; null where the catalogue knows of none. */
  datanet: string | null
  paidFor: PaidFor
  /** Wei. */
  amount: bigint
  /** Unix seconds. */
  time: number
}

type PaymentRow = Omit<Payment, 'amount'> & { amount: string }

/** Payments to records, newest epoch first, up to limit + 1 after the one that `after` names. */
export function listPayments(
  { env }: Pick<Ctx, 'env'>,
  filter: PaymentFilter,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<(Payment & { id: string })[]> {
  const from = after === undefined ? null : parsePaymentId(after)
  return readLedger(env, async (sql) => {
    const rows = await sql<PaymentRow[]>`
      SELECT r.epoch::int AS epoch, p.request_id AS "requestId", r.adapter, p.cluster, p.record, p.contributor,
        p.datanet, p.paid_for AS "paidFor", p.amount::text AS amount, extract(epoch FROM r.made_at)::float8 AS time
      FROM ${payments(sql)}
      WHERE ${matching(sql, filter)}
      ${
        from
          ? sql`AND (r.epoch, p.request_id, p.cluster, p.paid_for)
        < (${from.epoch}, ${from.requestId}, ${from.cluster}, ${from.paidFor})`
          : sql``
      }
      ORDER BY r.epoch DESC, p.request_id DESC, p.cluster DESC, p.paid_for DESC LIMIT ${limit + 1}`
    return rows.map((row) => ({
      ...row,
      time: Math.floor(row.time),
      amount: BigInt(row.amount),
      id: `${row.epoch}.${row.requestId.slice(2)}.${row.cluster.slice(2)}.${row.paidFor}`,
    }))
  })
}

function parsePaymentId(id: string) {
  const match = /^(\d{1,9})\.([0-9a-f]{64})\.([0-9a-f]{64})\.([a-z]+)$/.exec(id)
  if (!match?.[4]) throw badCursor(id)
  const [, epoch, requestId, cluster, paidFor] = match
  return { epoch: Number(epoch), requestId: `0x${requestId}`, cluster: `0x${cluster}`, paidFor }
}

/** What can be ranked: who, and what each member of the ranking is. */
export const BOARDS = ['contributors', 'datanets', 'records', 'models'] as const
export type Board = (typeof BOARDS)[number]

export type Standing = {
  /** Address, Datanet id, record hash, or digest of an adapter or of a base that answered alone. */
  subject: string
  /** Wei that records earned. */
  amount: bigint
  answers: number
  records: number
}

/** Ranks by wei that records earned, the most first, up to limit + 1 after the one that `after` names. */
export function listStandings(
  { env }: Pick<Ctx, 'env'>,
  board: Board,
  filter: PaymentFilter,
  { limit, after }: { limit: number; after?: string | undefined },
): Promise<(Standing & { id: string })[]> {
  const from = after === undefined ? null : parseStandingId(after)
  return readLedger(env, async (sql) => {
    const subject = {
      contributors: sql`p.contributor`,
      datanets: sql`p.datanet`,
      records: sql`p.record`,
      models: sql`r.model`,
    }[board]
    const rows = await sql<(Omit<Standing, 'amount'> & { amount: string })[]>`
      SELECT ${subject} AS subject, sum(p.amount)::text AS amount,
        count(DISTINCT p.request_id)::int AS answers, count(DISTINCT p.record)::int AS records
      FROM ${payments(sql)}
      WHERE ${subject} IS NOT NULL AND ${matching(sql, filter)}
      GROUP BY ${subject}
      ${from ? sql`HAVING (sum(p.amount), ${subject}) < (${from.amount}::numeric, ${from.subject})` : sql``}
      ORDER BY sum(p.amount) DESC, ${subject} DESC LIMIT ${limit + 1}`
    return rows.map((row) => ({
      ...row,
      amount: BigInt(row.amount),
      id: `${row.amount}.${row.subject}`,
    }))
  })
}

function parseStandingId(id: string): { amount: string; subject: string } {
  const match = /^(\d{1,78})\.(0x[0-9a-f]{40}|0x[0-9a-f]{64}|dn_[0-9a-zA-Z]+)$/.exec(id)
  if (!match?.[1] || !match[2]) throw badCursor(id)
  return { amount: match[1], subject: match[2] }
}

const badCursor = (after: string) =>
  new Problem('request/invalid', {
    detail: `after is no id of this list: ${after.slice(0, 200)}`,
    param: 'after',
  })

export type Flow = {
  /** Digest of the adapter, or of the base that answered alone. */
  model: Hex
  contributor: Hex
  record: Hex
  datanet: string | null
  amount: bigint
  answers: number
}

/** How much each record earned through each model, the most first; and what there is in all. */
export const paymentFlows = (
  { env }: Pick<Ctx, 'env'>,
  filter: PaymentFilter,
  limit: number,
): Promise<{ flows: Flow[]; total: { amount: bigint; answers: number } }> =>
  readLedger(env, async (sql) => {
    const [rows, [total]] = await Promise.all([
      sql<(Omit<Flow, 'amount'> & { amount: string })[]>`
        SELECT r.model, p.contributor, p.record, p.datanet, sum(p.amount)::text AS amount,
          count(DISTINCT p.request_id)::int AS answers
        FROM ${payments(sql)}
        WHERE ${matching(sql, filter)}
        GROUP BY r.model, p.contributor, p.record, p.datanet
        ORDER BY sum(p.amount) DESC, p.record, r.model, p.datanet LIMIT ${limit}`,
      sql<{ amount: string; answers: number }[]>`
        SELECT coalesce(sum(p.amount), 0)::text AS amount, count(DISTINCT p.request_id)::int AS answers
        FROM ${payments(sql)} WHERE ${matching(sql, filter)}`,
    ])
    return {
      flows: rows.map((row) => ({ ...row, amount: BigInt(row.amount) })),
      total: { amount: BigInt(total?.amount ?? 0), answers: total?.answers ?? 0 },
    }
  })

/** Payments with their receipts. A base that answers alone has no adapter, and may cite. */
const payments = (sql: LedgerTx) => sql`paid_record p JOIN (
  SELECT *, CASE adapter WHEN ${ZERO_HASH} THEN base ELSE adapter END AS model FROM settled_receipt
) r USING (request_id)`

/** The WHERE of a filter over `paid_record p` and `settled_receipt r`; a shortlisted row that was paid nothing is none. */
function matching(
  sql: LedgerTx,
  { contributor, record, payer, datanet, paidFor, adapters, since }: PaymentFilter,
) {
  return sql`p.amount > 0
    ${contributor ? sql`AND p.contributor = ${contributor}` : sql``}
    ${record ? sql`AND p.record = ${record}` : sql``}
    ${payer ? sql`AND r.payer = ${payer}` : sql``}
    ${datanet ? sql`AND p.datanet = ${datanet}` : sql``}
    ${paidFor ? sql`AND p.paid_for = ${paidFor}` : sql``}
    ${adapters ? sql`AND r.adapter IN ${sql(adapters.length > 0 ? [...adapters] : [''])}` : sql``}
    ${since === undefined ? sql`` : sql`AND r.made_at >= to_timestamp(${since})`}`
}
