// Writes GGUF files, version 3, little-endian: header, metadata, tensor infos, then the tensors at multiples of 32 bytes.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
import { elementCount } from './tensor.ts'
import type { TensorMap } from './tensor.ts'

export type GgufValue =
  | { readonly string: string }
  | { readonly float32: number }
  | { readonly uint32: number }
  | { readonly strings: readonly string[] }
  | { readonly int32s: readonly number[] }

const MAGIC = 'GGUF'
const VERSION = 3
const ALIGNMENT = 32 // the format's default, hence not in the metadata
const VALUE_TYPE = { uint32: 4, int32: 5, float32: 6, string: 8, array: 9 } as const
const TENSOR_TYPE_F32 = 0

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value, 'utf8')
  return Buffer.concat([u64(bytes.byteLength), bytes])
}

function metadataValue(value: GgufValue): Buffer {
  const list = (type: number, items: readonly Buffer[]): Buffer =>
    Buffer.concat([u32(VALUE_TYPE.array), u32(type), u64(items.length), ...items])
  if ('string' in value) return Buffer.concat([u32(VALUE_TYPE.string), text(value.string)])
  if ('float32' in value) return Buffer.concat([u32(VALUE_TYPE.float32), f32(value.float32)])
  if ('uint32' in value) return Buffer.concat([u32(VALUE_TYPE.uint32), u32(value.uint32)])
  if ('strings' in value) return list(VALUE_TYPE.string, value.strings.map(text))
  return list(
    VALUE_TYPE.int32,
    value.int32s.map((item) => u32(item >>> 0)),
  )
}

const padding = (length: number): Buffer => Buffer.alloc(-length & (ALIGNMENT - 1))

/** The file's bytes, tensors as float32 in the map's order. The same input gives the same bytes. */
export function writeGguf(
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: TensorMap,
): Uint8Array {
  const entries = Object.entries(metadata)
  let offset = 0
  const infos = [...tensors].map(([name, { dims }]) => {
    const info = Buffer.concat([
      text(name),
      u32(dims.length),
      ...dims.toReversed().map(u64), // the fastest dimension first
      u32(TENSOR_TYPE_F32),
      u64(offset),
    ])
    const bytes = 4 * elementCount(dims)
    offset += bytes + padding(bytes).byteLength
    return info
  })
  const head = Buffer.concat([
    Buffer.from(MAGIC),
    u32(VERSION),
    u64(tensors.size),
    u64(entries.length),
    ...entries.flatMap(([key, value]) => [text(key), metadataValue(value)]),
    ...infos,
  ])
  const bodies = [...tensors.values()].flatMap(({ data }) => [
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    padding(data.byteLength),
  ])
  return Buffer.concat([head, padding(head.byteLength), ...bodies])
}
