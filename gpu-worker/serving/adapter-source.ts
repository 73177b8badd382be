import type { Adapter } from '#engine/adapter-pack.ts'

/** An adapter that is fetched while its request waits. Equal digests are equal adapters. */
export type AdapterSource = { digest: string; load: () => Promise<Adapter> }

const identities = new WeakMap<Adapter, string>()
let nextIdentity = 0

/** An adapter given without a digest is told from others by its identity. */
export function asSource(adapter: Adapter | AdapterSource): AdapterSource {
  if ('load' in adapter) return adapter
  const digest = identities.get(adapter) ?? `adapter ${nextIdentity++}`
  identities.set(adapter, digest)
  return { digest, load: async () => adapter }
}
