/**
 * Whitening by blocks: with C the mean of g gᵀ over the training gradients of one block, and
 * L Lᵀ = C + c tr(C)/dim I (Cholesky), z = L⁻¹ g. Dot products of whitened gradients are the damped
 * Gauss-Newton influence gᵢᵀ (C + λI)⁻¹ g_q (LoGra, Choe et al. 2024, section 3).
 */
import type { Block } from '#engine/programs/influence.ts'

/** One block's place in a gradient and the lower triangle of its L, [dim, dim] row-major. */
export type WhitenedBlock = { offset: number; dim: number; factor: Float32Array }

const dimOf = ({ rows, columns }: Block): number => rows * columns

/** Fits the factors to gradients (all of equal length) with relative damping c. */
export function fitWhitening(
  gradients: readonly Float32Array[],
  blocks: readonly Block[],
  damping: number,
): WhitenedBlock[] {
  return blocks.map((block) => {
    const dim = dimOf(block)
    const matrix = covariance(gradients, block.offset, dim)
    let trace = 0
    for (let i = 0; i < dim; i++) trace += matrix[i * dim + i] as number
    // A block without any gradient (B = 0 gives gA = 0) becomes the identity: it contributes zeros.
    const lambda = trace > 0 ? (damping * trace) / dim : 1
    for (let i = 0; i < dim; i++) matrix[i * dim + i] = (matrix[i * dim + i] as number) + lambda
    return { offset: block.offset, dim, factor: Float32Array.from(cholesky(matrix, dim)) }
  })
}

/** Mean of g gᵀ over one block of all gradients; the upper triangle is left zero. */
function covariance(gradients: readonly Float32Array[], offset: number, dim: number): Float64Array {
  const matrix = new Float64Array(dim * dim)
  for (const gradient of gradients) {
    for (let i = 0; i < dim; i++) {
      const gi = gradient[offset + i] as number
      if (gi === 0) continue
      const row = i * dim
      for (let j = 0; j <= i; j++)
        matrix[row + j] = (matrix[row + j] as number) + gi * (gradient[offset + j] as number)
    }
  }
  for (let i = 0; i < matrix.length; i++) matrix[i] = (matrix[i] as number) / gradients.length
  return matrix
}

/** Lower Cholesky factor of a positive definite matrix given by its lower triangle; throws when it is not. */
export function cholesky(matrix: Float64Array, dim: number): Float64Array {
  const factor = new Float64Array(dim * dim)
  const at = (i: number, j: number) => factor[i * dim + j] as number
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * dim + j] as number
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k)
      if (i !== j) factor[i * dim + j] = sum / at(j, j)
      else if (sum > 0) factor[i * dim + i] = Math.sqrt(sum)
      else throw new RangeError(`cholesky: not positive definite at row ${i}`)
    }
  }
  return factor
}

/** L⁻¹ g, block by block (forward substitution in double precision). */
export function whiten(gradient: Float32Array, blocks: readonly WhitenedBlock[]): Float64Array {
  const z = new Float64Array(gradient.length)
  for (const { offset, dim, factor } of blocks) {
    for (let i = 0; i < dim; i++) {
      let sum = gradient[offset + i] as number
      const row = i * dim
      for (let j = 0; j < i; j++) sum -= (factor[row + j] as number) * (z[offset + j] as number)
      z[offset + i] = sum / (factor[row + i] as number)
    }
  }
  return z
}
