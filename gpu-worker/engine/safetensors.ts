// The safetensors format: a little-endian u64 header length, a JSON header, then the tensors' bytes.
// https://huggingface.co/docs/safetensors. Half-precision tensors become float32 when read.
import { open } from 'node:fs/promises'
import * as z from 'zod'
import { elementCount, requireTensor } from './tensor.ts'
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
  const body = bodyOffset(file, file.byteLength)
  const stored = storedIn(file.subarray(LENGTH_BYTES, body), file.byteLength - body)
  return new Map(
    [...stored].map(([name, { dtype, dims, begin, end }]) => {
      // A copy in a buffer of its own, so that wider views are aligned; Buffer.slice would share memory.
      const bytes = new Uint8Array(file.subarray(body + begin, body + end))
      return [name, { dims, data: decode(bytes, dtype) }]
    }),
  )
}

/** The same from a file on disk, one tensor after the other: what the caller does not keep takes no memory. */
export async function* safetensorsOf(
  path: string,
): AsyncGenerator<[string, HostTensor], void, void> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const read = async (begin: number, end: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(end - begin)
      const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, begin)
      if (bytesRead < bytes.byteLength) throw new Error(`${path} became shorter while it was read`)
      return bytes
    }
    const body = bodyOffset(await read(0, Math.min(LENGTH_BYTES, size)), size)
    const stored = storedIn(await read(LENGTH_BYTES, body), size - body)
    for (const [name, { dtype, dims, begin, end }] of stored)
      yield [name, { dims, data: decode(await read(body + begin, body + end), dtype) }]
  } finally {
    await file.close()
  }
}

/** The metadata that a file carries beside its tensors. Throws an Error on a malformed header. */
export function safetensorsMetadata(file: Uint8Array): Record<string, string> {
  const body = bodyOffset(file, file.byteLength)
  return parseHeader(file.subarray(LENGTH_BYTES, body)).__metadata__ ?? {}
}

/** Where the tensors begin in a file of `size` bytes, from its first ones. */
function bodyOffset(start: Uint8Array, size: number): number {
  if (start.byteLength < LENGTH_BYTES) throw new Error('safetensors: the file has no header')
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength)
  const headerBytes = Number(view.getBigUint64(0, true))
  const body = LENGTH_BYTES + headerBytes
  if (headerBytes <= MAX_HEADER_BYTES && body <= size) return body
  // Only now: a header may well have the length that these formats begin with.
  throw new Error(
    isPickle(start)
      ? 'safetensors: this is a PyTorch pickle, which may run code when it is read'
      : `safetensors: a header of ${headerBytes} bytes does not fit the file`,
  )
}

type Stored = {
  readonly dtype: StoredDType
  readonly dims: readonly number[]
  /** Within the body. */
  readonly begin: number
  readonly end: number
}

function parseHeader(bytes: Uint8Array): z.infer<typeof Header> {
  try {
    return Header.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
  } catch (cause) {
    throw new Error('safetensors: the header is malformed or names an unsupported type', { cause })
  }
}

function storedIn(header: Uint8Array, bodyBytes: number): Map<string, Stored> {
  const { __metadata__, ...entries } = parseHeader(header)
  const stored = Object.entries(entries).map(([name, { dtype, shape, data_offsets }]) => {
    const [begin, end] = data_offsets
    if (end - begin !== elementCount(shape) * ELEMENT_BYTES[dtype] || end > bodyBytes)
      throw new Error(`safetensors: "${name}" has wrong offsets [${begin}, ${end}]`)
    return [name, { dtype, dims: shape, begin, end }] as const
  })
  // Or else a small file could ask for any amount of memory.
  let end = 0
  for (const [name, tensor] of stored.toSorted(
    ([, a], [, b]) => a.begin - b.begin || a.end - b.end,
  )) {
    if (tensor.begin < end) throw new Error(`safetensors: "${name}" overlaps another tensor`)
    end = tensor.end
  }
  return new Map(stored)
}

/** Whether a file begins as `torch.save` writes it: a zip archive, or before PyTorch 1.6 a pickle of protocol 2 and up. */
function isPickle([first = 0, second = 0]: Uint8Array): boolean {
  const isZip = first === 0x50 && second === 0x4b
  return isZip || (first === 0x80 && second >= 2 && second <= 5)
}

/** A safetensors file that is made part by part, so that no more than a tensor of it is in memory at once. */
export type SafetensorsParts = {
  /** Length of the whole file. */
  readonly bytes: number
  readonly parts: Iterable<Uint8Array>
}

/** Lays out tensors of these dims in the map's order; `tensor` is asked for each once, in that order. */
export function safetensorsParts(
  dims: ReadonlyMap<string, readonly number[]>,
  tensor: (name: string) => HostTensor,
  dtype: StoredDType = 'F32',
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): SafetensorsParts {
  let offset = 0
  const entries = [...dims].map(([name, shape]) => {
    const begin = offset
    offset += elementCount(shape) * ELEMENT_BYTES[dtype]
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const
  })
  const json = Buffer.from(
    JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }),
  )
  const padding = -(LENGTH_BYTES + json.byteLength) & (HEADER_ALIGNMENT - 1)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeBigUInt64LE(BigInt(json.byteLength + padding))
  const header = Buffer.concat([length, json, Buffer.alloc(padding, ' ')])
  function* parts() {
    yield header
    for (const name of dims.keys()) yield encode(tensor(name).data, dtype)
  }
  return { bytes: header.byteLength + offset, parts: parts() }
}

/** Writes tensors in the map's order. The same input gives the same bytes. Rounding is to nearest, ties to even. */
export function writeSafetensors(
  tensors: TensorMap,
  dtype?: StoredDType,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const dims = new Map([...tensors].map(([name, tensor]) => [name, tensor.dims]))
  const { parts } = safetensorsParts(dims, (name) => requireTensor(tensors, name), dtype, metadata)
  return Buffer.concat([...parts])
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
