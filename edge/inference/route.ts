import { keccak, type Hex } from '#protocol/bytes.ts'
import type { WorkerLoad } from '#protocol/wire.ts'

/** What routing knows of a worker; `load` is null when it does not tell. */
export type Candidate = { id: string; load: WorkerLoad | null }

/** How many batches of queue a worker may be ahead of another before having the adapter in memory is not worth it. */
const RESIDENT = 1
/** The same for the worker that an adapter belongs to as long as none has it, so that memory holds each once. */
const HOME = 0.5

/**
 * The order in which workers are asked. The least busy first, by requests per place in the batch; a worker with the
 * adapter in memory may be busier by a batch. An adapter that nobody has goes to its home, by rendezvous hashing
 * (Thaler & Ravishankar 1998), which also spreads requests among equals. Workers that leave come last: they take
 * nothing, but their word may be old.
 */
export function routeOrder<W extends Candidate>(
  workers: readonly W[],
  { adapter, requestId }: { adapter: Hex | null; requestId: Hex },
): W[] {
  const has = ({ load }: Candidate): boolean =>
    adapter !== null && load !== null && load.resident.includes(adapter)
  const isCold = adapter !== null && !workers.some(has)
  const ranked = workers
    .map((worker) => ({ worker, hash: keccak(`${adapter ?? requestId} ${worker.id}`) }))
    .toSorted((a, b) => (a.hash < b.hash ? -1 : 1))
  return ranked
    .map(({ worker }, place) => {
      const affinity = has(worker) ? RESIDENT : isCold && place === 0 ? HOME : 0
      return { worker, leaving: worker.load?.draining ? 1 : 0, cost: busyness(worker) - affinity }
    })
    .toSorted((a, b) => a.leaving - b.leaving || a.cost - b.cost) // stable: equals stay in the order of their hashes
    .map(({ worker }) => worker)
}

/** Requests per place in the batch. */
const busyness = ({ load }: Candidate): number =>
  load === null ? 0 : (load.active + load.waiting) / Math.max(1, load.capacity)
