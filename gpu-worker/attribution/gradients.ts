/** Per-example gradients of an adapter, a bounded number at a time: what the features of the influence index are made of. */
import { padBatch, type Sequence } from '#engine/batch.ts'
import type { Adapter } from '#engine/adapter-pack.ts'
import { placeOf } from '#engine/programs/base.ts'
import {
  gradientSize,
  influenceBlocks,
  influenceProgram,
  type Block,
} from '#engine/programs/influence.ts'
import { inFormat, type FormattedModel, type WeightFormat } from '#engine/quant.ts'
import { openSession, type SessionOptions } from '#engine/session.ts'
import { requireTensor, type TensorMap } from '#engine/tensor.ts'
import { sequencesPerRun } from '#protocol/training.ts'

export type GradientOptions = {
  base: FormattedModel
  /** How the base's matrices are held; as they are given when absent. */
  format?: WeightFormat | undefined
  /** An adapter of the shape whose gradients are wanted; `gradients` takes any of that shape. */
  lora: Adapter['lora']
  session: SessionOptions
}

export type GradientSource = {
  blocks: readonly Block[]
  /** Numbers per gradient. */
  size: number
  /** Tokens that the base reads at once. */
  context: number
  /** How many sequences of a length in tokens are read at once. */
  capacity: (length: number) => number
  /**
   * The gradient of each sequence's own mean loss, [sequences, size]; every sequence must have a target. Blocks the
   * thread while it computes: ask for one of `runsByLength` at a time. Throws a RangeError on a sequence that is longer
   * than the base's context.
   */
  gradients: (adapter: TensorMap, sequences: readonly Sequence[]) => Promise<Float32Array>
  release: () => Promise<void>
}

/** Hears of the share of the work done so far; what it throws ends the work. */
export type OnProgress = (done: number) => void | Promise<void>

/** Opens the influence program for adapters of one shape. */
export async function openGradients(options: GradientOptions): Promise<GradientSource> {
  const { base, lora, format = base.format } = options
  const { config } = base
  const blocks = influenceBlocks(config, lora)
  const size = gradientSize(blocks)
  const session = await openSession(
    influenceProgram(config, { lora, format, place: placeOf(options.session) }),
    inFormat(base, format),
    options.session,
  )
  return {
    blocks,
    size,
    context: config.positions,
    capacity: (length) => sequencesPerRun(config, length, size),
    gradients: async (adapter, sequences) => {
      const longest = sequences.reduce((n, { tokens }) => Math.max(n, tokens.length), 0)
      if (longest > config.positions)
        throw new RangeError(`${longest} tokens are more than the base's ${config.positions}`)
      const { feeds } = padBatch(sequences, 'per-sequence')
      const outputs = await session.run({ ...feeds, ...Object.fromEntries(adapter) })
      return requireTensor(outputs, 'gradients').data
    },
    release: session.release,
  }
}

/** Groups indices of sequences of like length into runs of bounded size, the longest first. Deterministic. */
export function runsByLength(
  sequences: readonly Sequence[],
  { capacity }: Pick<GradientSource, 'capacity'>,
): number[][] {
  const order = sequences
    .map(({ tokens }, index) => ({ index, length: tokens.length }))
    .toSorted((a, b) => b.length - a.length)
  const runs: number[][] = []
  let room = 0
  for (const { index, length } of order) {
    const current = runs.at(-1)
    if (current && current.length < room) {
      current.push(index)
    } else {
      runs.push([index])
      room = capacity(length)
    }
  }
  return runs
}
