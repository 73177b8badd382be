// The safetensors format: a little-endian u64 header length, a JSON header, then the tensors' bytes.
// https://huggingface.co/docs/safetensors. Half-precision tensors become float32 when read.
import * as z from 'zod'
import { elementCount } from './tensor.ts'
import type { HostTensor, TensorMap } from './tensor.ts'

export type StoredDType = 'F32' | 'BF16' | 'F16'

const ELEMENT_BYTES = { F32: 4, BF16: 2, F16: 2 } as const satisfies Record<StoredDType, number>
/** The reference implementation's bound on the JSON header. */
const MAX_HEADER_BYTES = 100_000_000
const LENGTH_BYTES = 8
const HEADER_ALIGNMENT = 8

const Header = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(
  z.object({
    dtype: z.enum(['F32', 'BF16', 'F16']),
    shape: z.array(z.number().int().nonnegative()),
    data_offsets: z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]),
  }),
)

/** Reads every tensor as float32. Throws an Error that names the fault when the file is malformed or holds other types. */
export function readSafetensors(file: Uint8Array): Map<string, HostTensor> {
  if (file.byteLength < LENGTH_BYTES) throw new Error('safetensors: the file has no header')
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const headerBytes = Number(view.getBigUint64(0, true))
  const body = LENGTH_BYTES + headerBytes
  if (headerBytes > MAX_HEADER_BYTES || body > file.byteLength) {
    throw new Error(`safetensors: a header of ${headerBytes} bytes does not fit the file`)
  }
  const { __metadata__, ...entries } = parseHeader(file.subarray(LENGTH_BYTES, body))
  return new Map(
    Object.entries(entries).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => {
        if (
          end - begin !== elementCount(shape) * ELEMENT_BYTES[dtype] ||
          body + end > file.byteLength
        ) {
          throw new Error(`safetensors: "${name}" has wrong offsets [${begin}, ${end}]`)
        }
        // A copy in a buffer of its own, so that wider views are aligned; Buffer.slice would share memory.
        const bytes = new Uint8Array(file.subarray(body + begin, body + end))
        return [name, { dims: shape, data: decode(bytes, dtype) }]
      },
    ),
  )
}

function parseHeader(bytes: Uint8Array): z.infer<typeof Header> {
  try {
    return Header.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
  } catch (cause) {
    throw new Error('safetensors: the header is malformed or names an unsupported type', { cause })
  }
}

/** Writes tensors in the map's order. The same input gives the same bytes. Rounding is to nearest, ties to even. */
export function writeSafetensors(
  tensors: TensorMap,
  dtype: StoredDType = 'F32',
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Uint8Array {
  let offset = 0
  const entries = [...tensors].map(([name, { dims, data }]) => {
    const begin = offset
    offset += data.length * ELEMENT_BYTES[dtype]
    return [name, { dtype, shape: dims, data_offsets: [begin, offset] }] as const
  })
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) })
  const header = Buffer.from(json)
  const padding = -(LENGTH_BYTES + header.byteLength) & (HEADER_ALIGNMENT - 1)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeBigUInt64LE(BigInt(header.byteLength + padding))
  const bodies = [...tensors.values()].map(({ data }) => encode(data, dtype))
  return Buffer.concat([length, header, Buffer.alloc(padding, ' '), ...bodies])
}

function decode(bytes: Uint8Array, dtype: StoredDType): Float32Array {
  const { buffer } = bytes
  if (dtype === 'F32') return new Float32Array(buffer)
  if (dtype === 'F16') return Float32Array.from(new Float16Array(buffer))
  // bfloat16 is the upper half of float32.
  const halves = new Uint16Array(buffer)
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer)
}

function encode(data: Float32Array, dtype: StoredDType): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  if (dtype === 'F16') return new Uint8Array(Float16Array.from(data).buffer)
  return new Uint8Array(toBfloat16(data).buffer)
}

/** The upper halves of float32 numbers, rounded to nearest even; NaN stays NaN. */
export function toBfloat16(data: Float32Array): Uint16Array {
  const bits = new Uint32Array(Float32Array.from(data).buffer)
  return Uint16Array.from(bits, (word) => {
    const isNaN = (word & 0x7fff_ffff) > 0x7f80_0000
    if (isNaN) return (word >>> 16) | 0x40
    return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  })
}
