// Named dimensions at run time: their sizes are read off the inputs that have them, once per graph.
import type { Dim } from './dims.ts'
import type { Graph, Value } from './graph.ts'

export class Sizes {
  readonly #graph: Graph
  readonly #sources = new Map<string, { readonly value: Value; readonly axis: number }>()
  readonly #known = new Map<string, Value>() // sizes and shapes emitted so far

  constructor(graph: Graph) {
    this.#graph = graph
  }

  /** Makes the names of an input's dimensions known. */
  declare(input: Value): void {
    input.dims.forEach((dim, axis) => {
      if (typeof dim === 'string' && !this.#sources.has(dim))
        this.#sources.set(dim, { value: input, axis })
    })
  }

  /** Some name that is known. Throws an Error when there is none. */
  any(): string {
    const [symbol] = this.#sources.keys()
    if (symbol === undefined) throw new Error('no input has a dimension of unknown size')
    return symbol
  }

  /** The size of a name, int64 [1]; "a*b" is the product of a and b. */
  sizeOf(symbol: string): Value {
    const cached = this.#known.get(symbol)
    if (cached) return cached
    const size = this.#emit(symbol)
    this.#known.set(symbol, size)
    return size
  }

  #emit(symbol: string): Value {
    const g = this.#graph
    const source = this.#sources.get(symbol)
    if (source) {
      const attributes = { start: { int: source.axis }, end: { int: source.axis + 1 } }
      return g.op('Shape', [source.value], { dims: [1], dtype: 'int64', attributes })
    }
    const factors = symbol.split('*')
    if (factors.length === 1) throw new Error(`no input has the dimension "${symbol}"`)
    return factors
      .map((factor) => (isNumber(factor) ? g.int64([Number(factor)]) : this.sizeOf(factor)))
      .reduce((product, factor) => g.mul(product, factor))
  }

  /** A shape, int64; an unknown name is an error, or for `infer` what the runtime finds out. */
  shape(dims: readonly Dim[], unknown: 'throw' | 'infer' = 'throw'): Value {
    const key = dims.join()
    const cached = this.#known.get(key)
    if (cached) return cached
    const g = this.#graph
    if (dims.every((dim) => typeof dim === 'number')) return g.int64(dims)
    const parts = dims.map((dim) => {
      if (typeof dim === 'number') return g.int64([dim])
      return unknown === 'infer' && !this.#isKnown(dim) ? g.int64([-1]) : this.sizeOf(dim)
    })
    const shape = g.concat(parts, 0)
    this.#known.set(key, shape)
    return shape
  }

  #isKnown(symbol: string): boolean {
    return symbol.split('*').every((factor) => isNumber(factor) || this.#sources.has(factor))
  }
}

const isNumber = (factor: string): boolean => /^\d+$/.test(factor)
