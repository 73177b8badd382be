// Reverse-mode automatic differentiation over an ONNX graph (Griewank & Walther, "Evaluating Derivatives", ch. 3).
// Every differentiable op records how the gradient of its output becomes gradients of its inputs; `gradients` walks the
// records backwards and emits the backward pass into the same graph.
import type { Graph, Value } from '../onnx/graph.ts'

/**
 * Emits one input's share of the gradient, given what other uses of that input have contributed so far. It returns the
 * sum: ops that can add for free (Gemm's C, ScatterND's base) fold `accumulated` in, the others use `Tape.sum`.
 */
export type Pullback = (accumulated: Value | undefined) => Value

/** Maps the output's gradient to one pullback per input; `null` for inputs without a gradient, such as indices. */
export type Vjp = (outputGradient: Value) => readonly (Pullback | null)[]

type TapeRecord = { readonly output: Value; readonly inputs: readonly Value[]; readonly vjp: Vjp }

export class Tape {
  readonly graph: Graph
  readonly #records: TapeRecord[] = []

  constructor(graph: Graph) {
    this.graph = graph
  }

  /** Remembers how to differentiate `output`, and returns it. */
  record(output: Value, inputs: readonly Value[], vjp: Vjp): Value {
    this.#records.push({ output, inputs, vjp })
    return output
  }

  /** Emits the gradients of the scalar `loss` with respect to inputs, weights or intermediate values. */
  gradients(loss: Value, wrt: readonly Value[]): readonly Value[] {
    const reached = new Set(wrt.map((value) => value.name))
    for (const { output, inputs } of this.#records) {
      if (inputs.some((input) => reached.has(input.name))) reached.add(output.name)
    }
    const gradient = new Map([[loss.name, this.graph.scalar(1)]])
    for (const { output, inputs, vjp } of this.#records.toReversed()) {
      const outputGradient = gradient.get(output.name)
      if (!outputGradient || !inputs.some((input) => reached.has(input.name))) continue
      const pullbacks = vjp(outputGradient)
      inputs.forEach((input, position) => {
        const pullback = pullbacks[position]
        if (pullback && reached.has(input.name)) {
          gradient.set(input.name, pullback(gradient.get(input.name)))
        }
      })
    }
    return wrt.map((value) => {
      const found = gradient.get(value.name)
      if (!found) throw new Error(`the loss does not depend on ${value.name}`)
      return found
    })
  }

  /** accumulated + value, or value alone when nothing has been accumulated. */
  sum(accumulated: Value | undefined, value: Value): Value {
    return accumulated ? this.graph.add(accumulated, value) : value
  }
}

/** Computes a value at first use and then remembers it: several pullbacks of one op may share it, or none need it. */
export function lazy<T>(compute: () => T): () => T {
  let cell: { readonly value: T } | undefined
  return () => (cell ??= { value: compute() }).value
}
