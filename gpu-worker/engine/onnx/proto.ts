// A writer for the subset of onnx.proto that the engine emits. Field numbers: onnx/onnx.proto (IR version 10).
// A message is a list of byte chunks: nesting never copies the payload, the bytes are joined once at the end.

export type DType = 'float32' | 'int32' | 'int64' | 'bool' | 'uint8' | 'uint4'

export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string }
  | { readonly tensor: TensorProto }

/**
 * A tensor stored in the model, or only declared there (`data` absent) and supplied when the session opens under its
 * name or that of `source`: two tensors may read the same bytes as different types.
 */
export type TensorProto = {
  readonly name: string
  readonly dtype: DType
  readonly dims: readonly number[]
  readonly data?: Uint8Array
  readonly source?: string
}

export type NodeProto = {
  readonly op: string
  readonly domain: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** A graph input or output; a string is a symbolic dimension. */
export type ValueProto = {
  readonly name: string
  readonly dtype: DType
  readonly dims: readonly (number | string)[]
}

export type ModelProto = {
  readonly name: string
  readonly nodes: readonly NodeProto[]
  readonly initializers: readonly TensorProto[]
  readonly inputs: readonly ValueProto[]
  readonly outputs: readonly ValueProto[]
}

const IR_VERSION = 10
const OPSETS: readonly (readonly [domain: string, version: number])[] = [
  ['', 21],
  ['com.microsoft', 1],
]

/** TensorProto.DataType. */
export const ELEMENT_TYPE = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  uint4: 21,
} as const satisfies Record<DType, number>
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, tensor: 4, ints: 7 } as const
const DATA_LOCATION_EXTERNAL = 1

type Message = readonly Uint8Array[]

const utf8 = new TextEncoder()

function varint(value: number | bigint): Uint8Array {
  // Negative int64 values take ten bytes in two's complement, as protobuf prescribes.
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes: number[] = []
  do {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    bytes.push(rest === 0n ? low : low | 0x80)
  } while (rest !== 0n)
  return Uint8Array.from(bytes)
}

const key = (field: number, wireType: number): Uint8Array => varint(field * 8 + wireType)

const integer = (field: number, value: number): Message => [key(field, 0), varint(value)]

function float(field: number, value: number): Message {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setFloat32(0, value, true)
  return [key(field, 5), bytes]
}

function nested(field: number, ...parts: readonly Message[]): Message {
  const chunks = parts.flat()
  const length = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
  return [key(field, 2), varint(length), ...chunks]
}

const bytes = (field: number, value: Uint8Array): Message => nested(field, [value])
const text = (field: number, value: string): Message => bytes(field, utf8.encode(value))

function tensor(field: number, { name, dtype, dims, data, source = name }: TensorProto): Message {
  const head = [
    ...dims.map((dim) => integer(1, dim)),
    integer(2, ELEMENT_TYPE[dtype]),
    text(8, name),
  ]
  if (data !== undefined) return nested(field, ...head, bytes(9, data))
  // The location is a name, not a path: the session attaches one in-memory file per weight, so nothing is joined.
  const location = nested(13, text(1, 'location'), text(2, source))
  return nested(field, ...head, location, integer(14, DATA_LOCATION_EXTERNAL))
}

function attribute(name: string, value: Attribute): Message {
  const typed = (type: number, ...body: Message[]): Message =>
    nested(5, text(1, name), ...body, integer(20, type))
  if ('float' in value) return typed(ATTRIBUTE_TYPE.float, float(2, value.float))
  if ('int' in value) return typed(ATTRIBUTE_TYPE.int, integer(3, value.int))
  if ('string' in value) return typed(ATTRIBUTE_TYPE.string, text(4, value.string))
  if ('tensor' in value) return typed(ATTRIBUTE_TYPE.tensor, tensor(5, value.tensor))
  return typed(ATTRIBUTE_TYPE.ints, ...value.ints.map((item) => integer(8, item)))
}

function node({ op, domain, inputs, outputs, attributes }: NodeProto): Message {
  return nested(
    1,
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    text(7, domain),
  )
}

function valueInfo(field: number, { name, dtype, dims }: ValueProto): Message {
  const dimensions = dims.map((dim) =>
    nested(1, typeof dim === 'number' ? integer(1, dim) : text(2, dim)),
  )
  const tensorType = nested(1, integer(1, ELEMENT_TYPE[dtype]), nested(2, ...dimensions))
  return nested(field, text(1, name), nested(2, tensorType))
}

/** Serialises a model to the bytes of an `.onnx` file. The same model always gives the same bytes. */
export function encodeModel(model: ModelProto): Uint8Array {
  const graph = nested(
    7,
    ...model.nodes.map(node),
    text(2, model.name),
    ...model.initializers.map((initializer) => tensor(5, initializer)),
    ...model.inputs.map((input) => valueInfo(11, input)),
    ...model.outputs.map((output) => valueInfo(12, output)),
  )
  const opsets = OPSETS.flatMap(([domain, version]) =>
    nested(8, text(1, domain), integer(2, version)),
  )
  return Buffer.concat([...integer(1, IR_VERSION), ...text(2, 'openledger'), ...graph, ...opsets])
}
