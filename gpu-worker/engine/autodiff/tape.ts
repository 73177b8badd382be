// Reverse-mode automatic differentiation over an ONNX graph (Griewank & Walther, "Evaluating Derivatives", ch. 3).
// Every differentiable op records how the gradient of its output becomes gradients of its inputs; `gradients` walks the
// records backwards and emits the backward pass into the same graph.
import type { Graph, Value } from '../onnx/graph.ts'

/**
 * Emits one input's share of the gradient, given what other uses of that input have contributed so far. It returns the
 * sum: ops that can add for free (Gemm's C, ScatterND's base) fold `accumulated` in, the others use `Tape.sum`.
 */
export type Pullback = (accumulated: Value | undefined) => Value

/**
 * Maps the output's gradient to one pullback per input; `null` for inputs without a gradient, such as indices. `needed`
 * tells whose gradient will be asked for.
 */
export type Vjp = (
  outputGradient: Value,
  needed: (input: Value) => boolean,
) => readonly (Pullback | null)[]

type TapeRecord = { readonly output: Value; readonly inputs: readonly Value[]; readonly vjp: Vjp }

export class Tape {
  readonly graph: Graph
  #records: TapeRecord[] = []

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
    return backward(this.#records, loss, this.graph.scalar(1), wrt)
  }

  /**
   * body(x), whose intermediate values the backward pass computes again from x instead of keeping them (Chen et al.
   * 2016, gradient checkpointing). The second computation waits for the output's gradient: a runtime can neither merge
   * it with the first nor run it early, and so holds the intermediate values of one segment at a time.
   */
  checkpoint(x: Value, body: (x: Value) => Value): Value {
    const { output, records } = this.#segment(() => body(x))
    const produced = new Set(records.map((record) => record.output.name))
    const inputs = records.flatMap((record) => record.inputs)
    const external = [...new Map(inputs.map((input) => [input.name, input])).values()].filter(
      (input) => !produced.has(input.name),
    )
    return this.record(output, external, (outputGradient, needed) => {
      const late = this.graph.after(x, outputGradient)
      const again = this.#segment(() => body(late))
      const wrt = external.filter(needed)
      const gradients = backward(
        again.records,
        again.output,
        outputGradient,
        wrt.map((value) => (value.name === x.name ? late : value)),
      )
      return external.map((value) => {
        const gradient = gradients[wrt.indexOf(value)]
        return gradient ? (sum) => this.sum(sum, gradient) : null
      })
    })
  }

  /** What `emit` records, apart from the tape. */
  #segment(emit: () => Value): { readonly output: Value; readonly records: readonly TapeRecord[] } {
    const outer = this.#records
    const records: TapeRecord[] = []
    this.#records = records
    const output = emit()
    this.#records = outer
    return { output, records }
  }

  /** accumulated + value, or value alone when nothing has been accumulated. */
  sum(accumulated: Value | undefined, value: Value): Value {
    return accumulated ? this.graph.add(accumulated, value) : value
  }
}

/** Walks `records` backwards from `output`, whose gradient is `seed`, and returns the gradients of `wrt`. */
function backward(
  records: readonly TapeRecord[],
  output: Value,
  seed: Value,
  wrt: readonly Value[],
): readonly Value[] {
  const reached = new Set(wrt.map((value) => value.name))
  for (const record of records) {
    if (record.inputs.some((input) => reached.has(input.name))) reached.add(record.output.name)
  }
  const needed = (input: Value): boolean => reached.has(input.name)
  const gradient = new Map([[output.name, seed]])
  for (const record of records.toReversed()) {
    const outputGradient = gradient.get(record.output.name)
    if (!outputGradient || !record.inputs.some(needed)) continue
    const pullbacks = record.vjp(outputGradient, needed)
    record.inputs.forEach((input, position) => {
      const pullback = pullbacks[position]
      if (pullback && needed(input)) gradient.set(input.name, pullback(gradient.get(input.name)))
    })
  }
  return wrt.map((value) => {
    const found = gradient.get(value.name)
    if (!found) throw new Error(`${output.name} does not depend on ${value.name}`)
    return found
  })
}

/** Computes a value at first use and then remembers it: several pullbacks of one op may share it, or none need it. */
export function lazy<T>(compute: () => T): () => T {
  let cell: { readonly value: T } | undefined
  return () => (cell ??= { value: compute() }).value
}
