// Builds an ONNX graph node by node, inferring shapes as it goes. Dimensions are numbers or names; a name stands for
// whatever size the fed tensors have, so one graph serves every batch size and length.
import { broadcast, dimSum, dimsText, literalShape } from './dims.ts'
import type { Dim } from './dims.ts'
import { dtypeOf, Initializers } from './initializers.ts'
import { needed, orderedByNeed } from './order.ts'
import { ELEMENT_TYPE, encodeModel } from './proto.ts'
import type { Attribute, DType, NodeProto, ValueProto } from './proto.ts'
import { Sizes } from './sizes.ts'

/** A tensor inside a graph: what a node or an input produces. */
export type Value = { readonly name: string; readonly dtype: DType; readonly dims: readonly Dim[] }

type OpOptions = {
  readonly dims: readonly Dim[]
  readonly dtype?: DType
  readonly domain?: string
  readonly attributes?: Readonly<Record<string, Attribute>>
}

export class Graph {
  readonly name: string
  /** What it reads without being fed. */
  readonly initializers = new Initializers()
  readonly #nodes: NodeProto[] = []
  readonly #produced = new Set<string>()
  readonly #sizes = new Sizes(this)
  readonly #inputs: ValueProto[] = []
  readonly #outputs: ValueProto[] = []
  readonly #outputNames = new Map<string, string>() // inner name -> output name
  readonly #reshaped = new Map<string, Value>() // what a reshape is of

  constructor(name: string) {
    this.name = name
  }

  /** Declares a tensor fed at every run. Its named dimensions become known to `reshape` and `zeros`. */
  input(name: string, dtype: DType, dims: readonly Dim[]): Value {
    const value = { name, dtype, dims }
    this.#inputs.push(value)
    this.#sizes.declare(value)
    return value
  }

  /** A tensor stored in the model's own bytes; equal constants are stored once. */
  constant(data: Float32Array | Int32Array | BigInt64Array, dims: readonly number[]): Value {
    const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    return this.initializers.constant(dtypeOf(data), raw, dims)
  }

  scalar(value: number): Value {
    return this.constant(Float32Array.of(value), [])
  }

  int64(values: readonly number[]): Value {
    return this.constant(BigInt64Array.from(values, BigInt), [values.length])
  }

  /** Publishes a value under a name of the program's choosing. */
  output(name: string, value: Value): void {
    // Renaming costs nothing, but inputs, weights and values already published need a node of their own.
    const inner =
      this.#produced.has(value.name) && !this.#outputNames.has(value.name)
        ? value
        : this.op('Identity', [value], { dims: value.dims, dtype: value.dtype })
    this.#outputNames.set(inner.name, name)
    this.#outputs.push({ name, dtype: value.dtype, dims: value.dims })
  }

  /** Appends one node with one output, whose shape the caller states. */
  op(op: string, inputs: readonly Value[], options: OpOptions): Value {
    const { dims, dtype = 'float32', domain = '', attributes = {} } = options
    const name = `v${this.#nodes.length}`
    this.#produced.add(name)
    this.#nodes.push({
      op,
      domain,
      inputs: inputs.map((input) => input.name),
      outputs: [name],
      attributes,
    })
    return { name, dtype, dims }
  }

  // ---- elementwise ----

  #binary(op: string, a: Value, b: Value, dtype: DType = a.dtype): Value {
    return this.op(op, [a, b], { dims: broadcast(a.dims, b.dims), dtype })
  }

  #unary(op: string, x: Value): Value {
    return this.op(op, [x], { dims: x.dims, dtype: x.dtype })
  }

  add(a: Value, b: Value): Value {
    return this.#binary('Add', a, b)
  }

  sub(a: Value, b: Value): Value {
    return this.#binary('Sub', a, b)
  }

  mul(a: Value, b: Value): Value {
    return this.#binary('Mul', a, b)
  }

  div(a: Value, b: Value): Value {
    return this.#binary('Div', a, b)
  }

  equal(a: Value, b: Value): Value {
    return this.#binary('Equal', a, b, 'bool')
  }

  lessOrEqual(a: Value, b: Value): Value {
    return this.#binary('LessOrEqual', a, b, 'bool')
  }

  less(a: Value, b: Value): Value {
    return this.#binary('Less', a, b, 'bool')
  }

  and(a: Value, b: Value): Value {
    return this.#binary('And', a, b)
  }

  where(condition: Value, a: Value, b: Value): Value {
    const dims = broadcast(condition.dims, broadcast(a.dims, b.dims))
    return this.op('Where', [condition, a, b], { dims, dtype: a.dtype })
  }

  /** x, to the bit, but available only once `other`, of the same shape, is: an order that no optimiser undoes. */
  after(x: Value, other: Value): Value {
    const always = this.less(this.int64([0]), this.sizeOf(this.#sizes.any())) // as only the run itself can know
    return this.where(always, x, other)
  }

  neg(x: Value): Value {
    return this.#unary('Neg', x)
  }

  exp(x: Value): Value {
    return this.#unary('Exp', x)
  }

  log(x: Value): Value {
    return this.#unary('Log', x)
  }

  sqrt(x: Value): Value {
    return this.#unary('Sqrt', x)
  }

  sigmoid(x: Value): Value {
    return this.#unary('Sigmoid', x)
  }

  cast(x: Value, dtype: DType): Value {
    if (x.dtype === dtype) return x
    return this.op('Cast', [x], {
      dims: x.dims,
      dtype,
      attributes: { to: { int: ELEMENT_TYPE[dtype] } },
    })
  }

  // ---- contractions ----

  /** Batched matrix product over the last two axes. */
  matMul(a: Value, b: Value): Value {
    const [m, inner] = a.dims.slice(-2)
    const [inner2, n] = b.dims.slice(-2)
    if (m === undefined || n === undefined || inner !== inner2) {
      throw new Error(`cannot multiply ${dimsText(a.dims)} by ${dimsText(b.dims)}`)
    }
    const batch = broadcast(a.dims.slice(0, -2), b.dims.slice(0, -2))
    return this.op('MatMul', [a, b], { dims: [...batch, m, n] })
  }

  /** alpha * op(a) op(b) + c, all of rank two; c may be absent. */
  gemm(a: Value, b: Value, options: GemmOptions = {}): Value {
    const { transA = false, transB = false, alpha = 1, c } = options
    const [m, inner] = transA ? [a.dims[1], a.dims[0]] : a.dims
    const [inner2, n] = transB ? [b.dims[1], b.dims[0]] : b.dims
    if (m === undefined || n === undefined || inner !== inner2) {
      throw new Error(`cannot multiply ${dimsText(a.dims)} by ${dimsText(b.dims)}`)
    }
    return this.op('Gemm', c ? [a, b, c] : [a, b], {
      dims: [m, n],
      attributes: {
        alpha: { float: alpha },
        transA: { int: Number(transA) },
        transB: { int: Number(transB) },
      },
    })
  }

  // ---- reductions ----

  #reduce(op: string, x: Value, axes: readonly number[], keepDims: boolean): Value {
    const positive = axes.map((axis) => (axis < 0 ? axis + x.dims.length : axis))
    const dims = keepDims
      ? x.dims.map((dim, axis) => (positive.includes(axis) ? 1 : dim))
      : x.dims.filter((_, axis) => !positive.includes(axis))
    return this.op(op, [x, this.int64(positive)], {
      dims,
      attributes: { keepdims: { int: Number(keepDims) } },
    })
  }

  reduceSum(x: Value, axes: readonly number[], keepDims = false): Value {
    return this.#reduce('ReduceSum', x, axes, keepDims)
  }

  reduceMean(x: Value, axes: readonly number[], keepDims = false): Value {
    return this.#reduce('ReduceMean', x, axes, keepDims)
  }

  reduceMax(x: Value, axes: readonly number[], keepDims = false): Value {
    return this.#reduce('ReduceMax', x, axes, keepDims)
  }

  /** Softmax over the last axis. */
  softmax(x: Value): Value {
    return this.op('Softmax', [x], { dims: x.dims, attributes: { axis: { int: -1 } } })
  }

  // ---- layout ----

  /** A permutation that leaves the numbers in their order, because it moves axes of size 1 only, is a reshape. */
  transpose(x: Value, perm: readonly number[]): Value {
    const dims = perm.map((axis) => x.dims[axis] ?? 1)
    const wide = perm.filter((axis) => x.dims[axis] !== 1)
    const isOrdered = wide.every((axis, i) => i === 0 || axis > (wide[i - 1] ?? 0))
    return isOrdered ? this.reshape(x, dims) : this.#transposed(x, perm)
  }

  #transposed(x: Value, perm: readonly number[]): Value {
    const dims = perm.map((axis) => x.dims[axis] ?? 1)
    return this.op('Transpose', [x], { dims, dtype: x.dtype, attributes: { perm: { ints: perm } } })
  }

  /** Swaps the last two axes. */
  matrixTranspose(x: Value): Value {
    const rank = x.dims.length
    const perm = Array.from({ length: rank }, (_, axis) => axis)
    return this.#transposed(x, [...perm.slice(0, -2), rank - 1, rank - 2])
  }

  /** `dims` may hold one name that no input has: its size follows from the others. */
  reshape(x: Value, dims: readonly Dim[]): Value {
    // A shape after another counts alone; the node in between goes unless something else reads it.
    const first = this.#reshaped.get(x.name)
    const source = first && literalShape(first.dims, dims) ? first : x
    const literal = literalShape(source.dims, dims)
    const shape = literal ? this.int64(literal) : this.#sizes.shape(dims, 'infer')
    const y = this.op('Reshape', [source, shape], { dims, dtype: x.dtype })
    this.#reshaped.set(y.name, source)
    return y
  }

  /** x cut into `count` equal parts of dimension `size` along one axis. */
  split(x: Value, axis: number, count: number, size: Dim): readonly Value[] {
    if (count === 1) return [x]
    const dims = x.dims.map((dim, i) => (i === axis ? size : dim))
    const parts = Array.from({ length: count }, (_, part) => `v${this.#nodes.length}.${part}`)
    for (const part of parts) this.#produced.add(part)
    this.#nodes.push({
      op: 'Split',
      domain: '',
      inputs: [x.name],
      outputs: parts,
      attributes: { axis: { int: axis }, num_outputs: { int: count } },
    })
    return parts.map((name) => ({ name, dtype: x.dtype, dims }))
  }

  concat(values: readonly Value[], axis: number): Value {
    const [first] = values
    if (!first) throw new Error('concat needs at least one value')
    if (values.length === 1) return first
    const at = axis < 0 ? axis + first.dims.length : axis
    const sizes = values.map((value) => value.dims[at] ?? 1)
    const dims = first.dims.map((dim, i) => (i === at ? dimSum(sizes) : dim))
    return this.op('Concat', values, {
      dims,
      dtype: first.dtype,
      attributes: { axis: { int: at } },
    })
  }

  /** `times` copies of x along one axis. */
  tile(x: Value, axis: number, times: number): Value {
    return this.concat(
      Array.from({ length: times }, () => x),
      axis,
    )
  }

  /** x[start, end) along one axis; the bounds are numbers or int64 [1] values, `size` is the resulting dimension. */
  slice(x: Value, axis: number, start: number | Value, end: number | Value, size: Dim): Value {
    const bound = (at: number | Value): Value => (typeof at === 'number' ? this.int64([at]) : at)
    const at = axis < 0 ? axis + x.dims.length : axis
    const dims = x.dims.map((dim, i) => (i === at ? size : dim))
    const inputs = [x, bound(start), bound(end), this.int64([at])]
    return this.op('Slice', inputs, { dims, dtype: x.dtype })
  }

  // ---- indexing ----

  /** Rows of `table` along axis 0. */
  gather(table: Value, indices: Value): Value {
    const dims = [...indices.dims, ...table.dims.slice(1)]
    return this.op('Gather', [table, indices], {
      dims,
      dtype: table.dtype,
      attributes: { axis: { int: 0 } },
    })
  }

  /** One element of each row: x [M, V], indices [M] -> [M, 1]. */
  pick(x: Value, indices: Value): Value {
    const rows = indices.dims[0] ?? 1
    const column = this.reshape(indices, [rows, 1])
    return this.op('GatherElements', [x, column], {
      dims: [rows, 1],
      attributes: { axis: { int: 1 } },
    })
  }

  /** base with rows[i] added to row indices[i]; indices may repeat. */
  scatterAddRows(base: Value, indices: Value, rows: Value): Value {
    const column = this.cast(this.reshape(indices, [indices.dims[0] ?? 1, 1]), 'int64')
    return this.op('ScatterND', [base, column, rows], {
      dims: base.dims,
      attributes: { reduction: { string: 'add' } },
    })
  }

  zeros(dims: readonly Dim[]): Value {
    const value = { name: '', dtype: 'float32', dims: [1], data: new Uint8Array(4) } as const
    return this.op('ConstantOfShape', [this.#sizes.shape(dims)], {
      dims,
      attributes: { value: { tensor: value } },
    })
  }

  /** The integers 0, 1, ... below the size of a named dimension, int64. */
  range(symbol: string): Value {
    const scalar = (values: readonly bigint[]): Value =>
      this.constant(BigInt64Array.from(values), [])
    const end = this.reshape(this.sizeOf(symbol), [])
    return this.op('Range', [scalar([0n]), end, scalar([1n])], { dims: [symbol], dtype: 'int64' })
  }

  /** The size that a named dimension has at run time, int64 [1]; "a*b" is the product of a and b. */
  sizeOf(symbol: string): Value {
    return this.#sizes.sizeOf(symbol)
  }

  get inputs(): readonly ValueProto[] {
    return this.#inputs
  }

  get outputs(): readonly ValueProto[] {
    return this.#outputs
  }

  /** The bytes of the `.onnx` model, deterministic, without the weights. */
  encode(): Uint8Array {
    const renamed = (name: string): string => this.#outputNames.get(name) ?? name
    const nodes = this.#nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(renamed),
      outputs: node.outputs.map(renamed),
    }))
    return encodeModel({
      name: this.name,
      nodes: orderedByNeed(needed(nodes, this.#outputs)),
      initializers: this.initializers.stored,
      inputs: [...this.#inputs, ...this.initializers.inPlace],
      outputs: this.#outputs,
    })
  }
}

export type GemmOptions = {
  readonly transA?: boolean
  readonly transB?: boolean
  readonly alpha?: number
  readonly c?: Value
}
