// Many adapters in one batch. Every row has a slot with its own adapter, or all rows share one:
//
//   y[s] = x[s] Wᵀ + (x[s] A[s]ᵀ) B[s]        x [S, P, in], A [S, R, in], B [S, R, out]
//
// with S slots of P tokens each and R the largest rank. A row reads its own slot and nothing else, so its answer does not
// depend on its neighbours', and a step reads every adapter once. Stacking all ranks under a mask, (x Aᵀ ∘ mask) B, needs
// one product per layer instead of one per slot, but S times the arithmetic: the kernels of a step with 16 rows and 16
// adapters of rank 8 on the embedded base took 7.2 ms that way and take 6.0 this way (one thread of an AMD EPYC).
//
// Layers that read the same activations (q, k and v; gate and up) share one product with their A on top of each other.
import type { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import type { LlamaParts } from '../models/llama.ts'
import { loraA, loraB } from '../models/lora.ts'
import { SAME_INPUT, modulesOf } from '../models/parameters.ts'
import type { LinearLayer, Module } from '../models/parameters.ts'
import { dimProduct } from '../onnx/dims.ts'
import type { Value } from '../onnx/graph.ts'
import { withoutAdapter } from './sequence.ts'

/** Modules of one block that read the same activations. Their A is one input [S, modules * R, in]. */
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

/** Declares the stacked A per group and B [S, R, out] per module, and adds them to the layers. */
export function packedAdapters(
  { graph: g }: Tape,
  config: LlamaConfig,
  targets: readonly LinearLayer[],
): LlamaParts['adapt'] {
  if (targets.length === 0) return withoutAdapter
  const groupOf = new Map(
    moduleGroups(config, targets).flatMap(({ a: name, inDim, modules }) => {
      const a = g.input(name, 'float32', ['S', dimProduct(modules.length, 'R'), inDim])
      return modules.map((module, position) => {
        const b = g.input(loraB(module.name), 'float32', ['S', 'R', module.outDim])
        return [module.name, { a, b, inDim, position, size: modules.length }] as const
      })
    }),
  )
  const projected = new Map<string, readonly Value[]>() // x Aᵀ per module of the group, by the stacked A

  return (module, x, base) => {
    const group = groupOf.get(module)
    if (!group) return base
    const { a, b, inDim, position, size } = group
    const project = (): readonly Value[] => {
      const bySlot = g.reshape(x, ['S', 'P', inDim])
      return g.split(g.matMul(bySlot, g.matrixTranspose(a)), 2, size, 'R') // [S, P, R] each
    }
    const ranks = projected.get(a.name) ?? project()
    projected.set(a.name, ranks)
    const own = ranks[position]
    if (!own) throw new Error(`${module} is not in its group`)
    return g.add(base, g.reshape(g.matMul(own, b), base.dims))
  }
}
