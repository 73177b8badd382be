/** Projected per-example gradients of an adapter: what the influence index and its queries are made of. */
import { padBatch, type Sequence } from '#engine/batch.ts'
import type { Adapter } from '#engine/adapter-pack.ts'
import type { LlamaConfig } from '#engine/models/config.ts'
import {
  influenceBlocks,
  influenceDims,
  influenceProgram,
  type Block,
} from '#engine/programs/influence.ts'
import { rademacherProjection } from '#engine/random.ts'
import type { WeightFormat } from '#engine/quant.ts'
import { openSession, type Feeds, type SessionOptions } from '#engine/session.ts'
import {
  requireTensor,
  type HostTensor,
  type ParameterMap,
  type TensorMap,
} from '#engine/tensor.ts'
import type { Hex } from '#protocol/bytes.ts'

export type GradientOptions = {
  config: LlamaConfig
  /** The base's, in `format`. */
  parameters: ParameterMap
  /** How the base's matrices are held; float32 when absent. */
  format?: WeightFormat | undefined
  /** An adapter of the shape whose gradients are wanted; `gradients` takes any of that shape. */
  lora: Adapter['lora']
  /** Columns kept of every gradient matrix. */
  projected: number
  session: SessionOptions
}

export type GradientSource = {
  blocks: readonly Block[]
  /** Numbers per gradient. */
  dims: number
  /**
   * The gradient of each sequence's own mean loss, in the order given; every sequence must have a target. Blocks
   * the thread while it computes, one batch at a time.
   */
  gradients: (
    adapter: Projected,
    sequences: readonly Sequence[],
    onBatch?: (done: number) => void | Promise<void>,
  ) => Promise<Float32Array[]>
  release: () => Promise<void>
}

/** An adapter's tensors with the projections that belong to it. */
export type Projected = { tensors: TensorMap; projections: TensorMap }

/** Padded tokens per run: enough to keep the cores busy, few enough to bound memory. */
const TOKENS_PER_RUN = 1024

/** Opens the influence program for adapters of one shape. */
export async function openGradients(options: GradientOptions): Promise<GradientSource> {
  const { config, parameters, lora, projected, format } = options
  const blocks = influenceBlocks(config, { lora, projected })
  const dims = influenceDims(blocks)
  const session = await openSession(
    influenceProgram(config, { lora, projected, ...(format && { format }) }),
    parameters,
    options.session,
  )
  return {
    blocks,
    dims,
    gradients: async ({ tensors, projections }, sequences, onBatch) => {
      const fixed: Feeds = { ...Object.fromEntries(tensors), ...Object.fromEntries(projections) }
      const result = new Array<Float32Array>(sequences.length)
      let done = 0
      for (const indices of runsByLength(sequences)) {
        const batch = padBatch(
          indices.map((i) => sequences[i] as Sequence),
          'per-sequence',
        )
        const { data } = requireTensor(await session.run({ ...batch.feeds, ...fixed }), 'blocks')
        indices.forEach((i, row) => (result[i] = data.slice(row * dims, (row + 1) * dims)))
        done += indices.length
        await onBatch?.(done)
      }
      return result
    },
    release: session.release,
  }
}

/** The projections of an adapter, fixed by its digest: everybody derives the same ones. */
export function projectionsOf(blocks: readonly Block[], adapterDigest: Hex): TensorMap {
  return new Map(
    blocks.flatMap(({ module, factor, projection }): [string, HostTensor][] => {
      if (!projection) return []
      const side = factor === 'A' ? 'in' : 'out'
      const seed = `${adapterDigest}|${module}|${side}`
      return [[projection.name, rademacherProjection(seed, ...projection.dims)]]
    }),
  )
}

/** Groups indices of sequences of like length into runs of bounded size. */
function runsByLength(sequences: readonly Sequence[]): number[][] {
  const order = sequences
    .map(({ tokens }, index) => ({ index, length: tokens.length }))
    .toSorted((a, b) => b.length - a.length)
  const runs: number[][] = []
  let capacity = 0
  for (const { index, length } of order) {
    const current = runs.at(-1)
    if (current && current.length < capacity) {
      current.push(index)
    } else {
      runs.push([index])
      capacity = Math.max(1, Math.floor(TOKENS_PER_RUN / length))
    }
  }
  return runs
}
