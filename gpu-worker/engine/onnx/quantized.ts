// Products with quantized weights, in the layout of ONNX Runtime's MatMulNBits.
import type { Graph, Value } from './graph.ts'

/** A weight of 4 or 8 bits: packed uint8 [out, blocks, block * bits / 8], scales [out, blocks], the middle is zero. */
export type QuantizedMatrix = {
  readonly packed: Value
  readonly scales: Value
  readonly bits: 4 | 8
  readonly block: number
}

/**
 * x Wᵀ for a quantized W [out, in]; x [N, in] -> [N, out]. `rounded` activations are int8 in blocks like the weight's,
 * `exact` ones float32.
 */
export function matMulQuantized(
  g: Graph,
  x: Value,
  { packed, scales, bits, block }: QuantizedMatrix,
  activations: 'exact' | 'rounded',
): Value {
  const [rows = 1, inner = 1] = x.dims
  const [out = 1] = scales.dims
  return g.op('MatMulNBits', [x, packed, scales], {
    dims: [rows, out],
    domain: 'com.microsoft',
    attributes: {
      K: { int: Number(inner) },
      N: { int: Number(out) },
      bits: { int: bits },
      block_size: { int: block },
      accuracy_level: { int: ACCURACY_LEVEL[activations] },
    },
  })
}

/** MatMulNBits' levels: 1 computes in float32, 4 rounds activations to int8. */
const ACCURACY_LEVEL = { exact: 1, rounded: 4 } as const

/** The float32 matrix [out, in] that a quantized weight stands for. */
export function dequantize(g: Graph, { packed, scales, bits, block }: QuantizedMatrix): Value {
  const [out = 1, blocks = 1] = scales.dims.map(Number)
  const dims = [out, blocks * block]
  const dtype = bits === 4 ? 'uint4' : 'uint8'
  const middle = bits === 4 ? 0x88 : 0x80 // two numbers per byte of uint4
  const middles = new Uint8Array((out * blocks * bits) / 8).fill(middle)
  const zeroPoint = g.initializers.constant(dtype, middles, [out, blocks])
  const attributes = { axis: { int: 1 }, block_size: { int: block } }
  return g.op(
    'DequantizeLinear',
    [g.initializers.reinterpret(packed, dims, dtype), scales, zeroPoint],
    {
      dims,
      attributes,
    },
  )
}
