// A program is a compiled ONNX graph with its interface. Its bytes follow from (config, options) alone, so `key`
// identifies it in any cache; parameters are attached when a session opens and never change the key.
import { createHash } from 'node:crypto'
import type { Graph } from '../onnx/graph.ts'
import type { ValueProto } from '../onnx/proto.ts'

/** Raise when the emitted graphs change: it is part of every program's key. */
const COMPILER_VERSION = 6

export type ProgramName = 'train' | 'evaluate' | 'influence' | 'embed' | 'prefill' | 'decode'

export type Program = {
  readonly name: ProgramName
  readonly key: string // sha256, hex
  readonly inputs: readonly ValueProto[]
  readonly outputs: readonly ValueProto[]
  readonly parameters: ReadonlyMap<string, readonly number[]> // given when the session opens
  readonly held: ReadonlySet<string> // those of them that the runtime reads in place; it copies the others
  readonly model: Uint8Array
}

/** Seals a graph as a program. `options` must hold everything, besides the config, that shaped the graph. */
export function sealProgram(
  name: ProgramName,
  graph: Graph,
  config: object,
  options: object,
): Program {
  const { attached, inPlace } = graph.initializers
  const identity = JSON.stringify([COMPILER_VERSION, name, sorted(config), sorted(options)])
  return {
    name,
    key: createHash('sha256').update(identity).digest('hex'),
    inputs: graph.inputs,
    outputs: graph.outputs,
    parameters: new Map([...attached, ...inPlace].map((weight) => [weight.name, weight.dims])),
    held: new Set(inPlace.map((weight) => weight.name)),
    model: graph.encode(),
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]))
}
