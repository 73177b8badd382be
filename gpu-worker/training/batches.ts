/** Which examples make up which step. A step's batch follows from (seed, step) alone, so a resumed job repeats nothing. */
import { packBatch, type Batch } from '#engine/batch.ts'
import { randomSource } from '#engine/random.ts'
import { countSteps } from '#protocol/training.ts'
import type { LoraMethod } from '#protocol/wire.ts'
import type { Example } from './examples.ts'

export type BatchPlan = {
  totalSteps: number
  stepsPerEpoch: number
  /** The batches of a step, one unless gradients are accumulated; the examples of a batch, longest first. */
  batchesOf: (step: number) => Example[][]
}

/** How many neighbours, in steps, are sorted by length before they are cut into batches. */
const BUCKET_STEPS = 8
/** Rows are a multiple of this long, so that few shapes occur. */
const LENGTH_STEP = 16

/**
 * Plans `epochs` passes (fractions allowed) over the examples. A step takes `gradientAccumulation` batches of `batchSize`;
 * the last of an epoch takes what is left.
 */
export function planBatches(
  examples: readonly Example[],
  {
    epochs,
    batchSize,
    gradientAccumulation,
    seed,
  }: Pick<LoraMethod, 'epochs' | 'batchSize' | 'gradientAccumulation' | 'seed'>,
): BatchPlan {
  const { stepsPerEpoch, totalSteps } = countSteps(examples.length, {
    epochs,
    batchSize,
    gradientAccumulation,
  })
  let cached = { epoch: -1, batches: [] as Example[][] }
  return {
    totalSteps,
    stepsPerEpoch,
    batchesOf: (step) => {
      const epoch = Math.floor(step / stepsPerEpoch)
      if (cached.epoch !== epoch)
        cached = { epoch, batches: epochBatches(examples, batchSize, seed, epoch) }
      const first = (step % stepsPerEpoch) * gradientAccumulation
      return cached.batches.slice(first, first + gradientAccumulation)
    },
  }
}

/**
 * Shuffles, then sorts by length within buckets of a few steps, so that a batch holds examples of like length, and
 * shuffles the batches.
 */
function epochBatches(
  examples: readonly Example[],
  batchSize: number,
  seed: number,
  epoch: number,
): Example[][] {
  const random = randomSource(Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) + epoch)
  const shuffled = shuffle([...examples], random)
  const batches: Example[][] = []
  for (let at = 0; at < shuffled.length; at += batchSize * BUCKET_STEPS) {
    const bucket = shuffled
      .slice(at, at + batchSize * BUCKET_STEPS)
      .toSorted((a, b) => b.tokens.length - a.tokens.length)
    for (let i = 0; i < bucket.length; i += batchSize) batches.push(bucket.slice(i, i + batchSize))
  }
  return shuffle(batches, random)
}

/** Fisher and Yates, in place. */
function shuffle<T>(items: T[], random: () => number): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[items[i], items[j]] = [items[j] as T, items[i] as T]
  }
  return items
}

/** Packs examples into rows as long as the longest of them. */
export function toBatch(examples: readonly Example[]): Batch {
  const longest = examples.reduce((n, { tokens }) => Math.max(n, tokens.length), 1)
  return packBatch(examples, Math.ceil(longest / LENGTH_STEP) * LENGTH_STEP)
}
