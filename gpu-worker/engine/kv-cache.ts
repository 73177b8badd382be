// Keys and values of the sequences being generated, in the layout that `prefill` and `decode` read without a copy: one
// array pair per layer, keys [rows, KV, D, C] (transposed, so that the score product needs no transposition) and
// values [rows, KV, C, D]. All rows share the capacity C, which grows and shrinks in buckets because the cost of a
// step follows it.
import type { LlamaConfig } from './models/config.ts'
import { cacheKeys, cacheValues, newKeys, newValues } from './programs/generate.ts'
import type { Feed, Feeds } from './session.ts'
import { requireTensor } from './tensor.ts'
import type { TensorMap } from './tensor.ts'

export const CAPACITY_BUCKET = 64

type Layer = { readonly keys: Float32Array; readonly values: Float32Array }

export class KvCache {
  readonly #config: LlamaConfig
  #layers: readonly Layer[]
  #capacity = CAPACITY_BUCKET
  #slots = 1 // rows that fit before the arrays are reallocated
  #lengths: number[] = []

  constructor(config: LlamaConfig) {
    this.#config = config
    this.#layers = this.#allocate(this.#slots, this.#capacity)
  }

  /** Number of rows in use: sequences 0 .. rows - 1. */
  get rows(): number {
    return this.#lengths.length
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Cached tokens of a row. */
  length(row: number): number {
    const length = this.#lengths[row]
    if (length === undefined) throw new Error(`the cache has no row ${row}`)
    return length
  }

  /** Adds an empty sequence and returns its row. */
  add(): number {
    if (this.rows === this.#slots) this.#resize(2 * this.#slots, this.#capacity)
    const row = this.#lengths.push(0) - 1
    const size = this.#rowSize()
    for (const { keys, values } of this.#layers) {
      // Masked entries get weight zero, but zero times a NaN left by an earlier sequence would still be NaN.
      keys.fill(0, row * size, (row + 1) * size)
      values.fill(0, row * size, (row + 1) * size)
    }
    return row
  }

  /** Ends a sequence. The last row takes its place: callers keep their per-row state in the same order the same way. */
  remove(row: number): void {
    this.length(row)
    const last = this.rows - 1
    for (const { keys, values } of this.#layers) {
      const size = this.#rowSize()
      keys.copyWithin(row * size, last * size, (last + 1) * size)
      values.copyWithin(row * size, last * size, (last + 1) * size)
    }
    this.#lengths[row] = this.length(last)
    this.#lengths.pop()
    const needed = bucketed(Math.max(...this.#lengths, 1))
    if (needed <= this.#capacity / 2) this.#resize(this.#slots, needed)
  }

  /** The inputs `cached` and the cache itself for rows [from, to), views of this cache: valid until it next changes. */
  feeds(from = 0, to = this.rows): Feeds {
    const { kvHeads, headDim } = this.#config
    const lengths = this.#lengths.slice(from, to)
    const batch = lengths.length
    const cached = { dims: [batch], data: Int32Array.from(lengths) }
    // A prompt's first pass has nothing to attend to: one masked entry instead of a whole capacity.
    const isEmpty = lengths.every((length) => length === 0)
    const capacity = isEmpty ? 1 : this.#capacity
    const size = kvHeads * headDim * capacity
    const view = (data: Float32Array): Float32Array =>
      isEmpty ? new Float32Array(batch * size) : data.subarray(from * size, to * size)
    const feeds: Record<string, Feed> = { cached }
    this.#layers.forEach(({ keys, values }, layer) => {
      feeds[cacheKeys(layer)] = { dims: [batch, kvHeads, headDim, capacity], data: view(keys) }
      feeds[cacheValues(layer)] = { dims: [batch, kvHeads, capacity, headDim], data: view(values) }
    })
    return feeds
  }

  /** Stores the new keys and values of a run over rows from `from` on; `counts[i]` tokens of row from + i are real. */
  append(from: number, outputs: TensorMap, counts: readonly number[]): void {
    const longest = Math.max(...counts.map((count, i) => this.length(from + i) + count))
    if (longest > this.#config.positions) {
      throw new Error(
        `a sequence of ${longest} tokens exceeds the model's ${this.#config.positions}`,
      )
    }
    if (longest > this.#capacity) this.#resize(this.#slots, bucketed(longest))
    const { kvHeads, headDim } = this.#config
    this.#layers.forEach(({ keys, values }, layer) => {
      const freshKeys = requireTensor(outputs, newKeys(layer)) // [B, KV, T, D]
      const freshValues = requireTensor(outputs, newValues(layer))
      const time = freshKeys.dims[2] ?? 0
      counts.forEach((count, i) => {
        const start = this.length(from + i)
        for (let head = 0; head < kvHeads; head++) {
          const source = (i * kvHeads + head) * time * headDim
          const target = ((from + i) * kvHeads + head) * headDim * this.#capacity
          values.set(
            freshValues.data.subarray(source, source + count * headDim),
            target + start * headDim,
          )
          for (let d = 0; d < headDim; d++) {
            const column = target + d * this.#capacity + start
            for (let t = 0; t < count; t++) {
              keys[column + t] = freshKeys.data[source + t * headDim + d] ?? 0
            }
          }
        }
      })
    })
    counts.forEach((count, i) => (this.#lengths[from + i] = this.length(from + i) + count))
  }

  #rowSize(): number {
    return this.#config.kvHeads * this.#config.headDim * this.#capacity
  }

  #allocate(slots: number, capacity: number): readonly Layer[] {
    const size = slots * this.#config.kvHeads * this.#config.headDim * capacity
    return Array.from({ length: this.#config.layers }, () => ({
      keys: new Float32Array(size),
      values: new Float32Array(size),
    }))
  }

  #resize(slots: number, capacity: number): void {
    const { kvHeads, headDim } = this.#config
    const old = this.#layers
    const oldCapacity = this.#capacity
    const kept = Math.min(capacity, oldCapacity)
    this.#layers = this.#allocate(slots, capacity)
    this.#slots = slots
    this.#capacity = capacity
    this.#layers.forEach(({ keys, values }, layer) => {
      const source = old[layer]
      if (!source) return
      for (let head = 0; head < this.rows * kvHeads; head++) {
        const from = head * headDim * oldCapacity
        const to = head * headDim * capacity
        values.set(source.values.subarray(from, from + kept * headDim), to)
        for (let d = 0; d < headDim; d++) {
          const row = from + d * oldCapacity
          keys.set(source.keys.subarray(row, row + kept), to + d * capacity)
        }
      }
    })
  }
}

const bucketed = (length: number): number => Math.ceil(length / CAPACITY_BUCKET) * CAPACITY_BUCKET
