// Dimensions that may be known only at run time. A name stands for a size; "a*b" for a product, "a+b" for a sum.

export type Dim = number | string

/** Dimensions for messages. */
export const dimsText = (dims: readonly Dim[]): string => `[${dims.join(', ')}]`

/** The shape of an elementwise op (NumPy's rule); a name broadcasts only with itself or 1. */
export function broadcast(a: readonly Dim[], b: readonly Dim[]): readonly Dim[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, axis) => {
    const x = a[axis - rank + a.length] ?? 1
    const y = b[axis - rank + b.length] ?? 1
    if (x === y || y === 1) return x
    if (x === 1) return y
    throw new Error(`cannot broadcast ${dimsText(a)} with ${dimsText(b)}`)
  })
}

/** The product of dimensions as one dimension; names are joined by "*". */
export function dimProduct(...dims: readonly Dim[]): Dim {
  const factors = dims.filter((dim) => dim !== 1)
  return factors.every((dim) => typeof dim === 'number')
    ? factors.reduce((all, dim) => all * dim, 1)
    : factors.join('*')
}

/** The sum of dimensions as one dimension: the size of a concatenation. */
export function dimSum(dims: readonly Dim[]): Dim {
  if (dims.every((dim) => typeof dim === 'number')) return dims.reduce((sum, dim) => sum + dim, 0)
  const [first = 1] = dims
  return dims.every((dim) => dim === first) ? dimProduct(dims.length, first) : dims.join('+')
}

/**
 * What ONNX's Reshape is told to get from one shape to another: 0 copies the dimension of the same place, -1 infers one. Null
 * when more than one would have to be inferred.
 */
export function literalShape(from: readonly Dim[], to: readonly Dim[]): readonly number[] | null {
  const literal = to.map((dim, axis) =>
    typeof dim === 'number' ? dim : from[axis] === dim ? 0 : -1,
  )
  return literal.filter((dim) => dim === -1).length <= 1 ? literal : null
}
