// The tensors that a graph does not compute: constants in the model's own bytes, weights that the session attaches, and
// weights that the runtime reads where they are.
import type { Value } from './graph.ts'
import type { DType, TensorProto, ValueProto } from './proto.ts'

type Held = ValueProto & { readonly dims: readonly number[] }

export class Initializers {
  readonly #constants = new Map<string, TensorProto>()
  readonly #weights: TensorProto[] = []
  readonly #held: Held[] = []

  /** A constant; equal ones are stored once. `raw` holds one number per byte of uint8, two per byte of uint4. */
  constant(dtype: DType, raw: Uint8Array, dims: readonly number[]): Value {
    const key = `${dtype}:${dims}:${Buffer.from(raw).toString('latin1')}`
    const tensor = this.#constants.get(key) ?? {
      name: `c${this.#constants.size}`,
      dtype,
      dims,
      data: raw,
    }
    this.#constants.set(key, tensor)
    return { name: tensor.name, dtype, dims }
  }

  /** Declares a tensor that the session attaches once, when it opens. */
  weight(name: string, dims: readonly number[], dtype: DType = 'float32'): Value {
    this.#weights.push({ name, dtype, dims })
    return { name, dtype, dims }
  }

  /** Declares a float32 weight that the runtime reads where the session's caller holds it, instead of copying it. */
  held(name: string, dims: readonly number[]): Value {
    const value = { name, dtype: 'float32', dims } as const
    this.#held.push(value)
    return value
  }

  /** A weight's bytes read as another type, stored once. */
  reinterpret(weight: Value, dims: readonly number[], dtype: DType): Value {
    const name = `${weight.name}:${dtype}`
    if (!this.#weights.some((known) => known.name === name))
      this.#weights.push({ name, dtype, dims, source: weight.name })
    return { name, dtype, dims }
  }

  /** What the session attaches. */
  get attached(): readonly TensorProto[] {
    return this.#weights.filter(({ source }) => source === undefined)
  }

  /** What the runtime reads in place. */
  get inPlace(): readonly Held[] {
    return this.#held
  }

  /** What stands in the model's list of initializers. */
  get stored(): readonly TensorProto[] {
    return [...this.#constants.values(), ...this.#weights]
  }
}

/** The type of a constant by its array. */
export const dtypeOf = (data: Float32Array | Int32Array | BigInt64Array): DType =>
  data instanceof Float32Array ? 'float32' : data instanceof Int32Array ? 'int32' : 'int64'
