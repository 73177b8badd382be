// Weights in 4 or 8 bits: the linear layers' matrices in blocks of 32 along the input dimension, each block with one
// scale, in the layout that ONNX Runtime's MatMulNBits reads. Symmetric rounding to nearest,
//
//   d = extreme / -2^(bits-1)    q = clamp(round(w / d) + 2^(bits-1))    w ≈ d (q - 2^(bits-1))
//
// where `extreme` is the number of largest magnitude with its sign, so that it is represented exactly (Q4_0 of llama.cpp).
import type { LlamaConfig } from './models/config.ts'
import { modulesOf, parameterDims } from './models/parameters.ts'
import { elementCount } from './tensor.ts'
import type { HostTensor, ParameterMap, TensorMap } from './tensor.ts'

/** How the matrices of the linear layers are stored. Embeddings and norms are float32 always. */
export const WEIGHT_FORMATS = ['f32', 'int8', 'int4'] as const
export type WeightFormat = (typeof WEIGHT_FORMATS)[number]

export type QuantFormat = Exclude<WeightFormat, 'f32'>

/** A model whose parameters are in a format. */
export type FormattedModel = { readonly config: LlamaConfig } & (
  | { readonly format: 'f32'; readonly parameters: TensorMap }
  | { readonly format: QuantFormat; readonly parameters: ParameterMap }
)

export const QUANT_BLOCK = 32

export const quantBits = (format: QuantFormat): 4 | 8 => (format === 'int4' ? 4 : 8)

/** Names of a quantized weight's two tensors: uint8 [out, blocks, 32 bits / 8] and float32 [out, blocks]. */
export const packedName = (weight: string): string => `${weight}.packed`
export const scalesName = (weight: string): string => `${weight}.scales`

/** Dims of the two tensors. Throws an Error when `inDim` is not a multiple of the block. */
export function quantDims(
  format: QuantFormat,
  outDim: number,
  inDim: number,
): { readonly packed: readonly number[]; readonly scales: readonly number[] } {
  if (inDim % QUANT_BLOCK !== 0) {
    throw new Error(`a layer with ${inDim} inputs cannot be quantized in blocks of ${QUANT_BLOCK}`)
  }
  const blocks = inDim / QUANT_BLOCK
  return {
    packed: [outDim, blocks, (QUANT_BLOCK * quantBits(format)) / 8],
    scales: [outDim, blocks],
  }
}

export type QuantizedMatrix = {
  readonly packed: HostTensor<Uint8Array>
  readonly scales: HostTensor
}

/** Quantizes a matrix [out, in]. Two 4-bit numbers share a byte, the first in its lower half. */
export function quantizeMatrix({ dims, data }: HostTensor, format: QuantFormat): QuantizedMatrix {
  const [outDim = 0, inDim = 0] = dims
  const shape = quantDims(format, outDim, inDim)
  const bits = quantBits(format)
  const middle = 2 ** (bits - 1)
  const packed = new Uint8Array((data.length * bits) / 8)
  const scales = new Float32Array(data.length / QUANT_BLOCK)
  for (let block = 0; block < scales.length; block++) {
    const start = block * QUANT_BLOCK
    let extreme = 0
    for (let i = start; i < start + QUANT_BLOCK; i++) {
      const value = data[i] ?? 0
      if (Math.abs(value) > Math.abs(extreme)) extreme = value
    }
    const scale = Math.fround(extreme / -middle)
    scales[block] = scale
    for (let i = start; i < start + QUANT_BLOCK; i++) {
      const level = scale === 0 ? 0 : Math.round((data[i] ?? 0) / scale)
      const q = Math.min(2 * middle - 1, Math.max(0, level + middle))
      if (bits === 8) packed[i] = q
      else packed[i >> 1] = (packed[i >> 1] ?? 0) | (i % 2 === 0 ? q : q << 4)
    }
  }
  return {
    packed: { dims: shape.packed, data: packed },
    scales: { dims: shape.scales, data: scales },
  }
}

/** The float32 matrix [out, in] that a quantized one stands for. */
export function dequantizeMatrix(matrix: QuantizedMatrix, format: QuantFormat): HostTensor {
  const bits = quantBits(format)
  const middle = 2 ** (bits - 1)
  const { packed, scales } = matrix
  const data = new Float32Array((packed.data.length * 8) / bits)
  for (let i = 0; i < data.length; i++) {
    const byte = packed.data[(i * bits) >> 3] ?? 0
    const q = bits === 8 ? byte : (byte >> (4 * (i % 2))) & 15
    data[i] = (scales.data[Math.floor(i / QUANT_BLOCK)] ?? 0) * (q - middle)
  }
  const [outDim = 0, blocks = 0] = scales.dims
  return { dims: [outDim, blocks * QUANT_BLOCK], data }
}

/** Bytes of one copy of a model's parameters. Throws an Error when a layer cannot be quantized. */
export function parameterBytes(config: LlamaConfig, format: WeightFormat): number {
  let bytes = 0
  for (const dims of parameterDims(config).values()) bytes += FLOAT_BYTES * elementCount(dims)
  if (format === 'f32') return bytes
  for (const { inDim, outDim } of modulesOf(config)) {
    const { packed, scales } = quantDims(format, outDim, inDim)
    bytes += elementCount(packed) + FLOAT_BYTES * (elementCount(scales) - inDim * outDim)
  }
  return bytes
}

const FLOAT_BYTES = 4

/** What becomes of a parameter in a format: its two tensors if it is a linear layer's matrix, else itself. */
export function quantizer(
  config: LlamaConfig,
  format: QuantFormat,
): (name: string, tensor: HostTensor) => [string, HostTensor | HostTensor<Uint8Array>][] {
  const matrices = new Set(modulesOf(config).map(({ name }) => `${name}.weight`))
  return (name, tensor) => {
    if (!matrices.has(name)) return [[name, tensor]]
    const { packed, scales } = quantizeMatrix(tensor, format)
    return [
      [packedName(name), packed],
      [scalesName(name), scales],
    ]
  }
}

/** The parameters with the linear layers' matrices replaced by their two tensors; the rest is shared, not copied. */
export function quantizeParameters(
  config: LlamaConfig,
  parameters: TensorMap,
  format: QuantFormat,
): ParameterMap {
  const quantized = quantizer(config, format)
  return new Map([...parameters].flatMap(([name, tensor]) => quantized(name, tensor)))
}

/**
 * A model's parameters in a format: shared, not copied, where it has that format already. Throws an Error when it has
 * another but float32, or a layer that cannot be quantized.
 */
export function inFormat(model: FormattedModel, format: WeightFormat): ParameterMap {
  if (format === model.format) return model.parameters
  if (model.format !== 'f32' || format === 'f32')
    throw new Error(`a base in ${model.format} cannot become one in ${format}`)
  return quantizeParameters(model.config, model.parameters, format)
}
