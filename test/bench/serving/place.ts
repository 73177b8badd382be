/** What the parts of the serving bench share. */
import { join } from 'node:path'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import {
  openAdapterStore,
  type AdapterRef,
  type AdapterStore,
} from '#gpu-worker/serving/adapter-store.ts'
import { diskBlobs } from '#gpu-worker/serving/disk-blobs.ts'
import { openGenerator, type Generator } from '#gpu-worker/serving/generator.ts'
import { makeAdapters } from './adapters.ts'

export const THREADS = 2

export type Place = {
  base: BaseModel
  generator: Generator
  refs: readonly [AdapterRef, ...AdapterRef[]]
  /** An adapter whose index is its own. */
  trained: AdapterRef
  /** A store with empty memory before a disk that is shared, or one of its own and empty. */
  openStore: (options?: { disk?: 'shared' | 'empty'; mostBytes?: number }) => AdapterStore
  scratch: string
  rounds: number
}

/** Trains and derives so many adapters, and opens a generator. */
export async function openPlace(scratch: string, adapters: number, rounds: number): Promise<Place> {
  const { base, refs, trained, chain, remote } = await makeAdapters(
    join(scratch, 'remote'),
    adapters,
  )
  const [first, ...others] = refs
  if (!first) throw new Error('there is no adapter')
  // Opened once, as a worker does: it reads its directory, here of thousands of files, when it starts.
  const shared = diskBlobs(join(scratch, 'disk'), remote)
  let places = 0
  return {
    base,
    generator: await openGenerator(base, { threads: THREADS, withBare: true }),
    refs: [first, ...others],
    trained,
    openStore: ({ disk = 'shared', mostBytes } = {}) => {
      const blobs =
        disk === 'shared' ? shared : diskBlobs(join(scratch, `disk-${places++}`), remote)
      return openAdapterStore({ base, chain, blobs, ...(mostBytes && { mostBytes }) })
    },
    scratch,
    rounds,
  }
}
