// Many adapters in one batch: all active adapters are stacked along the rank axis and a mask selects a row's own,
//
//   y = x Wᵀ + ((x Aᵀ) mask) B        A [R, in], B [R, out] with R the sum of the ranks, mask [B, R] of zeros and ones
//
// Layers that read the same activations (q, k and v; gate and up) share one product with their A stacked on top of each
// other: at one row per step a program costs what its number of nodes costs.
import type { Tape } from '../autodiff/tape.ts'
import { linear } from '../autodiff/ops.ts'
import type { LlamaConfig } from '../models/config.ts'
import type { LlamaParts } from '../models/llama.ts'
import { loraA, loraB } from '../models/lora.ts'
import { SAME_INPUT, modulesOf } from '../models/parameters.ts'
import type { LinearLayer, Module } from '../models/parameters.ts'
import { dimSum } from '../onnx/dims.ts'
import type { Dim } from '../onnx/dims.ts'
import type { Value } from '../onnx/graph.ts'
import { withoutAdapter } from './sequence.ts'

/** Modules of one block that read the same activations. Their A is one input [modules * R, in]. */
export type ModuleGroup = {
  readonly a: string // the name of the stacked A
  readonly inDim: number
  readonly modules: readonly Module[]
}

/** The adapted modules, grouped by the activations they read. */
export function moduleGroups(
  config: LlamaConfig,
  targets: readonly LinearLayer[],
): readonly ModuleGroup[] {
  const modules = modulesOf(config, targets)
  return Array.from({ length: config.layers }, (_, layer) =>
    SAME_INPUT.flatMap((kinds): ModuleGroup[] => {
      const members = modules.filter((one) => one.layer === layer && kinds.includes(one.linear))
      const [first] = members
      if (!first) return []
      const a = loraA(members.map(({ name }) => name).join('+'))
      return [{ a, inDim: first.inDim, modules: members }]
    }),
  ).flat()
}

/** `size` stacked ranks as one dimension. */
const stackedRank = (size: number): Dim => dimSum(Array.from({ length: size }, () => 'R'))

/** Declares the mask [B, R], the stacked A per group and B [R, out] per module, and adds them to the layers. */
export function packedAdapters(
  tape: Tape,
  config: LlamaConfig,
  targets: readonly LinearLayer[],
  time: Dim,
): LlamaParts['adapt'] {
  if (targets.length === 0) return withoutAdapter
  const g = tape.graph
  const mask = perToken(tape, g.input('mask', 'float32', ['B', 'R']), time)
  const masks = new Map<number, Value>() // by the number of modules side by side
  const rankBound = (times: number): Value => g.mul(g.sizeOf('R'), g.int64([times]))

  const groupOf = new Map(
    moduleGroups(config, targets).flatMap((group) => {
      const size = group.modules.length
      const a = g.input(group.a, 'float32', [stackedRank(size), group.inDim])
      return group.modules.map(({ name, outDim }, position) => {
        const b = g.input(loraB(name), 'float32', ['R', outDim])
        return [name, { size, position, a, b }] as const
      })
    }),
  )
  const selected = new Map<string, Value>() // (x Aᵀ) mask by the stacked A

  return (module, x, base) => {
    const group = groupOf.get(module)
    if (!group) return base
    const { size, position, a, b } = group
    const wide = masks.get(size) ?? g.tile(mask, 1, size)
    masks.set(size, wide)
    const u = selected.get(a.name) ?? g.mul(linear(tape, x, a), wide) // [B*T, size * R]
    selected.set(a.name, u)
    const own = size === 1 ? u : g.slice(u, 1, rankBound(position), rankBound(position + 1), 'R')
    return linear(tape, own, b, { layout: 'in,out', plus: base })
  }
}

/** mask [B, R] for every token: [B*T, R]. */
function perToken({ graph: g }: Tape, mask: Value, time: Dim): Value {
  if (time === 1) return mask
  const row = g.reshape(mask, ['B', 1, 'R'])
  return g.reshape(g.add(g.zeros(['B', time, 'R']), row), [`B*${time}`, 'R'])
}
