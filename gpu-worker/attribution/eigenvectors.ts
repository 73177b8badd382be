import { gaussian, randomSource } from '#engine/random.ts'
import { dot } from './dots.ts'

/** Rounds of orthogonal iteration: well separated vectors are exact long before; the others share their subspace. */
const ROUNDS = 40

/**
 * The `count` eigenvectors of largest eigenvalue of a symmetric positive semidefinite matrix [n, n], largest first, by
 * orthogonal iteration from a fixed start (Golub & Van Loan 2013, section 8.2.4). Vectors have length 1.
 */
export function topEigenvectors(
  matrix: readonly Float64Array[],
  count: number,
): { value: number; vector: Float64Array }[] {
  const size = matrix.length
  const random = randomSource(size)
  let basis: Float64Array[] = Array.from({ length: Math.min(count, size) }, () => {
    const start = new Float32Array(size)
    gaussian(random, start, 1)
    return Float64Array.from(start)
  })
  basis = orthonormal(basis)
  for (let round = 0; round < ROUNDS; round++)
    basis = orthonormal(basis.map((vector) => matrix.map((row) => dot(row, vector))).map(toFloat64))
  return basis.map((vector) => ({
    vector,
    value: dot(vector, toFloat64(matrix.map((row) => dot(row, vector)))),
  }))
}

const toFloat64 = (values: readonly number[]): Float64Array => Float64Array.from(values)

/** Below this share of a vector, what is left is rounding. */
const OWN_PART = 1e-10

/** Gram and Schmidt, in place; a vector without a part of its own becomes zero. */
function orthonormal(vectors: Float64Array[]): Float64Array[] {
  vectors.forEach((vector, k) => {
    const whole = Math.sqrt(dot(vector, vector))
    for (const earlier of vectors.slice(0, k)) {
      const along = dot(earlier, vector)
      vector.forEach((x, i) => (vector[i] = x - along * (earlier[i] as number)))
    }
    const norm = Math.sqrt(dot(vector, vector))
    vector.forEach((x, i) => (vector[i] = norm > whole * OWN_PART ? x / norm : 0))
  })
  return vectors
}
