/** Vectors as int8 with one power-of-two scale: their dot products are integers on every machine and on chain. */
import { dotInt8 } from '#protocol/score.ts'

export type Quantized = {
  values: Int8Array
  /** The vector is values * 2^exponent. */
  exponent: number
  /** Squared norm of `values`. */
  self: number
}

const LARGEST = 127

/** Rounds a vector to int8; the zero vector has exponent 0. Throws on non-finite entries. */
export function quantize(vector: Float64Array): Quantized {
  let largest = 0
  let isFinite = true
  for (const x of vector) {
    largest = Math.max(largest, Math.abs(x))
    isFinite &&= Number.isFinite(x)
  }
  if (!isFinite) throw new RangeError('quantize: the vector is not finite')
  if (largest === 0) return { values: new Int8Array(vector.length), exponent: 0, self: 0 }
  const exponent = Math.ceil(Math.log2(largest / LARGEST))
  const scale = 2 ** -exponent
  const values = new Int8Array(vector.length)
  for (let i = 0; i < vector.length; i++) values[i] = Math.round((vector[i] as number) * scale)
  return { values, exponent, self: dotInt8(values, values) }
}
