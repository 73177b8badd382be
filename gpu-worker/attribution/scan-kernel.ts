/**
 * Dot products of one int8 vector with many, in WebAssembly SIMD, emitted here byte by byte: about a fifth of a kilobyte needs
 * no build step. Sums are integers, so they equal `dotInt8`'s to the bit whatever the order.
 *
 * scan(rows, count, query, queryEnd, out): `rows` are `count` vectors of int8, one after the other; the query is int16, so
 * that a column costs one widening load and half a multiply-add; `out` takes int32. The stride is (queryEnd - query) / 2
 * bytes, a multiple of LANES.
 */

/** Columns per turn of the inner loop: four accumulators of eight, which hide the latency of the multiply-add. */
export const LANES = 32

// Opcodes of the WebAssembly core specification 2.0, section 5.4.
const get = (local: number) => [0x20, local]
const set = (local: number) => [0x21, local]
const block = [0x02, 0x40]
const loop = [0x03, 0x40]
const end = [0x0b]
const branch = (depth: number) => [0x0c, depth]
const branchIf = (depth: number) => [0x0d, depth]
const i32 = {
  const: (value: number) => [0x41, ...signed(value)],
  eqz: [0x45],
  ltU: [0x49],
  add: [0x6a],
  store: [0x36, 2, 0],
} as const
const simd = (opcode: number, ...rest: number[]) => [0xfd, ...unsigned(opcode), ...rest]
const v128 = {
  load: (offset: number) => simd(0x00, 0, ...unsigned(offset)),
  /** Eight int8 widened to int16. */
  load8x8: (offset: number) => simd(0x01, 0, ...unsigned(offset)),
  zero: simd(0x0c, ...new Array<number>(16).fill(0)),
  lane: (lane: number) => simd(0x1b, lane),
  add: simd(0xae),
  /** Products of eight int16, neighbours added: four int32. */
  dot: simd(0xba),
} as const

const [ROWS, COUNT, QUERY, QUERY_END, OUT, AT, SUM] = [0, 1, 2, 3, 4, 5, 6]
const ACCUMULATORS = [7, 8, 9, 10] as const

const columns = ACCUMULATORS.flatMap((accumulator, i) => [
  ...get(ROWS),
  ...v128.load8x8(8 * i),
  ...get(AT),
  ...v128.load(16 * i),
  ...v128.dot,
  ...get(accumulator),
  ...v128.add,
  ...set(accumulator),
])
const advance = (local: number, by: number) => [
  ...get(local),
  ...i32.const(by),
  ...i32.add,
  ...set(local),
]
const total = [
  ...ACCUMULATORS.flatMap((accumulator) => get(accumulator)),
  ...ACCUMULATORS.slice(1).flatMap(() => v128.add),
  ...set(7),
  ...[0, 1, 2, 3].flatMap((lane) => [...get(7), ...v128.lane(lane)]),
  ...i32.add,
  ...i32.add,
  ...i32.add,
  ...set(SUM),
]
const body = [
  ...block,
  ...loop,
  ...get(COUNT),
  ...i32.eqz,
  ...branchIf(1),
  ...get(QUERY),
  ...set(AT),
  ...ACCUMULATORS.flatMap((accumulator) => [...v128.zero, ...set(accumulator)]),
  ...loop,
  ...columns,
  ...advance(ROWS, LANES),
  ...advance(AT, 2 * LANES),
  ...get(AT),
  ...get(QUERY_END),
  ...i32.ltU,
  ...branchIf(0),
  ...end,
  ...total,
  ...get(OUT),
  ...get(SUM),
  ...i32.store,
  ...advance(OUT, 4),
  ...advance(COUNT, -1),
  ...branch(0),
  ...end,
  ...end,
  ...end,
]

const MODULE = Uint8Array.from([
  0x00,
  0x61,
  0x73,
  0x6d,
  1,
  0,
  0,
  0,
  ...section(1, [1, 0x60, 5, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0]), // (i32 x 5) -> ()
  ...section(2, [1, ...name('js'), ...name('memory'), 2, 0, 0]),
  ...section(3, [1, 0]),
  ...section(7, [1, ...name('scan'), 0, 0]),
  ...section(10, [1, ...sized([2, 2, 0x7f, 4, 0x7b, ...body])]), // locals: 2 i32, 4 v128
])

export type ScanKernel = (
  rows: number,
  count: number,
  query: number,
  queryEnd: number,
  out: number,
) => void

export type Memory = { readonly buffer: ArrayBuffer }

/** What is used of the WebAssembly JavaScript interface; neither TypeScript's Node library nor @types/node declare it whole. */
const { WebAssembly: wasm } = globalThis as unknown as {
  WebAssembly: {
    Memory: new (size: { initial: number; maximum: number }) => Memory
    Module: new (bytes: Uint8Array) => object
    Instance: new (
      module: object,
      imports: { js: { memory: Memory } },
    ) => { exports: { scan: ScanKernel } }
  }
}
const PAGE_BYTES = 65_536
let compiled: object | undefined

/** A memory of at least `bytes` bytes, zeroed. */
export function openMemory(bytes: number): Memory {
  const pages = Math.ceil(bytes / PAGE_BYTES)
  return new wasm.Memory({ initial: pages, maximum: pages })
}

/** The kernel over a memory. */
export function scanKernel(memory: Memory): ScanKernel {
  compiled ??= new wasm.Module(MODULE)
  return new wasm.Instance(compiled, { js: { memory } }).exports.scan
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}

function signed(value: number): number[] {
  const isLast = value >= -0x40 && value < 0x40
  return isLast ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)]
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes]
}

function section(id: number, bytes: readonly number[]): number[] {
  return [id, ...sized(bytes)]
}

function name(text: string): number[] {
  return sized([...new TextEncoder().encode(text)])
}
