/**
 * Choosing the damping of an index without retraining: two halves of one held-out text say the same, so their vectors should
 * meet, and those of different texts should not. Too little damping lets noise decide, too much lets what all texts
 * share decide; either blurs the difference.
 */
import type { Sequence } from '#engine/batch.ts'
import { dot } from './dots.ts'

/** Dampings tried, relative to the mean eigenvalue of the records' second moment over the landmarks' span. */
export const DAMPINGS = [1, 3, 10, 30] as const
/** Taken where too little is held out to choose: what retraining favours on both datasets of docs/attribution.md. */
export const DEFAULT_DAMPING = 10
/** Texts below which the choice would be noise. */
export const LEAST_PROBES = 16

/** A sequence twice: with the first half of its targets, and with the second. Null when it has fewer than two. */
export function halves({ tokens, targets }: Sequence): [Sequence, Sequence] | null {
  const trained = Array.from({ length: tokens.length }, (_, i) => i).filter(
    (i) => i > 0 && (!targets || targets[i]),
  )
  if (trained.length < 2) return null
  const middle = trained[Math.floor(trained.length / 2)] as number
  const only = (isWanted: (i: number) => boolean): Sequence => {
    const wanted = new Set(trained.filter(isWanted))
    return { tokens, targets: Uint8Array.from(tokens, (_, i) => Number(wanted.has(i))) }
  }
  return [only((i) => i < middle), only((i) => i >= middle)]
}

/**
 * How far the cosine of a text's own halves lies above those with other texts' halves, in standard deviations of the
 * latter, averaged over texts.
 */
export function separation(pairs: readonly (readonly [Float64Array, Float64Array])[]): number {
  const units = pairs.map(([a, b]) => [unit(a), unit(b)] as const)
  let sum = 0
  for (const [i, [mine]] of units.entries()) {
    const own = dot(mine, (units[i] as (typeof units)[number])[1])
    const others = units.filter((_, j) => j !== i).map(([, theirs]) => dot(mine, theirs))
    const mean = others.reduce((a, b) => a + b, 0) / others.length
    const variance = others.reduce((n, x) => n + (x - mean) ** 2, 0) / (others.length - 1)
    sum += variance > 0 ? (own - mean) / Math.sqrt(variance) : 0
  }
  return sum / pairs.length
}

function unit(z: Float64Array): Float64Array {
  const norm = Math.sqrt(dot(z, z))
  return norm > 0 ? z.map((x) => x / norm) : z
}
