/**
 * From features to the few dimensions that are compared: the damped Gauss-Newton influence fᵢᵀ (C + λI)⁻¹ f_q, with C the
 * mean of f fᵀ over the trained records, seen in the span of landmarks, which are trained records themselves (Nyström;
 * subset of regressors, Rasmussen & Williams 2006, section 8.3). With F the landmarks, k(f) = F f and
 *
 *   B = mean over records of k kᵀ  +  λ F Fᵀ  =  H Hᵀ,        u(f) = H⁻¹ k(f),
 *
 * u(fᵢ)·u(f_q) is that influence: exactly, while every record is a landmark. What lies outside the span, f - Fᵀ (F Fᵀ)⁻¹ k,
 * has the inverse 1/λ and is kept as a count sketch v(f), so that a query which is like no record is like none of them
 * here either, and records beyond the landmarks are found by what is theirs alone. A vector is z = [u, v], rotated.
 */
import type { Hex } from '#protocol/bytes.ts'
import { MAX_DIMENSIONS } from '#protocol/influence-row.ts'
import { dotInt8 } from '#protocol/score.ts'
import { clipFactors } from './clip.ts'
import { dotAll } from './dots.ts'
import type { FeatureRow } from './features.ts'
import { rotate } from './rotation.ts'
import type { RowFormat } from './row-file.ts'
import { drawSketch, placeOf, signOf, type Sketch } from './sketch.ts'
import type { VectorTable } from './vector-table.ts'

/** How the dimensions of a vector are used: landmarks, and the sketch of what lies outside their span. */
export type Layout = { landmarks: number; outside: number }

/** Outside of the span of all records there is nothing of theirs: the sketch only tells how much of a query there is. */
const ALL: Layout = { landmarks: MAX_DIMENSIONS - 256, outside: 256 }
/** Of many records most is theirs alone, which only the sketch has. */
const FEW: Layout = { landmarks: 256, outside: MAX_DIMENSIONS - 256 }

/** With more records than there can be landmarks, a few of them. */
export const layoutOf = (records: number): Layout =>
  records <= ALL.landmarks ? { ...ALL, landmarks: records } : FEW

export type Landmarks = {
  /** The landmarks' features, [L, their dimensions], and their exponents. */
  table: VectorTable
  exponents: Int16Array
} & Draws

/** What is drawn at random, fixed by the adapter. */
export type Draws = {
  /** Of a feature into the R places of what lies outside. */
  fold: Sketch
  /** Of the rotation, [L + R]. */
  signs: Int8Array
}

export const drawsOf = (adapter: Hex, dims: number, { landmarks, outside }: Layout): Draws => ({
  fold: drawSketch(`${adapter}|outside`, dims, outside),
  signs: Int8Array.from(drawSketch(`${adapter}|rotation`, landmarks + outside, 1), signOf),
})

export type LandmarkMap = Landmarks & {
  /** Rows of the lower triangle of H, one after the other, [L (L + 1) / 2]. */
  factor: Float32Array
  /** [R, L] and the factor 1/sqrt(λ): v = factor (sketch of f - residual k). */
  residual: Float32Array
  residualScale: number
}

/** A feature seen from the landmarks: exact integers, from which its vector under any damping follows. */
export type View = {
  /** Of the feature. */
  exponent: number
  /** Squared norm of the feature's int8. */
  square: number
  /** Dot products with the landmarks' int8, [L]. */
  dots: Int32Array
  /** Sums of the feature's int8 by place and sign, [R]. */
  sketch: Int32Array
}

/** Views in a file: int32, one after the other. */
export const viewFormat = ({ landmarks, outside }: Layout): RowFormat<View> => ({
  bytes: 4 * (2 + landmarks + outside),
  write: ({ exponent, square, dots, sketch }, into) => {
    const numbers = int32(into)
    numbers.set([exponent, square])
    numbers.set(dots, 2)
    numbers.set(sketch, 2 + landmarks)
  },
  read: (from) => {
    const numbers = int32(from)
    return {
      exponent: numbers[0] as number,
      square: numbers[1] as number,
      dots: numbers.subarray(2, 2 + landmarks),
      sketch: numbers.subarray(2 + landmarks),
    }
  },
})

const int32 = ({ buffer, byteOffset, byteLength }: Buffer): Int32Array =>
  new Int32Array(buffer, byteOffset, byteLength / 4)

/** Looks at a feature: the one step that costs time in proportion to a feature's dimensions times landmarks. */
export const viewOf = (landmarks: Landmarks, { values, exponent }: FeatureRow): View => ({
  exponent,
  square: dotInt8(values, values),
  dots: landmarks.table.dots(values).slice(),
  sketch: folded(landmarks, values),
})

/** k(f): the dot products with all landmarks, [L]. */
const kernelOf = (
  { exponents }: Pick<Landmarks, 'exponents'>,
  { dots, exponent }: View,
): Float64Array =>
  Float64Array.from(dots, (dot, i) => dot * 2 ** (exponent + (exponents[i] as number)))

/** z = [u, v] of a feature, rotated, [L + R]. */
export function compress(map: LandmarkMap, view: View): Float64Array {
  const kernel = kernelOf(map, view)
  const dims = kernel.length
  const z = new Float64Array(map.signs.length)
  z.set(solve(map.factor, kernel))
  const outside = z.subarray(dims)
  const rows = Array.from(outside, (_, row) => map.residual.subarray(row * dims, (row + 1) * dims))
  dotAll(kernel, rows, outside)
  for (let row = 0; row < outside.length; row++) {
    const whole = (view.sketch[row] as number) * 2 ** view.exponent
    outside[row] = map.residualScale * (whole - (outside[row] as number))
  }
  rotate(z, map.signs)
  return z
}

/** The sketch of a feature's int8 in the R places outside the span. */
function folded({ table, fold, signs }: Landmarks, values: Int8Array): Int32Array {
  const sketch = new Int32Array(signs.length - table.count)
  for (let i = 0; i < values.length; i++) {
    const entry = fold[i] as number
    const place = placeOf(entry)
    sketch[place] = (sketch[place] as number) + (values[i] as number) * signOf(entry)
  }
  return sketch
}

/** x = L⁻¹ b for a packed lower triangle, by forward substitution in double precision. */
function solve(factor: Float32Array | Float64Array, b: Float64Array): Float64Array {
  const x = new Float64Array(b.length)
  let at = 0
  for (let i = 0; i < x.length; i++) {
    let sum = b[i] as number
    for (let j = 0; j < i; j++) sum -= (factor[at + j] as number) * (x[j] as number)
    x[i] = sum / (factor[at + i] as number)
    at += i + 1
  }
  return x
}

/** x = L⁻ᵀ b. */
function solveTransposed(factor: Float64Array, b: Float64Array): Float64Array {
  const x = b.slice()
  for (let i = x.length - 1; i >= 0; i--) {
    const at = (i * (i + 1)) / 2
    const xi = (x[i] as number) / (factor[at + i] as number)
    x[i] = xi
    for (let j = 0; j < i; j++) x[j] = (x[j] as number) - (factor[at + j] as number) * xi
  }
  return x
}

/** Sums k kᵀ over records, a few at a time: the lower triangle, [L (L + 1) / 2]. */
function gramAccumulator(dims: number) {
  const sum = new Float64Array((dims * (dims + 1)) / 2)
  const held = new Float64Array(dims * TOGETHER) // [L, TOGETHER]: the inner loop reads both factors in order
  let waiting = 0
  let count = 0
  const flush = () => {
    let at = 0
    for (let i = 0; i < dims; i++) {
      for (let j = 0; j <= i; j++) {
        let dot = 0
        for (let t = 0; t < TOGETHER; t++)
          dot += (held[i * TOGETHER + t] as number) * (held[j * TOGETHER + t] as number)
        sum[at] = (sum[at] as number) + dot
        at++
      }
    }
    held.fill(0)
    waiting = 0
  }
  return {
    add: (kernel: Float64Array): void => {
      for (let i = 0; i < dims; i++) held[i * TOGETHER + waiting] = kernel[i] as number
      count++
      if (++waiting === TOGETHER) flush()
    },
    /** The mean over the records added. */
    mean: (): Float64Array => {
      if (waiting > 0) flush()
      return sum.map((x) => x / Math.max(1, count))
    },
  }
}
const TOGETHER = 16

/** What the maps of all dampings follow from. */
export type Moments = {
  landmarks: Landmarks
  /** Lower triangles of the mean of k kᵀ over the records, and of F Fᵀ. */
  meanGram: Float64Array
  gram: Float64Array
  /** Mean of |f|² over the records. */
  meanSquare: number
  /** [R, L]; see `LandmarkMap`. */
  residual: Float32Array
}

/** Length of a feature. */
export const normOf = ({ square, exponent }: View): number => Math.sqrt(square) * 2 ** exponent

/** The moments of records' views, given the landmarks' own; long ones count as shorter (clip.ts). */
export async function momentsOf(
  landmarks: Landmarks,
  own: readonly View[],
  records: AsyncIterable<View> | Iterable<View>,
  norms: readonly number[],
): Promise<Moments> {
  const dims = own.length
  const accumulator = gramAccumulator(dims)
  const factors = clipFactors(norms)
  let squares = 0
  let count = 0
  for await (const view of records) {
    const factor = factors[count++] as number
    accumulator.add(kernelOf(landmarks, view).map((x) => factor * x))
    squares += (factor * normOf(view)) ** 2
  }
  const gram = new Float64Array((dims * (dims + 1)) / 2)
  own.forEach((view, i) =>
    gram.set(kernelOf(landmarks, view).subarray(0, i + 1), (i * (i + 1)) / 2),
  )
  const inverse = cholesky(withJitter(gram, dims), dims)
  const outside = landmarks.signs.length - dims
  const residual = new Float32Array(outside * dims)
  for (let place = 0; place < outside; place++) {
    const column = Float64Array.from(
      own,
      ({ sketch, exponent }) => (sketch[place] as number) * 2 ** exponent,
    )
    residual.set(solveTransposed(inverse, solve(inverse, column)), place * dims)
  }
  const meanSquare = squares / Math.max(1, count)
  return { landmarks, meanGram: accumulator.mean(), meanSquare, gram, residual }
}

/** The map for a relative damping c: λ is c times the mean eigenvalue of C over the landmarks' span. */
export function fitMap(moments: Moments, damping: number): LandmarkMap {
  const { landmarks, meanGram, gram, meanSquare, residual } = moments
  const dims = landmarks.table.count
  const lambda = (damping * meanSquare) / dims
  const matrix = meanGram.map((x, i) => x + lambda * (gram[i] as number))
  return {
    ...landmarks,
    factor: Float32Array.from(cholesky(withJitter(matrix, dims), dims)),
    residual,
    residualScale: lambda > 0 ? Math.fround(1 / Math.sqrt(lambda)) : 0,
  }
}

/** Keeps a matrix positive definite when landmarks are alike, or have no gradient and leave rows of zeros. */
function withJitter(matrix: Float64Array, dims: number): Float64Array {
  let trace = 0
  for (let i = 0; i < dims; i++) trace += matrix[diagonal(i)] as number
  const jitter = trace > 0 ? (JITTER * trace) / dims : 1
  const result = matrix.slice()
  for (let i = 0; i < dims; i++) result[diagonal(i)] = (result[diagonal(i)] as number) + jitter
  return result
}

/** Relative to the mean diagonal entry. */
const JITTER = 1e-7
const diagonal = (i: number): number => (i * (i + 3)) / 2

/** Lower Cholesky factor of a positive definite matrix, both as packed lower triangles; throws when it is not. */
export function cholesky(matrix: Float64Array, dims: number): Float64Array {
  const factor = new Float64Array(matrix.length)
  let row = 0
  for (let i = 0; i < dims; i++) {
    let other = 0
    for (let j = 0; j <= i; j++) {
      let sum = matrix[row + j] as number
      for (let k = 0; k < j; k++) sum -= (factor[row + k] as number) * (factor[other + k] as number)
      if (i !== j) factor[row + j] = sum / (factor[other + j] as number)
      else if (sum > 0) factor[row + i] = Math.sqrt(sum)
      else throw new RangeError(`cholesky: not positive definite at row ${i}`)
      other += j + 1
    }
    row += i + 1
  }
  return factor
}
