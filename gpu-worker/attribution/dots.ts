type Numbers = Float32Array | Float64Array

/**
 * Dot products of a vector [n] with rows [n], written to `into`. Four rows at a time: a sum that waits for its own last
 * addition leaves the processor idle. Each is added in the order of the numbers.
 */
export function dotAll(vector: Numbers, rows: readonly Numbers[], into: Float64Array): void {
  for (let at = 0; at < rows.length; at += 4) {
    const row = (i: number) => rows[Math.min(at + i, rows.length - 1)] as Numbers
    const [a, b, c, d] = [row(0), row(1), row(2), row(3)]
    let [toA, toB, toC, toD] = [0, 0, 0, 0]
    for (let i = 0; i < vector.length; i++) {
      const x = vector[i] as number
      toA += x * (a[i] as number)
      toB += x * (b[i] as number)
      toC += x * (c[i] as number)
      toD += x * (d[i] as number)
    }
    into.set([toA, toB, toC, toD].slice(0, rows.length - at), at)
  }
}

/** The dot product of two vectors [n]. */
export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}
