/**
 * From features to the few dimensions that are compared: the damped Gauss-Newton influence fᵢᵀ (C + λI)⁻¹ f_q, with C the
 * mean of f fᵀ over the trained records, seen in the span of landmarks, which are trained records themselves (Nyström;
 * subset of regressors, Rasmussen & Williams 2006, section 8.3). With F the landmarks, k(f) = F f and
 *
 *   B = mean over records of k kᵀ  +  λ F Fᵀ  =  H Hᵀ,        u(f) = H⁻¹ k(f),
 *
 * u(fᵢ)·u(f_q) is that influence: exactly, while every record is a landmark. A random projection to as few dimensions
 * loses a third of the agreement with retraining (docs/attribution.md). What lies outside the span, f - Fᵀ (F Fᵀ)⁻¹ k,
 * has the inverse 1/λ and is kept as a count sketch v(f), so that a query which is like no record is like none of them
 * here either, and records beyond the landmarks are found by what is theirs alone. A vector is z = [u, v].
 */
import type { FeatureRow } from './feature-file.ts'
import { drawSketch, FEATURE_DIMS } from './features.ts'
import type { VectorTable } from './vector-table.ts'

/** Dimensions of the sketch of what lies outside the landmarks' span; a power of two. */
export const RESIDUAL_DIMS = 256

export type Landmarks = {
  /** The landmarks' features, [L, FEATURE_DIMS], and their exponents. */
  table: VectorTable
  exponents: Int16Array
  /** Place and sign of every feature number in the residual's sketch. */
  fold: Int16Array
}

export type LandmarkMap = Landmarks & {
  /** Rows of the lower triangle of H, one after the other, [L (L + 1) / 2]. */
  factor: Float32Array
  /** [RESIDUAL_DIMS, L] and the factor 1/sqrt(λ): v = factor (sketch of f - residual k). */
  residual: Float32Array
  residualScale: number
}

/** Place and sign of the residual's sketch, fixed by the adapter. */
export const drawFold = (adapter: string): Int16Array =>
  drawSketch(`${adapter}|residual`, FEATURE_DIMS)

/** k(f): the dot products with all landmarks, [L]. */
export function kernelOf(
  { table, exponents }: Pick<Landmarks, 'table' | 'exponents'>,
  { values, exponent }: FeatureRow,
): Float64Array {
  const dots = table.dots(values)
  return Float64Array.from(dots, (dot, i) => dot * 2 ** (exponent + (exponents[i] as number)))
}

/** z = [u, v] of a feature, [L + RESIDUAL_DIMS]. */
export function compress(map: LandmarkMap, feature: FeatureRow): Float64Array {
  const kernel = kernelOf(map, feature)
  const dims = kernel.length
  const z = new Float64Array(dims + RESIDUAL_DIMS)
  z.set(solve(map.factor, kernel))
  const v = folded(map.fold, feature)
  for (let row = 0; row < RESIDUAL_DIMS; row++) {
    let inside = 0
    for (let i = 0; i < dims; i++)
      inside += (map.residual[row * dims + i] as number) * (kernel[i] as number)
    z[dims + row] = map.residualScale * ((v[row] as number) - inside)
  }
  return z
}

/** The sketch of a feature in RESIDUAL_DIMS. */
function folded(fold: Int16Array, { values, exponent }: FeatureRow): Float64Array {
  const v = new Float64Array(RESIDUAL_DIMS)
  for (let i = 0; i < values.length; i++) {
    const word = fold[i] as number
    const place = word & (RESIDUAL_DIMS - 1)
    v[place] = (v[place] as number) + (word < 0 ? -(values[i] as number) : (values[i] as number))
  }
  return v.map((x) => x * 2 ** exponent)
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
export function gramAccumulator(dims: number) {
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
  /** [RESIDUAL_DIMS, L]; see `LandmarkMap`. */
  residual: Float32Array
}

/** Completes the moments of landmarks by what follows from the landmarks alone. */
export function momentsOf(
  landmarks: Landmarks,
  records: Pick<Moments, 'meanGram' | 'meanSquare'>,
): Moments {
  const { table, exponents, fold } = landmarks
  const dims = table.count
  const row = (i: number): FeatureRow => ({
    values: table.vector(i),
    exponent: exponents[i] as number,
  })
  const gram = new Float64Array((dims * (dims + 1)) / 2)
  for (let i = 0; i < dims; i++)
    gram.set(kernelOf(landmarks, row(i)).subarray(0, i + 1), (i * (i + 1)) / 2)
  const inverse = cholesky(withJitter(gram, dims), dims)
  const sketches = Array.from({ length: dims }, (_, i) => folded(fold, row(i)))
  const residual = new Float32Array(RESIDUAL_DIMS * dims)
  for (let place = 0; place < RESIDUAL_DIMS; place++) {
    const column = Float64Array.from(sketches, (sketch) => sketch[place] as number)
    residual.set(solveTransposed(inverse, solve(inverse, column)), place * dims)
  }
  return { landmarks, ...records, gram, residual }
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
