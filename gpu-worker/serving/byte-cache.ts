/** What is held in memory by digest, up to a number of bytes: the longest unused goes first, what is pinned stays. */
import type { Hex } from '#protocol/bytes.ts'

export type ByteCache<T> = {
  /** What is held, or what `load` answers, once for all who ask meanwhile. A failure is kept by nobody. */
  get: (digest: Hex, load: () => Promise<T>) => Promise<T>
  /** Whether it was held. */
  drop: (digest: Hex) => boolean
  load: () => CacheLoad
}

export type CacheLoad = {
  /** Digests in memory, the longest unused first. */
  resident: Hex[]
  residentBytes: number
  /** What it may hold, unless what is pinned takes more. */
  budgetBytes: number
  hits: number
  misses: number
  evictions: number
}

/** An empty cache. */
export function byteCache<T extends { bytes: number }>(
  mostBytes: number,
  isPinned: (digest: Hex) => boolean,
): ByteCache<T> {
  const held = new Map<Hex, T>() // in order of last use
  const loading = new Map<Hex, Promise<T>>()
  let residentBytes = 0
  let [hits, misses, evictions] = [0, 0, 0]

  const drop = (digest: Hex): boolean => {
    residentBytes -= held.get(digest)?.bytes ?? 0
    return held.delete(digest)
  }
  const keep = (digest: Hex, value: T): void => {
    drop(digest)
    held.set(digest, value)
    residentBytes += value.bytes
    for (const other of held.keys()) {
      if (residentBytes <= mostBytes) break
      if (other === digest || isPinned(other)) continue
      drop(other)
      evictions++
    }
  }
  const loaded = (digest: Hex, load: () => Promise<T>): Promise<T> => {
    const started = loading.get(digest) ?? load().finally(() => loading.delete(digest))
    loading.set(digest, started)
    return started
  }
  return {
    get: async (digest, load) => {
      const found = held.get(digest)
      if (found) hits++
      else misses++
      const value = found ?? (await loaded(digest, load))
      keep(digest, value)
      return value
    },
    drop,
    load: () => ({
      resident: [...held.keys()],
      residentBytes,
      budgetBytes: mostBytes,
      hits,
      misses,
      evictions,
    }),
  }
}
