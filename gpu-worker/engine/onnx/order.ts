// The order of a model's nodes, which is the order in which ONNX Runtime computes them.
import type { NodeProto } from './proto.ts'

/** The nodes that the outputs follow from, in the same order. */
export function needed(
  nodes: readonly NodeProto[],
  outputs: readonly { readonly name: string }[],
): readonly NodeProto[] {
  const read = new Set(outputs.map(({ name }) => name))
  return nodes
    .toReversed()
    .filter((node) => {
      const isRead = node.outputs.some((output) => read.has(output))
      if (isRead) for (const input of node.inputs) read.add(input)
      return isRead
    })
    .toReversed()
}

/**
 * The same nodes with those that nothing reads, the outputs, at the end and last first. ONNX Runtime executes depth first
 * from the last such node on (`Graph::ReverseDFSFrom` with nodes by index): in this order it computes every gradient as
 * soon as it can be, and frees what only that gradient needed.
 */
export function orderedByNeed(nodes: readonly NodeProto[]): readonly NodeProto[] {
  const read = new Set(nodes.flatMap((node) => node.inputs))
  const isRead = (node: NodeProto): boolean => node.outputs.some((output) => read.has(output))
  return [...nodes.filter(isRead), ...nodes.filter((node) => !isRead(node)).toReversed()]
}
