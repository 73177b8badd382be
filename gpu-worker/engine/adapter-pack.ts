// Stacks the adapters that are active in a batch along the rank axis, so that one program serves rows with different
// adapters: y = x Wᵀ + ((x Aᵀ) mask) B. Rebuilt only when the active set changes; the mask follows every batch.
import { loraA, loraB, loraScale } from './models/lora.ts'
import type { LoraConfig } from './models/lora.ts'
import type { LlamaConfig } from './models/config.ts'
import { LINEAR_LAYERS, modulesOf } from './models/parameters.ts'
import type { LinearLayer } from './models/parameters.ts'
import type { Feed, Feeds } from './session.ts'
import { requireTensor } from './tensor.ts'
import type { TensorMap } from './tensor.ts'

/** An adapter in the engine's layout: A [r, in], B [r, out]. */
export type Adapter = { readonly lora: LoraConfig; readonly tensors: TensorMap }

export type AdapterPack = {
  /** Sum of the ranks, at least 1. */
  readonly rank: number
  /** The stacked A and B of every module. */
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
  const starts: number[] = []
  let total = 0
  for (const { lora } of adapters) {
    starts.push(total)
    total += lora.rank
  }
  const rank = Math.max(1, total) // the runtime's products need a non-empty inner dimension

  const stack = (tensorName: string, target: LinearLayer, width: number): Feed => {
    const data = new Float32Array(rank * width)
    adapters.forEach(({ lora, tensors }, i) => {
      if (!lora.targets.includes(target)) return
      data.set(requireTensor(tensors, tensorName).data, (starts[i] ?? 0) * width)
    })
    return { dims: [rank, width], data }
  }

  return {
    rank,
    feeds: Object.fromEntries(
      modulesOf(config, targets).flatMap(({ name, linear, inDim, outDim }): [string, Feed][] => [
        [loraA(name), stack(loraA(name), linear, inDim)],
        [loraB(name), stack(loraB(name), linear, outDim)],
      ]),
    ),
    mask: (rows) => {
      const data = new Float32Array(rows.length * rank)
      rows.forEach((index, row) => {
        if (index === null) return
        const lora = adapters[index]?.lora
        const start = starts[index]
        if (!lora || start === undefined) throw new Error(`the pack has no adapter ${index}`)
        data.fill(loraScale(lora), row * rank + start, row * rank + start + lora.rank)
      })
      return { dims: [rows.length, rank], data }
    },
  }
}
