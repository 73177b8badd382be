/**
 * The adapters of a running batch: where they come from, what they weigh, and their pack. Keyed by digest.
 *
 * The pack is that of `packAdapters`, but with room to spare: an adapter that joins is written into a free stretch of
 * the stacked ranks, so that joining costs its own size and not the whole batch's. What an adapter that has left
 * leaves behind is masked, and overwritten by the next one.
 */
import { packAdapters, type Adapter } from '#engine/adapter-pack.ts'
import type { LlamaConfig } from '#engine/models/config.ts'
import { loraA, loraB, loraRank, loraScale } from '#engine/models/lora.ts'
import { LINEAR_LAYERS, modulesOf, type Module } from '#engine/models/parameters.ts'
import { moduleGroups } from '#engine/programs/packed-adapters.ts'
import type { Feed, Feeds } from '#engine/session.ts'
import { requireTensor } from '#engine/tensor.ts'

/** An adapter that is fetched while its request waits. Equal digests are equal adapters. */
export type AdapterSource = { digest: string; load: () => Promise<Adapter> }

/** A row by the digest of its adapter, null for the bare base, and the adapter once it is loaded. */
export type BatchRow = { readonly adapter: string | null; readonly loaded: Adapter | null }

/** A stretch of the stacked ranks. */
type Slot = { readonly start: number; readonly width: number }

/** Ranks are allocated in steps of this many. */
const RANK_STEP = 16
/** A pack this many times larger than needed is made anew: a step's cost follows its size. */
const WASTE = 4

/** An empty pack for the programs of a model. */
export function adapterPacks(config: LlamaConfig) {
  const bare = packAdapters(config, [])
  const groups = moduleGroups(config, LINEAR_LAYERS)
  let rank = 0
  let feeds: Record<string, Feed> = {}
  let slots = new Map<string, Slot>()

  const write = (adapter: Adapter, slot: Slot): void => {
    for (const { a, modules } of groups)
      modules.forEach((module, position) => {
        place(feeds[a], position * rank + slot.start, slot.width, adapter, module, 'A')
        place(feeds[loraB(module.name)], slot.start, slot.width, adapter, module, 'B')
      })
  }
  const allocate = (size: number): void => {
    rank = size
    feeds = {}
    slots = new Map()
    for (const { a, inDim, modules } of groups) {
      feeds[a] = zeros(modules.length * rank, inDim)
      for (const { name, outDim } of modules) feeds[loraB(name)] = zeros(rank, outDim)
    }
  }
  /** Where so many ranks are free, or null. */
  const gap = (width: number): number | null => {
    let start = 0
    for (const slot of [...slots.values()].toSorted((a, b) => a.start - b.start)) {
      if (slot.start - start >= width) return start
      start = slot.start + slot.width
    }
    return rank - start >= width ? start : null
  }
  const join = (
    digest: string,
    adapter: Adapter,
    needed: ReadonlyMap<string, Adapter>,
  ): boolean => {
    const width = rankOf(config, adapter)
    if (gap(width) === null)
      for (const other of slots.keys()) if (!needed.has(other)) slots.delete(other)
    const start = gap(width)
    if (start === null) return false
    slots.set(digest, { start, width })
    write(adapter, { start, width })
    return true
  }
  const rebuild = (needed: ReadonlyMap<string, Adapter>, total: number): void => {
    allocate(Math.ceil(total / RANK_STEP) * RANK_STEP)
    for (const [digest, adapter] of needed) join(digest, adapter, needed)
  }

  return {
    /** What the programs are fed for these rows. */
    for: (rows: readonly BatchRow[]): { feeds: Feeds } => {
      const needed = new Map(
        rows.flatMap(({ adapter, loaded }) => (adapter && loaded ? [[adapter, loaded]] : [])),
      )
      if (needed.size === 0) return bare
      const total = [...needed.values()].reduce((sum, one) => sum + rankOf(config, one), 0)
      if (rank >= WASTE * Math.max(total, RANK_STEP)) rebuild(needed, total)
      for (const [digest, adapter] of needed)
        if (!slots.has(digest) && !join(digest, adapter, needed)) {
          rebuild(needed, total)
          break
        }
      return { feeds }
    },
    /** The mask [B, R] of some of the rows that `of` was last given. */
    mask: (rows: readonly BatchRow[], of: { feeds: Feeds }): Feed => {
      if (of === bare) return bare.mask(rows.map(() => null))
      const data = new Float32Array(rows.length * rank)
      rows.forEach(({ adapter }, row) => {
        if (adapter === null) return
        const slot = slots.get(adapter)
        if (!slot) throw new Error(`the pack has no adapter ${adapter}`)
        data.fill(1, row * rank + slot.start, row * rank + slot.start + slot.width)
      })
      return { dims: [rows.length, rank], data }
    },
  }
}

/** Writes a module's factor into rows [from, from + width) of `into`; what it does not fill becomes zero. */
function place(
  into: Feed | undefined,
  from: number,
  width: number,
  { lora, tensors }: Adapter,
  { name, linear }: Module,
  factor: 'A' | 'B',
): void {
  if (!into) throw new Error(`the pack has no place for ${name}`)
  const columns = into.dims[1] ?? 0
  const target = into.data.subarray(from * columns, (from + width) * columns)
  if (!lora.targets.includes(linear)) {
    target.fill(0)
    return
  }
  const { data } = requireTensor(tensors, factor === 'A' ? loraA(name) : loraB(name))
  target.set(data)
  target.fill(0, data.length)
  if (factor === 'A') return
  const scale = loraScale(lora, name)
  for (let i = 0; i < data.length; i++) target[i] = scale * (data[i] as number)
}

const zeros = (rows: number, columns: number): Feed => ({
  dims: [rows, columns],
  data: new Float32Array(rows * columns),
})

/** The widest rank of an adapter's modules: what it adds to a batch's sum of ranks. */
export const rankOf = (config: LlamaConfig, { lora }: Adapter): number =>
  Math.max(...modulesOf(config, lora.targets).map(({ name }) => loraRank(lora, name)))

const identities = new WeakMap<Adapter, string>()
let nextIdentity = 0
/** An adapter given without a digest is told from others by its identity. */
export function asSource(adapter: Adapter | AdapterSource): AdapterSource {
  if ('load' in adapter) return adapter
  const digest = identities.get(adapter) ?? `adapter ${nextIdentity++}`
  identities.set(adapter, digest)
  return { digest, load: async () => adapter }
}
