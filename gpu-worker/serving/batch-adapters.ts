/** The adapters of a running batch: where they come from, what they weigh, and their pack. Keyed by digest. */
import { packAdapters, type Adapter, type AdapterPack } from '#engine/adapter-pack.ts'
import type { LlamaConfig } from '#engine/models/config.ts'
import { loraRank } from '#engine/models/lora.ts'
import { modulesOf } from '#engine/models/parameters.ts'

/** An adapter that is fetched while its request waits. Equal digests are equal adapters. */
export type AdapterSource = { digest: string; load: () => Promise<Adapter> }

/** A row by the digest of its adapter, null for the bare base, and the adapter once it is loaded. */
type BatchRow = { readonly adapter: string | null; readonly loaded: Adapter | null }

/** The adapters of a batch, stacked. One that has left stays stacked until another joins, which costs a repack. */
export function adapterPacks(config: LlamaConfig) {
  let members: string[] = []
  let pack = packAdapters(config, [])
  return {
    for: (rows: readonly BatchRow[]): AdapterPack => {
      const needed = new Map(
        rows.flatMap(({ adapter, loaded }) => (adapter && loaded ? [[adapter, loaded]] : [])),
      )
      const isBare = needed.size === 0 && members.length > 0
      if (isBare || [...needed.keys()].some((digest) => !members.includes(digest))) {
        members = [...needed.keys()]
        pack = packAdapters(config, [...needed.values()])
      }
      return pack
    },
    mask: (rows: readonly BatchRow[]) =>
      pack.mask(rows.map(({ adapter }) => (adapter === null ? null : members.indexOf(adapter)))),
  }
}

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
