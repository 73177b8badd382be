/**
 * A random rotation that costs n log n: signs and a Walsh-Hadamard transform, of the first and then of the last 2^k numbers,
 * the most there are (as in Ailon and Chazelle's fast Johnson-Lindenstrauss transform, 2006). It leaves dot products as they
 * are and spreads every number over all. What is rounded to int8 needs that: a record's vector is almost all in the one
 * number that is its own, beside which the others, which tell it from other records, would be rounded to little.
 */

/** Rotates a vector in place; `signs` are 1 or -1, [n]. */
export function rotate(vector: Float64Array, signs: Int8Array): void {
  const n = vector.length
  const size = 2 ** Math.floor(Math.log2(n))
  // Signs before each transform: the second would gather again what the first spread.
  mix(vector.subarray(0, size), signs.subarray(0, size))
  if (size < n) mix(vector.subarray(n - size), signs.subarray(n - size))
}

/** Signs, then the orthonormal Walsh-Hadamard transform; the length is a power of two. */
function mix(vector: Float64Array, signs: Int8Array): void {
  const n = vector.length
  for (let i = 0; i < n; i++) vector[i] = (vector[i] as number) * (signs[i] as number)
  for (let half = 1; half < n; half *= 2)
    for (let start = 0; start < n; start += 2 * half)
      for (let i = start; i < start + half; i++) {
        const [a, b] = [vector[i] as number, vector[i + half] as number]
        vector[i] = a + b
        vector[i + half] = a - b
      }
  const scale = 1 / Math.sqrt(n)
  for (let i = 0; i < n; i++) vector[i] = (vector[i] as number) * scale
}
