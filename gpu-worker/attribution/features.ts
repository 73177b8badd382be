/**
 * Features: a gradient in FEATURE_DIMS numbers. Every block (one factor of one module) is divided by the square root of
 * its root mean square over the records, so that a dot product of two features is that of one gradient with an
 * optimizer step along the other, AdamW's 1/sqrt(v) taken block by block. Then a count sketch (Charikar et al. 2002)
 * adds every number, with a random sign, to one random place: dot products keep their value within 1/sqrt(FEATURE_DIMS).
 * Several snapshots of the adapter have sketches of their own, whose sum sketches the mean over snapshots.
 */
import { createHash } from 'node:crypto'
import type { Sequence } from '#engine/batch.ts'
import { gradientSize, type Block } from '#engine/programs/influence.ts'
import type { TensorMap } from '#engine/tensor.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { GradientSource } from './gradients.ts'

/** Measured: 8,192 lose a tenth of the LDS, 32,768 gain nothing (docs/attribution.md). */
export const FEATURE_DIMS = 16_384
const PLACE = FEATURE_DIMS - 1

/** What features follow from besides the sequence. */
export type FeatureMap = {
  /** Seeds the sketches. */
  adapter: Hex
  /** The adapter at some points of its training. */
  snapshots: readonly TensorMap[]
  /** What the blocks are multiplied by, per snapshot. */
  scales: readonly Float32Array[]
}

/** Records that the scales are estimated from, at most. */
const SCALE_SAMPLE = 128

/** Measures the blocks' scales on evenly spaced sequences. */
export async function fitFeatures(
  source: GradientSource,
  { adapter, snapshots }: Pick<FeatureMap, 'adapter' | 'snapshots'>,
  sequences: readonly Sequence[],
): Promise<FeatureMap> {
  const step = Math.max(1, Math.ceil(sequences.length / SCALE_SAMPLE))
  const sample = sequences.filter((_, i) => i % step === 0)
  const scales: Float32Array[] = []
  for (const snapshot of snapshots) scales.push(await scalesOf(source, snapshot, sample))
  return { adapter, snapshots, scales }
}

async function scalesOf(
  source: GradientSource,
  snapshot: TensorMap,
  sample: readonly Sequence[],
): Promise<Float32Array> {
  const { blocks } = source
  const squares = new Float64Array(blocks.length)
  let count = 0
  for (const sequence of sample) {
    const gradient = await source.gradients(snapshot, [sequence])
    const own = blocks.map((block) => sumOfSquares(gradient, block))
    if (!own.every(Number.isFinite)) continue
    own.forEach((sum, b) => (squares[b] = (squares[b] as number) + sum))
    count++
  }
  const scales = Float32Array.from(blocks, ({ rows, columns }, b) => {
    const meanSquare = (squares[b] as number) / (Math.max(1, count) * rows * columns)
    return meanSquare > 0 ? meanSquare ** -0.25 : 0
  })
  // Features have a mean square of one whatever the snapshot: none outweighs the others.
  const norm = blocks.reduce(
    (sum, _, b) => sum + (squares[b] as number) * (scales[b] as number) ** 2,
    0,
  )
  const factor = norm > 0 ? Math.sqrt(Math.max(1, count) / norm) : 0
  return scales.map((scale) => scale * factor)
}

function sumOfSquares(gradient: Float32Array, { offset, rows, columns }: Block): number {
  let sum = 0
  const end = offset + rows * columns
  for (let i = offset; i < end; i++) sum += (gradient[i] as number) ** 2
  return sum
}

/** Makes features; the sketches are drawn once. */
export function openFeatures(blocks: readonly Block[], { adapter, snapshots, scales }: FeatureMap) {
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
            sketch: sketches[i] as Int16Array,
          }),
        )
      }
      return features
    },
  }
}

export type Features = ReturnType<typeof openFeatures>

/** Place and sign of every number: bits 0-13 and the sign of the 16-bit words of sha256("seed|block"), little-endian. */
export function drawSketch(seed: string, size: number): Int16Array {
  const sketch = new Int16Array(size)
  for (let start = 0; start < size; start += 16) {
    const digest = createHash('sha256')
      .update(`${seed}|${start / 16}`)
      .digest()
    for (let i = 0; i < 16 && start + i < size; i++) sketch[start + i] = digest.readInt16LE(2 * i)
  }
  return sketch
}

function addSketch(
  into: Float64Array,
  gradient: Float32Array,
  {
    blocks,
    scales,
    sketch,
  }: { blocks: readonly Block[]; scales: Float32Array; sketch: Int16Array },
): void {
  blocks.forEach(({ offset, rows, columns }, b) => {
    const scale = scales[b] as number
    const end = offset + rows * columns
    for (let i = offset; i < end; i++) {
      const word = sketch[i] as number
      const value = scale * (gradient[i] as number)
      const place = word & PLACE
      into[place] = (into[place] as number) + (word < 0 ? -value : value)
    }
  })
}
