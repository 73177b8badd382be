/**
 * Features: a gradient in FEATURE_DIMS numbers whose dot products are influence. Every block (one factor of one module) is
 *
 *   1. whitened where it matters: with C the mean of g gᵀ over records and λ a multiple of its mean eigenvalue, the few
 *      largest eigenvectors v of C are shrunk by sqrt(λ / (σ + λ)), as (C + λI)^-1/2 does; on the others, whose σ is
 *      small beside λ, that inverse root is the same for all. Influence is by blocks: what all records share in one
 *      block must not drown what few share in another.
 *   2. divided by its root mean square.
 *
 * Then a count sketch (Charikar et al. 2002) adds every number, with a random sign, to one random place: dot products keep
 * their value within 1/sqrt(FEATURE_DIMS). Several snapshots of the adapter have sketches of their own, whose sum
 * sketches the mean over snapshots. Each step's worth against retraining is in docs/attribution.md.
 */
import { hash } from 'node:crypto'
import type { Sequence } from '#engine/batch.ts'
import { gradientSize, type Block } from '#engine/programs/influence.ts'
import { areWithin, type TensorMap } from '#engine/tensor.ts'
import type { Hex } from '#protocol/bytes.ts'
import { topEigenvectors } from './eigenvectors.ts'
import { runsByLength, type GradientSource } from './gradients.ts'

/** A power of two; a landmark takes as many bytes. */
export const FEATURE_DIMS = 32_768
const PLACE = FEATURE_DIMS - 1
/** Eigenvectors shrunk in every block; fewer for adapters so large that these would not fit a file. */
const DIRECTIONS = 4
const MOST_DIRECTION_NUMBERS = 2 ** 24
/** λ relative to the mean eigenvalue of C over as many dimensions as there are records in the sample. */
const BLOCK_DAMPING = 3

/** What features follow from besides the sequence. */
export type FeatureMap = {
  /** Seeds the sketches. */
  adapter: Hex
  /** The adapter at some points of its training. */
  snapshots: readonly TensorMap[]
  /** What the blocks are multiplied by, [blocks] per snapshot. */
  scales: readonly Float32Array[]
  /** Eigenvectors times the root of what is taken off along them, [directions, size] per snapshot. */
  directions: readonly Float32Array[]
}

/** How many eigenvectors there are per block of gradients of this size. */
export const directionsFor = (size: number): number =>
  Math.min(DIRECTIONS, Math.floor(MOST_DIRECTION_NUMBERS / Math.max(1, size)))

/** Records that the blocks are fitted to, at most, and the numbers of their gradients: 256 MiB. */
const SAMPLE = 256
const SAMPLE_NUMBERS = 2 ** 26

/** Fits scales and directions to evenly spaced sequences. */
export async function fitFeatures(
  source: GradientSource,
  { adapter, snapshots }: Pick<FeatureMap, 'adapter' | 'snapshots'>,
  sequences: readonly Sequence[],
): Promise<FeatureMap> {
  const most = Math.max(1, Math.min(SAMPLE, Math.floor(SAMPLE_NUMBERS / source.size)))
  const step = Math.max(1, Math.ceil(sequences.length / most))
  const sample = sequences.filter((_, i) => i % step === 0)
  const fitted: { scales: Float32Array; directions: Float32Array }[] = []
  for (const snapshot of snapshots) fitted.push(await fitBlocks(source, snapshot, sample))
  return {
    adapter,
    snapshots,
    scales: fitted.map(({ scales }) => scales),
    directions: fitted.map(({ directions }) => directions),
  }
}

async function fitBlocks(
  source: GradientSource,
  snapshot: TensorMap,
  sample: readonly Sequence[],
): Promise<{ scales: Float32Array; directions: Float32Array }> {
  const { blocks, size } = source
  const gradients: Float32Array[] = []
  for (const run of runsByLength(sample, size)) {
    const part = run.map((i) => sample[i] as Sequence)
    const flat = await source.gradients(snapshot, part)
    const rows = part.map((_, row) => flat.subarray(row * size, (row + 1) * size))
    gradients.push(...rows.filter((row) => areWithin(row)))
  }
  const count = directionsFor(size)
  const directions = new Float32Array(count * size)
  const scales = Float32Array.from(blocks, ({ offset, rows, columns }) => {
    const length = rows * columns
    const own = gradients.map((gradient) => gradient.subarray(offset, offset + length))
    const { vectors, meanSquare } = largestDirections(own, count)
    vectors.forEach((vector, k) => directions.set(vector, k * size + offset))
    return meanSquare > 0 ? Math.sqrt(length / meanSquare) : 0
  })
  return { scales, directions }
}

/**
 * The eigenvectors of largest eigenvalue of the rows' second moment, each times the root of 1 - sqrt(λ / (σ + λ)), and
 * the rows' mean squared norm.
 */
function largestDirections(
  rows: readonly Float32Array[],
  count: number,
): { vectors: Float32Array[]; meanSquare: number } {
  const gram = rows.map(() => new Float64Array(rows.length))
  rows.forEach((a, i) => {
    for (let j = 0; j <= i; j++) {
      const value = dot(a, rows[j] as Float32Array)
      ;(gram[i] as Float64Array)[j] = value
      ;(gram[j] as Float64Array)[i] = value
    }
  })
  const trace = gram.reduce((sum, row, i) => sum + (row[i] as number), 0)
  const lambda = (BLOCK_DAMPING * trace) / Math.max(1, rows.length)
  const vectors = topEigenvectors(gram, count).flatMap(({ value, vector }) => {
    if (value <= trace * LEAST_EIGENVALUE) return []
    const root = Math.sqrt((1 - Math.sqrt(lambda / (value + lambda))) / value)
    const direction = new Float32Array(rows[0]?.length ?? 0)
    rows.forEach((row, i) => {
      const weight = root * (vector[i] as number)
      for (let j = 0; j < direction.length; j++)
        direction[j] = (direction[j] as number) + weight * (row[j] as number)
    })
    return [direction]
  })
  return { vectors, meanSquare: trace / Math.max(1, rows.length) }
}

/** Relative to the trace; below it a direction is noise of the arithmetic. */
const LEAST_EIGENVALUE = 1e-9

/** Makes features; the sketches are drawn once. */
export function openFeatures(
  blocks: readonly Block[],
  { adapter, snapshots, scales, directions }: FeatureMap,
) {
  const size = gradientSize(blocks)
  const sketches = snapshots.map((_, i) => drawSketch(`${adapter}|${i}`, size))
  return {
    /** The features of each sequence, [FEATURE_DIMS]; not finite where the gradient is not. */
    of: async (source: GradientSource, sequences: readonly Sequence[]): Promise<Float64Array[]> => {
      const features = sequences.map(() => new Float64Array(FEATURE_DIMS))
      for (const [i, snapshot] of snapshots.entries()) {
        const gradients = await source.gradients(snapshot, sequences)
        features.forEach((into, row) =>
          addSketch(into, gradients.subarray(row * size, (row + 1) * size), {
            blocks,
            scales: scales[i] as Float32Array,
            directions: directions[i] as Float32Array,
            sketch: sketches[i] as Int16Array,
          }),
        )
      }
      return features
    },
  }
}

export type Features = ReturnType<typeof openFeatures>

/** Place and sign of every number: bits 0-14 and the sign of the 16-bit words of sha256("seed|block"), little-endian. */
export function drawSketch(seed: string, size: number): Int16Array {
  const sketch = new Int16Array(size)
  for (let start = 0; start < size; start += 16) {
    const digest = hash('sha256', `${seed}|${start / 16}`, 'buffer')
    for (let i = 0; i < 16 && start + i < size; i++) sketch[start + i] = digest.readInt16LE(2 * i)
  }
  return sketch
}

type Fitted = {
  blocks: readonly Block[]
  scales: Float32Array
  directions: Float32Array
  sketch: Int16Array
}

/** Adds the sketch of a gradient, which is changed. */
function addSketch(
  into: Float64Array,
  gradient: Float32Array,
  { blocks, scales, directions, sketch }: Fitted,
): void {
  blocks.forEach(({ offset, rows, columns }, b) => {
    const end = offset + rows * columns
    const block = gradient.subarray(offset, end)
    const before = block.slice()
    for (let at = offset; at < directions.length; at += gradient.length)
      takeOff(block, directions.subarray(at, at + block.length), before)
    const scale = scales[b] as number
    for (let i = offset; i < end; i++) {
      const word = sketch[i] as number
      const value = scale * (gradient[i] as number)
      const place = word & PLACE
      into[place] = (into[place] as number) + (word < 0 ? -value : value)
    }
  })
}

/** Takes off a vector's part along a direction. */
function takeOff(from: Float32Array, direction: Float32Array, vector: Float32Array): void {
  const amount = dot(direction, vector)
  for (let i = 0; i < from.length; i++)
    from[i] = (from[i] as number) - amount * (direction[i] as number)
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}
