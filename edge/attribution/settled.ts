import type { Hex } from '#protocol/bytes.ts'
import type { Ctx } from '../context.ts'
import { readLedger, type LedgerTx } from '../db/ledger.ts'
import { Problem } from '../problem.ts'

/**
 * What settled receipts paid to records, from the Postgres ledger. The rows are for reading; the money is in the ledger's
 * entries and on the chain. Receipts of a disabled epoch are in none of these answers until they are settled again.
 */

/** Which payments: all that match every member given. */
export type PaymentFilter = {
  contributor?: Hex | undefined
  record?: Hex | undefined
  payer?: Hex | undefined
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
        p.amount::text AS amount, extract(epoch FROM r.made_at)::float8 AS time
      FROM paid_record p JOIN settled_receipt r USING (request_id)
      WHERE ${matching(sql, filter)}
      ${from ? sql`AND (r.epoch, p.request_id, p.cluster) < (${from.epoch}, ${from.requestId}, ${from.cluster})` : sql``}
      ORDER BY r.epoch DESC, p.request_id DESC, p.cluster DESC LIMIT ${limit + 1}`
    return rows.map((row) => ({
      ...row,
      time: Math.floor(row.time),
      amount: BigInt(row.amount),
      id: `${row.epoch}.${row.requestId.slice(2)}.${row.cluster.slice(2)}`,
    }))
  })
}

function parsePaymentId(id: string): { epoch: number; requestId: Hex; cluster: Hex } {
  const match = /^(\d{1,9})\.([0-9a-f]{64})\.([0-9a-f]{64})$/.exec(id)
  if (!match) throw badCursor(id)
  return { epoch: Number(match[1]), requestId: `0x${match[2]}`, cluster: `0x${match[3]}` }
}

/** What can be ranked: who, and what each member of the ranking is. */
export const BOARDS = ['contributors', 'records', 'models'] as const
export type Board = (typeof BOARDS)[number]

export type Standing = {
  /** Address, record hash or adapter digest. */
  subject: Hex
  /** Wei that records earned. */
  amount: bigint
  answers: number
  records: number
}

/** Ranks by wei earned by score, the most first, up to limit + 1 after the one that `after` names. */
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
      records: sql`p.record`,
      models: sql`r.adapter`,
    }[board]
    const rows = await sql<(Omit<Standing, 'amount'> & { amount: string })[]>`
      SELECT ${subject} AS subject, sum(p.amount)::text AS amount,
        count(DISTINCT p.request_id)::int AS answers, count(DISTINCT p.record)::int AS records
      FROM paid_record p JOIN settled_receipt r USING (request_id)
      WHERE ${matching(sql, filter)}
      GROUP BY ${subject}
      ${from ? sql`HAVING (sum(p.amount), ${subject}) < (${from.amount}::numeric, ${from.subject})` : sql``}
      ORDER BY sum(p.amount) DESC, ${subject} DESC LIMIT ${limit + 1}`
    return rows.map((row) => ({
      ...row,
      amount: BigInt(row.amount),
      id: `${row.amount}.${row.subject.slice(2)}`,
    }))
  })
}

function parseStandingId(id: string): { amount: string; subject: Hex } {
  const match = /^(\d{1,78})\.([0-9a-f]{40}|[0-9a-f]{64})$/.exec(id)
  if (!match?.[1]) throw badCursor(id)
  return { amount: match[1], subject: `0x${match[2]}` }
}

const badCursor = (after: string) =>
  new Problem('request/invalid', {
    detail: `after is no id of this list: ${after.slice(0, 200)}`,
    param: 'after',
  })

export type Flow = { adapter: Hex; contributor: Hex; record: Hex; amount: bigint; answers: number }

/** How much each record earned through each model, the most first; and what there is in all. */
export const paymentFlows = (
  { env }: Pick<Ctx, 'env'>,
  filter: PaymentFilter,
  limit: number,
): Promise<{ flows: Flow[]; total: { amount: bigint; answers: number } }> =>
  readLedger(env, async (sql) => {
    const [rows, [total]] = await Promise.all([
      sql<(Omit<Flow, 'amount'> & { amount: string })[]>`
        SELECT r.adapter, p.contributor, p.record, sum(p.amount)::text AS amount,
          count(DISTINCT p.request_id)::int AS answers
        FROM paid_record p JOIN settled_receipt r USING (request_id)
        WHERE ${matching(sql, filter)}
        GROUP BY r.adapter, p.contributor, p.record
        ORDER BY sum(p.amount) DESC, p.record, r.adapter LIMIT ${limit}`,
      sql<{ amount: string; answers: number }[]>`
        SELECT coalesce(sum(p.amount), 0)::text AS amount, count(DISTINCT p.request_id)::int AS answers
        FROM paid_record p JOIN settled_receipt r USING (request_id) WHERE ${matching(sql, filter)}`,
    ])
    return {
      flows: rows.map((row) => ({ ...row, amount: BigInt(row.amount) })),
      total: { amount: BigInt(total?.amount ?? 0), answers: total?.answers ?? 0 },
    }
  })

/** The WHERE of a filter over `paid_record p` and `settled_receipt r`; a shortlisted row that was paid nothing is none. */
function matching(sql: LedgerTx, { contributor, record, payer, adapters, since }: PaymentFilter) {
  return sql`p.amount > 0
    ${contributor ? sql`AND p.contributor = ${contributor}` : sql``}
    ${record ? sql`AND p.record = ${record}` : sql``}
    ${payer ? sql`AND r.payer = ${payer}` : sql``}
    ${adapters ? sql`AND r.adapter IN ${sql(adapters.length > 0 ? [...adapters] : [''])}` : sql``}
    ${since === undefined ? sql`` : sql`AND r.made_at >= to_timestamp(${since})`}`
}
