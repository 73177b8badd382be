import { inArray } from 'drizzle-orm'
import type { Ctx } from '../context.ts'
import { jsonList } from '../db/json-list.ts'
import { datanets } from '../db/schema.ts'
import { adapters, bases } from '../db/schema-models.ts'
import { paymentFlows, type Flow, type PaymentFilter } from './settled.ts'

/** Record and adapter flows that a graph is made of, at most. */
const MAX_FLOWS = 500

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
  const names = await namesOf(ctx, flows)
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
    const { contributor, record, datanet } = flow
    const data =
      level === 'records'
        ? pass({ id: record, kind: 'record', name: record }, flow)
        : pass({ id: contributor, kind: 'contributor', name: contributor }, flow)
    const named = (id: string) => ({ id, name: names.get(id) ?? id })
    const model = pass({ ...named(flow.model), kind: 'model' }, flow)
    if (datanet) join(pass({ ...named(datanet), kind: 'datanet' }, flow), data, flow)
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

/** Names by id: of Datanets, and of models by their digests. */
async function namesOf(
  { db }: Pick<Ctx, 'db'>,
  flows: readonly Flow[],
): Promise<Map<string, string>> {
  const [nets, tuned, bare] = await db.batch([
    db
      .select({ id: datanets.id, name: datanets.name })
      .from(datanets)
      .where(inArray(datanets.id, jsonList(flows.flatMap(({ datanet }) => datanet ?? [])))),
    db
      .select({ id: adapters.digest, name: adapters.name })
      .from(adapters)
      .where(inArray(adapters.digest, jsonList(flows.map(({ model }) => model)))),
    db
      .select({ id: bases.digest, name: bases.name })
      .from(bases)
      .where(inArray(bases.digest, jsonList(flows.map(({ model }) => model)))),
  ])
  return new Map([...nets, ...tuned, ...bare].map(({ id, name }) => [id, name]))
}
