// Stacks the adapters that are active in a batch, for programs that serve rows with different adapters
// (`programs/packed-adapters.ts`). Rebuilt only when the active set changes; the mask follows every batch.
import { loraA, loraB, loraRank, loraScale } from './models/lora.ts'
import type { LoraConfig } from './models/lora.ts'
import type { LlamaConfig } from './models/config.ts'
import { LINEAR_LAYERS, modulesOf } from './models/parameters.ts'
import type { LinearLayer, Module } from './models/parameters.ts'
import { moduleGroups } from './programs/packed-adapters.ts'
import type { Feed, Feeds } from './session.ts'
import { requireTensor } from './tensor.ts'
import type { TensorMap } from './tensor.ts'

/** An adapter in the engine's layout: A [r, in], B [r, out]. */
export type Adapter = { readonly lora: LoraConfig; readonly tensors: TensorMap }

export type AdapterPack = {
  /** Sum of the adapters' largest ranks, at least 1. */
  readonly rank: number
  /** The stacked A of every group of modules and the stacked B, scaled by alpha / r, of every module. */
  readonly feeds: Feeds
  /** The mask [B, R] of a batch whose rows use these adapters, by position in the pack; null is the bare model. */
  readonly mask: (rows: readonly (number | null)[]) => Feed
}

/**
 * Stacks adapters of any ranks for programs compiled with `targets`. Throws an Error when an adapter changes a layer
 * outside them: ignoring it would answer with a different model.
 */
export function packAdapters(
  config: LlamaConfig,
  adapters: readonly Adapter[],
  targets: readonly LinearLayer[] = LINEAR_LAYERS,
): AdapterPack {
  const foreign = adapters
    .flatMap(({ lora }) => lora.targets)
    .find((name) => !targets.includes(name))
  if (foreign) throw new Error(`an adapter changes ${foreign}, which the program does not adapt`)
  // An adapter's columns are as many as its widest module needs; narrower ones are padded with zeros.
  const widths = adapters.map(({ lora }) =>
    Math.max(...modulesOf(config, lora.targets).map(({ name }) => loraRank(lora, name))),
  )
  const starts = widths.map((_, i) => widths.slice(0, i).reduce((sum, width) => sum + width, 0))
  const total = widths.reduce((sum, width) => sum + width, 0)
  const rank = Math.max(1, total) // the runtime's products need a non-empty inner dimension

  /** One module's factor of every adapter, one below the other, into rows [from, from + rank) of `into`. */
  const stack = (into: Feed, from: number, { name, linear }: Module, factor: 'A' | 'B'): void => {
    const width = into.dims[1] ?? 0
    adapters.forEach(({ lora, tensors }, i) => {
      if (!lora.targets.includes(linear)) return
      const start = (from + (starts[i] ?? 0)) * width
      const { data } = requireTensor(tensors, factor === 'A' ? loraA(name) : loraB(name))
      if (factor === 'A') return into.data.set(data, start)
      const scale = loraScale(lora, name)
      for (let j = 0; j < data.length; j++) into.data[start + j] = scale * (data[j] ?? 0)
    })
  }
  const feeds: Record<string, Feed> = {}
  for (const { a, inDim, modules } of moduleGroups(config, targets)) {
    const stackedA = (feeds[a] = empty(modules.length * rank, inDim))
    modules.forEach((module, position) => {
      stack(stackedA, position * rank, module, 'A')
      stack((feeds[loraB(module.name)] = empty(rank, module.outDim)), 0, module, 'B')
    })
  }

  return {
    rank,
    feeds,
    mask: (rows) => {
      const data = new Float32Array(rows.length * rank)
      rows.forEach((index, row) => {
        if (index === null) return
        const width = widths[index]
        const start = starts[index]
        if (!width || start === undefined) throw new Error(`the pack has no adapter ${index}`)
        data.fill(1, row * rank + start, row * rank + start + width)
      })
      return { dims: [rows.length, rank], data }
    },
  }
}

const empty = (rows: number, width: number): Feed => ({
  dims: [rows, width],
  data: new Float32Array(rows * width),
})
