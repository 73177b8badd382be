import { createPublicClient, defineChain, http, type PublicClient } from 'viem'
import type { Settings } from '#edge/env.ts'
import { Problem } from '#edge/problem.ts'

const RPC_TIMEOUT_MS = 10_000

/** A viem client for reading the L2; one per invocation, because workerd ties sockets to a request. */
export function chainClient({ CHAIN_ID, RPC_URL }: Settings): PublicClient {
  return createPublicClient({
    chain: defineChain({
      id: CHAIN_ID,
      name: 'OpenLedger',
      nativeCurrency: { name: 'OPEN', symbol: 'OPEN', decimals: 18 },
      rpcUrls: { default: { http: [RPC_URL] } },
    }),
    cacheTime: 0, // block numbers and heads are compared with each other, never with a cached one
    // No `batch`: viem's scheduler is global, and workerd forbids one request to wait for another's I/O.
    transport: http(RPC_URL, { retryCount: 1, timeout: RPC_TIMEOUT_MS }),
  })
}

/** Runs a read of the chain inside a request; a chain that cannot be reached is `chain/unavailable` (503). */
export async function readChain<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    throw new Problem('chain/unavailable', { retryAfter: 2, cause })
  }
}

type Entry = { value: unknown; until: number }
const entries = new Map<string, Entry>()
const MAX_ENTRIES = 10_000

/**
 * Keeps a read's value in the isolate for `ttlMs`. Null is not kept: what is missing may come any moment. Only
 * values are kept, never promises: workerd forbids one request to wait for another's I/O.
 */
export async function cached<T>(key: string, ttlMs: number, read: () => Promise<T>): Promise<T> {
  const now = Date.now()
  const known = entries.get(key)
  if (known && known.until > now) return known.value as T
  const value = await read()
  if (value === null) return value
  if (entries.size >= MAX_ENTRIES) entries.clear()
  entries.set(key, { value, until: now + ttlMs })
  return value
}
