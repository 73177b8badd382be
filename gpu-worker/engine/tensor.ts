// Tensors outside a graph: what is fed to a session, what it answers, what files hold.

/** A dense row-major tensor in host memory. */
export type HostTensor<Data extends Float32Array | Int32Array | Uint8Array = Float32Array> = {
  readonly dims: readonly number[]
  readonly data: Data
}

/** Named float32 tensors: a model's parameters, an adapter, their gradients. */
export type TensorMap = ReadonlyMap<string, HostTensor>

/** Parameters as a session attaches them: quantized matrices are bytes. */
export type ParameterMap = ReadonlyMap<string, HostTensor | HostTensor<Uint8Array>>

export const elementCount = (dims: readonly number[]): number =>
  dims.reduce((product, dim) => product * dim, 1)

/** The tensor of that name; throws an Error naming it when it is missing. */
export function requireTensor<Tensor>(tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const tensor = tensors.get(name)
  if (!tensor) throw new Error(`tensor "${name}" is missing`)
  return tensor
}

/** Euclidean norm over all tensors together. */
export function globalNorm(tensors: TensorMap): number {
  let sum = 0
  for (const { data } of tensors.values()) {
    // An index loop: the iterator of a typed array is ten times slower.
    for (let i = 0; i < data.length; i++) sum += (data[i] as number) * (data[i] as number)
  }
  return Math.sqrt(sum)
}

/** Zeros in the shapes of these tensors. */
export const zerosLike = (tensors: TensorMap): TensorMap =>
  new Map(
    [...tensors].map(([name, { dims }]): [string, HostTensor] => [
      name,
      { dims, data: new Float32Array(elementCount(dims)) },
    ]),
  )

/** into += factor * tensors, one by one: gradient accumulation. `into` must hold the same names. */
export function accumulate(into: TensorMap, tensors: TensorMap, factor = 1): void {
  for (const [name, { data }] of tensors) {
    const target = requireTensor(into, name).data
    for (let i = 0; i < data.length; i++) target[i] = (target[i] ?? 0) + factor * (data[i] ?? 0)
  }
}

/**
 * Whether all numbers are numbers and at most `most` in size; without `most`, whether they are finite. A loop, because a
 * callback for each of millions of numbers takes ten times as long.
 */
export function areWithin(data: Float32Array, most = Number.MAX_VALUE): boolean {
  for (let i = 0; i < data.length; i++) if (!(Math.abs(data[i] as number) <= most)) return false
  return true
}
