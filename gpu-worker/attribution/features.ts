/**
 * Features: a gradient in a fixed number of dimensions whose dot products are influence. Every block (one factor of one module) is
 *
 *   1. whitened where it matters: with C the mean of g gᵀ over records and λ a multiple of its mean eigenvalue, the few
 *      largest eigenvectors v of C are shrunk by sqrt(λ / (σ + λ)), as (C + λI)^-1/2 does; on the others, whose σ is
 *      small beside λ, that inverse root is the same for all. Influence is by blocks: what all records share in one
 *      block must not drown what few share in another.
 *   2. divided by its root mean square.
 *
 * Then a count sketch (Charikar et al. 2002) adds every number, with a random sign, to one random place: dot products keep
 * their value within 1/sqrt(dimensions) of the lengths. Several snapshots of the adapter have sketches of their own, whose
 * sum sketches the mean over snapshots. Each step's worth against retraining is in docs/attribution.md.
 */
import type { Sequence } from '#engine/batch.ts'
import { gradientSize, type Block } from '#engine/programs/influence.ts'
import { areWithin, type TensorMap } from '#engine/tensor.ts'
import type { Hex } from '#protocol/bytes.ts'
import { INDEX_LIMITS } from '#protocol/training.ts'
import { clipFactors } from './clip.ts'
import { dotAll } from './dots.ts'
import { topEigenvectors } from './eigenvectors.ts'
import { runsByLength, type GradientSource, type OnProgress } from './gradients.ts'
import { quantize, type Quantized } from './quantize.ts'
import type { RowFormat } from './row-file.ts'
import { drawSketch, placeOf, signOf, type Sketch } from './sketch.ts'

/** Dimensions of a feature, each a byte: what a sketch loses costs agreement with retraining, so few records have more. */
export const FEATURE_DIMS = { least: 2 ** 15, most: 2 ** 17, bytes: 2 ** 26 } as const

/** Dimensions of the features of so many records: a power of two whose bytes, of all records, are bounded as long as it can be. */
export function featureDims(records: number): number {
  const { least, most, bytes } = FEATURE_DIMS
  const fitting = 2 ** Math.floor(Math.log2(bytes / Math.max(1, records)))
  return Math.min(most, Math.max(least, fitting))
}

/** Eigenvectors shrunk in every block; fewer for adapters so large that these would not fit a file. */
const DIRECTIONS = 4
/** λ relative to the mean eigenvalue of C over as many dimensions as there are records in the sample. */
const BLOCK_DAMPING = 3

/** What features follow from besides the sequence. */
export type FeatureMap = {
  /** Seeds the sketches. */
  adapter: Hex
  /** Of a feature. */
  dims: number
  /** The adapter at some points of its training. */
  snapshots: readonly TensorMap[]
  /** What the blocks are multiplied by, [blocks] per snapshot. */
  scales: readonly Float32Array[]
  /** Eigenvectors times the root of what is taken off along them, [directions, size] per snapshot. */
  directions: readonly Float32Array[]
}

/** How many eigenvectors there are per block of gradients of this size. */
export const directionsFor = (size: number): number =>
  Math.min(DIRECTIONS, Math.floor(INDEX_LIMITS.directionNumbers / Math.max(1, size)))

/** What a map was fitted to: which sequences, and their gradients [snapshots][places], which need not be taken again. */
export type FittedSample = { places: readonly number[]; gradients: readonly Float32Array[][] }

/** Fits scales and directions to evenly spaced sequences. */
export async function fitFeatures(
  source: GradientSource,
  { adapter, dims, snapshots }: Pick<FeatureMap, 'adapter' | 'dims' | 'snapshots'>,
  sequences: readonly Sequence[],
  onProgress: OnProgress = () => {},
): Promise<{ map: FeatureMap; sample: FittedSample }> {
  const { blocks, size } = source
  const held = Math.floor(INDEX_LIMITS.sampleNumbers / (size * snapshots.length))
  const step = Math.max(
    1,
    Math.ceil(sequences.length / Math.max(1, Math.min(INDEX_LIMITS.sample, held))),
  )
  const places = sequences.flatMap((_, place) => (place % step === 0 ? [place] : []))
  const sample = places.map((place) => sequences[place] as Sequence)
  const all = snapshots.length * (sample.length + blocks.length)
  let done = 0
  const count = (more: number) => onProgress((done += more) / all)
  const gradients: Float32Array[][] = []
  const scales: Float32Array[] = []
  const directions: Float32Array[] = []
  for (const snapshot of snapshots) {
    const rows = new Array<Float32Array>(sample.length)
    for (const run of runsByLength(sample, source)) {
      const part = run.map((i) => sample[i] as Sequence)
      const flat = await source.gradients(snapshot, part)
      run.forEach((i, row) => (rows[i] = flat.subarray(row * size, (row + 1) * size)))
      await count(run.length)
    }
    const finite = rows.filter((row) => areWithin(row))
    const factors = clipFactors(finite.map((row) => Math.sqrt(dot(row, row))))
    const most = directionsFor(size)
    const found = {
      scales: new Float32Array(blocks.length),
      directions: new Float32Array(most * size),
    }
    for (const [b, { offset, rows: height, columns }] of blocks.entries()) {
      const length = height * columns
      const own = finite.map((row) => row.subarray(offset, offset + length))
      const { vectors, meanSquare } = largestDirections(own, factors, most)
      vectors.forEach((vector, k) => found.directions.set(vector, k * size + offset))
      found.scales[b] = meanSquare > 0 ? Math.sqrt(length / meanSquare) : 0
      await count(1)
    }
    gradients.push(rows)
    scales.push(found.scales)
    directions.push(found.directions)
  }
  return { map: { adapter, dims, snapshots, scales, directions }, sample: { places, gradients } }
}

/**
 * The eigenvectors of largest eigenvalue of the second moment of rows times factors, each times the root of
 * 1 - sqrt(λ / (σ + λ)), and the mean squared norm of those.
 */
function largestDirections(
  rows: readonly Float32Array[],
  factors: readonly number[],
  count: number,
): { vectors: Float32Array[]; meanSquare: number } {
  const gram = rows.map(() => new Float64Array(rows.length))
  rows.forEach((a, i) => {
    const mine = gram[i] as Float64Array
    dotAll(a, rows.slice(0, i + 1), mine)
    for (let j = 0; j <= i; j++) {
      mine[j] = (mine[j] as number) * (factors[i] as number) * (factors[j] as number)
      ;(gram[j] as Float64Array)[i] = mine[j] as number
    }
  })
  const trace = gram.reduce((sum, row, i) => sum + (row[i] as number), 0)
  const lambda = (BLOCK_DAMPING * trace) / Math.max(1, rows.length)
  const vectors = topEigenvectors(gram, count).flatMap(({ value, vector }) => {
    if (value <= trace * LEAST_EIGENVALUE) return []
    const root = Math.sqrt((1 - Math.sqrt(lambda / (value + lambda))) / value)
    const direction = new Float32Array(rows[0]?.length ?? 0)
    rows.forEach((row, i) => {
      const weight = root * (vector[i] as number) * (factors[i] as number)
      for (let j = 0; j < direction.length; j++)
        direction[j] = (direction[j] as number) + weight * (row[j] as number)
    })
    return [direction]
  })
  return { vectors, meanSquare: trace / Math.max(1, rows.length) }
}

/** Relative to the trace; below it a direction is noise of the arithmetic. */
const LEAST_EIGENVALUE = 1e-9

/** A feature as int8: the vector is values * 2^exponent. */
export type FeatureRow = Pick<Quantized, 'values' | 'exponent'>

/** Rounds a feature; zero when it is not finite. */
export function featureRow(feature: Float64Array): FeatureRow {
  if (!feature.every(Number.isFinite)) return { values: new Int8Array(feature.length), exponent: 0 }
  return quantize(feature)
}

const HEADER_BYTES = 4

/** Features in a file: an exponent (int16), two zero bytes and the int8. */
export const featureFormat = (dims: number): RowFormat<FeatureRow> => ({
  bytes: HEADER_BYTES + dims,
  write: ({ values, exponent }, into) => {
    into.writeInt16LE(exponent)
    into.set(new Uint8Array(values.buffer, values.byteOffset, values.length), HEADER_BYTES)
  },
  read: (from) => ({
    exponent: from.readInt16LE(),
    values: new Int8Array(from.buffer, from.byteOffset + HEADER_BYTES, dims),
  }),
})

/** The sketch of every snapshot's gradients. */
export const drawSketches = (
  blocks: readonly Block[],
  { adapter, dims, snapshots }: FeatureMap,
): Sketch[] => snapshots.map((_, i) => drawSketch(`${adapter}|${i}`, gradientSize(blocks), dims))

/** Makes features; the sketches are drawn now unless they are given. */
export function openFeatures(
  blocks: readonly Block[],
  map: FeatureMap,
  sketches: readonly Sketch[] = drawSketches(blocks, map),
) {
  const { dims, snapshots, scales, directions } = map
  const size = gradientSize(blocks)
  const add = (into: Float64Array, gradient: Float32Array, i: number) =>
    addSketch(into, gradient, {
      blocks,
      scales: scales[i] as Float32Array,
      directions: directions[i] as Float32Array,
      sketch: sketches[i] as Sketch,
    })
  return {
    dims,
    /** The features of each sequence, [dims]; not finite where the gradient is not. */
    of: async (source: GradientSource, sequences: readonly Sequence[]): Promise<Float64Array[]> => {
      const features = sequences.map(() => new Float64Array(dims))
      for (const [i, snapshot] of snapshots.entries()) {
        const gradients = await source.gradients(snapshot, sequences)
        features.forEach((into, row) =>
          add(into, gradients.subarray(row * size, (row + 1) * size), i),
        )
      }
      return features
    },
    /** The feature of gradients that were taken already, one per snapshot; they are changed. */
    from: (gradients: readonly Float32Array[]): Float64Array => {
      const feature = new Float64Array(dims)
      gradients.forEach((gradient, i) => add(feature, gradient, i))
      return feature
    },
  }
}

export type Features = ReturnType<typeof openFeatures>

type Fitted = {
  blocks: readonly Block[]
  scales: Float32Array
  directions: Float32Array
  sketch: Sketch
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
      const entry = sketch[i] as number
      const place = placeOf(entry)
      into[place] = (into[place] as number) + scale * (gradient[i] as number) * signOf(entry)
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
