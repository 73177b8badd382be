// The adapters of a batch, laid out as the programs that serve it read them in place (`programs/packed-adapters.ts`).
import { loraA, loraB, loraRank, loraScale } from './models/lora.ts'
import type { LoraConfig } from './models/lora.ts'
import type { LlamaConfig } from './models/config.ts'
import { LINEAR_LAYERS, modulesOf } from './models/parameters.ts'
import type { LinearLayer, Module } from './models/parameters.ts'
import { moduleGroups } from './programs/packed-adapters.ts'
import type { ModuleGroup } from './programs/packed-adapters.ts'
import type { Feeds } from './session.ts'
import { requireTensor } from './tensor.ts'
import type { TensorMap } from './tensor.ts'

/** An adapter in the engine's layout: A [r, in], B [r, out]. */
export type Adapter = { readonly lora: LoraConfig; readonly tensors: TensorMap }

/** The widest rank of an adapter's modules. */
export const rankOf = (config: LlamaConfig, { lora }: Adapter): number =>
  Math.max(...modulesOf(config, lora.targets).map(({ name }) => loraRank(lora, name)))

/** An array of slots, each of these dims. */
type Stack = { readonly dims: readonly number[]; readonly size: number; data: Float32Array }

/** Slots are wider than needed by less than this factor: a step reads them whole. */
const WASTE = 2

/**
 * One slot per row of a batch, or one for all rows when they share an adapter. A slot is written only when its row
 * gets another adapter, so that joining a batch costs one adapter's size; ranks that an adapter lacks are zero.
 */
export class AdapterPack {
  readonly #config: LlamaConfig
  readonly #targets: readonly LinearLayer[]
  readonly #groups: readonly ModuleGroup[]
  readonly #bare: Feeds
  readonly #ranks = new WeakMap<Adapter, number>()
  #rank = 0
  #stacks = new Map<string, Stack>()
  #held: (Adapter | null)[] = [] // by slot
  #views = new Map<number, Feeds>() // by number of slots; a step is too short to make them anew

  /** An empty pack for programs compiled with `targets`. */
  constructor(config: LlamaConfig, targets: readonly LinearLayer[] = LINEAR_LAYERS) {
    this.#config = config
    this.#targets = targets
    this.#groups = moduleGroups(config, targets)
    this.#bare = feedsOf(this.#allocate(1, 1), 1)
  }

  /**
   * The inputs of a batch by its rows' adapters, null for the bare model: views, valid until the next call. Throws an
   * Error when an adapter changes a layer outside the targets: ignoring it would answer with a different model.
   */
  feeds(rows: readonly (Adapter | null)[]): Feeds {
    const [first = null] = rows
    const slots = rows.every((adapter) => adapter === first) ? [first] : rows
    const rank = Math.max(...slots.map((adapter) => (adapter ? this.#rankOf(adapter) : 0)))
    if (rank === 0) return this.#bare
    this.#fit(slots.length, rank)
    slots.forEach((adapter, slot) => {
      if (this.#held[slot] !== adapter) this.#write(slot, adapter)
    })
    const views = this.#views.get(slots.length) ?? feedsOf(this.#stacks, slots.length)
    this.#views.set(slots.length, views)
    return views
  }

  /** Makes the slots anew when they are too few, too narrow or much too wide. */
  #fit(slots: number, rank: number): void {
    const isWide = rank <= this.#rank && this.#rank < WASTE * rank
    if (isWide && slots <= this.#held.length) return
    if (!isWide) this.#rank = rank
    // By powers of two, because rows come one at a time.
    const count = Math.max(this.#held.length, 2 ** Math.ceil(Math.log2(slots)))
    this.#stacks = this.#allocate(count, this.#rank)
    this.#held = Array.from({ length: count }, () => null)
    this.#views = new Map()
  }

  #rankOf(adapter: Adapter): number {
    const known = this.#ranks.get(adapter)
    if (known !== undefined) return known
    const foreign = adapter.lora.targets.find((name) => !this.#targets.includes(name))
    if (foreign) throw new Error(`an adapter changes ${foreign}, which the program does not adapt`)
    const rank = rankOf(this.#config, adapter)
    this.#ranks.set(adapter, rank)
    return rank
  }

  #allocate(slots: number, rank: number): Map<string, Stack> {
    const stack = (...dims: number[]): Stack => {
      const size = dims.reduce((product, dim) => product * dim, 1)
      return { dims, size, data: new Float32Array(slots * size) }
    }
    return new Map(
      this.#groups.flatMap(({ a, inDim, modules }): [string, Stack][] => [
        [a, stack(modules.length * rank, inDim)],
        ...modules.map(({ name, outDim }): [string, Stack] => [loraB(name), stack(rank, outDim)]),
      ]),
    )
  }

  #write(slot: number, adapter: Adapter | null): void {
    this.#held[slot] = null
    for (const { a, inDim, modules } of this.#groups)
      modules.forEach((module, position) => {
        const size = this.#rank * inDim
        const ownA = this.#slot(a, slot).subarray(position * size, (position + 1) * size)
        place(ownA, adapter, module, 'A')
        place(this.#slot(loraB(module.name), slot), adapter, module, 'B')
      })
    this.#held[slot] = adapter
  }

  #slot(name: string, slot: number): Float32Array {
    const stack = this.#stacks.get(name)
    if (!stack) throw new Error(`the pack has no ${name}`)
    return stack.data.subarray(slot * stack.size, (slot + 1) * stack.size)
  }
}

const feedsOf = (stacks: ReadonlyMap<string, Stack>, slots: number): Feeds =>
  Object.fromEntries(
    [...stacks].map(([name, { dims, size, data }]) => [
      name,
      { dims: [slots, ...dims], data: data.subarray(0, slots * size) },
    ]),
  )

/** Writes a module's factor, B scaled by alpha / r; what it does not fill becomes zero. */
function place(
  into: Float32Array,
  adapter: Adapter | null,
  { name, linear }: Module,
  factor: 'A' | 'B',
): void {
  if (!adapter?.lora.targets.includes(linear)) {
    into.fill(0)
    return
  }
  const { data } = requireTensor(adapter.tensors, factor === 'A' ? loraA(name) : loraB(name))
  into.set(data)
  into.fill(0, data.length)
  if (factor === 'A') return
  const scale = loraScale(adapter.lora, name)
  for (let i = 0; i < data.length; i++) into[i] = scale * (data[i] as number)
}
