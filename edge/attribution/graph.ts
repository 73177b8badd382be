import { and, eq, inArray } from 'drizzle-orm'
import type { Hex } from '#protocol/bytes.ts'
import type { Ctx } from '../context.ts'
import { contributions, datanets, records } from '../db/schema.ts'
import { adapters } from '../db/schema-models.ts'
import { paymentFlows, type Flow, type PaymentFilter } from './settled.ts'

/** Record and adapter flows that a graph is made of, at most. */
const MAX_FLOWS = 500
/** D1 takes at most 100 parameters; one is the verdict. */
const D1_LIST = 90

export type GraphLevel = 'contributors' | 'records'
export type NodeKind = 'datanet' | 'contributor' | 'record' | 'model'
export type GraphNode = { id: string; kind: NodeKind; name: string; amount: bigint }
/** Wei and answers on the way from data to models. */
export type GraphEdge = { from: string; to: string; amount: bigint; answers: number }

export type Graph = {
  nodes: GraphNode[]
  edges: GraphEdge[]
  /** What the graph shows and what there is: the largest flows are shown when they are many. */
  shown: bigint
  total: bigint
  answers: number
}

/**
 * Where the money of settled answers came from: Datanets to contributors or records, and these to the models that
 * learned from them, with the wei that flowed and the answers that it flowed for.
 */
export async function attributionGraph(
  ctx: Ctx,
  filter: PaymentFilter,
  level: GraphLevel,
): Promise<Graph> {
  const { flows, total } = await paymentFlows(ctx, filter, MAX_FLOWS)
  const [homes, models] = await Promise.all([
    datanetsOf(ctx, [...new Set(flows.map(({ record }) => record))]),
    modelNames(ctx, [...new Set(flows.map(({ adapter }) => adapter))]),
  ])
  const nodes = new Map<string, GraphNode>()
  const edges = new Map<string, GraphEdge>()
  const pass = (node: Omit<GraphNode, 'amount'>, { amount }: Flow): string => {
    const known = nodes.get(node.id) ?? { ...node, amount: 0n }
    nodes.set(node.id, { ...known, amount: known.amount + amount })
    return node.id
  }
  const join = (from: string, to: string, { amount, answers }: Flow) => {
    const key = `${from}>${to}`
    const known = edges.get(key) ?? { from, to, amount: 0n, answers: 0 }
    // A contributor's records may share answers: the largest of them is a lower bound that never counts one twice.
    const most = level === 'records' ? known.answers + answers : Math.max(known.answers, answers)
    edges.set(key, { ...known, amount: known.amount + amount, answers: most })
  }
  for (const flow of flows) {
    const { adapter, contributor, record } = flow
    const data =
      level === 'records'
        ? pass({ id: record, kind: 'record', name: record }, flow)
        : pass({ id: contributor, kind: 'contributor', name: contributor }, flow)
    const model = pass({ id: adapter, kind: 'model', name: models.get(adapter) ?? adapter }, flow)
    const home = homes.get(record)
    if (home) join(pass({ id: home.id, kind: 'datanet', name: home.name }, flow), data, flow)
    join(data, model, flow)
  }
  return {
    nodes: [...nodes.values()],
    edges: [...edges.values()],
    shown: flows.reduce((sum, { amount }) => sum + amount, 0n),
    total: total.amount,
    answers: total.answers,
  }
}

/** The Datanet that accepted each record. */
async function datanetsOf(
  { db }: Pick<Ctx, 'db'>,
  hashes: readonly Hex[],
): Promise<Map<Hex, { id: string; name: string }>> {
  const homes = new Map<Hex, { id: string; name: string }>()
  for (let at = 0; at < hashes.length; at += D1_LIST) {
    const found = await db
      .select({ record: records.recordHash, id: datanets.id, name: datanets.name })
      .from(records)
      .innerJoin(contributions, eq(contributions.id, records.contributionId))
      .innerJoin(datanets, eq(datanets.id, contributions.datanetId))
      .where(
        and(
          inArray(records.recordHash, hashes.slice(at, at + D1_LIST)),
          eq(records.verdict, 'accepted'),
        ),
      )
    for (const { record, ...home } of found) if (record) homes.set(record, home)
  }
  return homes
}

async function modelNames(
  { db }: Pick<Ctx, 'db'>,
  digests: readonly Hex[],
): Promise<Map<Hex, string>> {
  const names = new Map<Hex, string>()
  for (let at = 0; at < digests.length; at += D1_LIST)
    for (const { digest, name } of await db
      .select({ digest: adapters.digest, name: adapters.name })
      .from(adapters)
      .where(inArray(adapters.digest, digests.slice(at, at + D1_LIST))))
      names.set(digest, name)
  return names
}
