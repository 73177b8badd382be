/** Adapters that the operator names: loaded at the start, never evicted, verified like all others. */
import type { Hex } from '#protocol/bytes.ts'
import { pause } from '../blobs.ts'
import { log } from '../log.ts'
import type { AdapterStore } from './adapter-store.ts'
import type { Chain } from './chain.ts'
import { ServingError, type ServingErrorCode } from './serving-error.ts'

/** How soon the chain or the edge is asked again after it could not answer, and the chain whether an adapter was revoked. */
const AGAIN_AFTER_MS = 10_000
const PASSING: readonly ServingErrorCode[] = ['chain/unavailable', 'model/unavailable']

/**
 * Pins adapters and loads them one after the other, the first named first; resolves when each is in memory or refused. A
 * chain or an edge that is away is asked until it answers; what is unknown, revoked or other than the chain says is
 * logged and left to the requests that name it, which get the same answer. From then on the chain is asked from time to time
 * about all of them, because no request may ever come to ask it: one that is revoked leaves memory.
 */
export async function pinAdapters(
  digests: readonly Hex[],
  {
    store,
    chain,
    againAfterMs = AGAIN_AFTER_MS,
  }: {
    store: Pick<AdapterStore, 'check' | 'get' | 'index' | 'pin'>
    chain: Pick<Chain, 'adapter'>
    againAfterMs?: number
  },
): Promise<void> {
  const check = async (digest: Hex) => {
    const manifest = (await chain.adapter(digest))?.manifestHash ?? digest // unknown: `check` says so
    return store.check({ digest, manifest })
  }
  // A chain that cannot be read now is no revocation, and what else is wrong was logged when it was to be loaded.
  const recheck = () => Promise.allSettled(digests.map(check))
  setInterval(recheck, againAfterMs).unref()
  for (const digest of digests) store.pin(digest)
  for (const digest of digests) {
    const load = async (): Promise<void> => {
      const onChain = await check(digest)
      await store.get(digest, onChain)
      await store.index(digest, onChain)
    }
    const isPassing = (error: unknown): boolean => {
      log('error', 'pinned adapter not loaded', { adapter: digest, error })
      return error instanceof ServingError && PASSING.includes(error.code)
    }
    while (await load().then(() => false, isPassing)) await pause(againAfterMs)
  }
}
