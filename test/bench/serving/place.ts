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
  /** A store with empty memory over a directory, an empty one when none is named. */
  openStore: (directory?: string) => AdapterStore
  scratch: string
  rounds: number
}

/** Trains and derives so many adapters, and opens a generator. */
export async function openPlace(scratch: string, adapters: number, rounds: number): Promise<Place> {
  const { base, refs, chain, remote } = await makeAdapters(join(scratch, 'remote'), adapters)
  const [first, ...others] = refs
  if (!first) throw new Error('there is no adapter')
  let places = 0
  return {
    base,
    generator: await openGenerator(base, { threads: THREADS }),
    refs: [first, ...others],
    openStore: (directory = join(scratch, `disk-${places++}`)) =>
      openAdapterStore({ base, chain, blobs: diskBlobs(directory, remote) }),
    scratch,
    rounds,
  }
}
