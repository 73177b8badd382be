/** How much a fine-tuning job trains, from counts alone: what the worker does and what the edge estimates are the same. */
import type { LoraMethod } from './wire.ts'

/** Clusters that are held out of so many: at least one when the fraction is positive and two or more exist. */
export function heldOutCount(clusters: number, fraction: number): number {
  if (fraction === 0 || clusters < 2) return 0
  return Math.min(clusters - 1, Math.max(1, Math.round(clusters * fraction)))
}

/** Optimizer steps over so many examples; fractions of an epoch are rounded to steps. */
export function countSteps(
  examples: number,
  {
    epochs,
    batchSize,
    gradientAccumulation = 1,
  }: Pick<LoraMethod, 'epochs' | 'batchSize' | 'gradientAccumulation'>,
): { stepsPerEpoch: number; totalSteps: number } {
  const stepsPerEpoch = Math.ceil(Math.ceil(examples / batchSize) / gradientAccumulation)
  return { stepsPerEpoch, totalSteps: Math.max(1, Math.round(stepsPerEpoch * epochs)) }
}
