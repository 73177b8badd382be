import {
  createPublicClient,
  defineChain,
  http,
  numberToHex,
  type Block,
  type PublicClient,
} from 'viem'
import { z } from 'zod'
import type { Hex } from '#protocol/bytes.ts'
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

/** Calls in one JSON-RPC batch. */
export const CALLS_PER_BATCH = 100
const batchAnswer = z.array(
  z.object({
    id: z.int(),
    result: z.string().startsWith('0x').optional(),
    error: z.unknown().optional(),
  }),
)
type ContractCall = { to: Hex; data: Hex }

/**
 * At most `CALLS_PER_BATCH` contract calls at one block in one request; results in the order of the calls, an Error for one
 * that fails. Throws when there is no answer at all.
 */
export async function callBatch(
  { RPC_URL }: Settings,
  calls: readonly ContractCall[],
  block: bigint | 'latest',
): Promise<(Hex | Error)[]> {
  const at = block === 'latest' ? block : numberToHex(block)
  const response = await fetch(RPC_URL, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(
      calls.map((call, id) => ({ jsonrpc: '2.0', id, method: 'eth_call', params: [call, at] })),
    ),
    signal: AbortSignal.timeout(RPC_TIMEOUT_MS),
  })
  const answers = batchAnswer.parse(await response.json())
  const byId = new Map(answers.map((answer) => [answer.id, answer]))
  return calls.map(({ to }, id) => {
    const answer = byId.get(id)
    const said = JSON.stringify(answer?.error ?? null)
    return (answer?.result as Hex | undefined) ?? new Error(`eth_call of ${to} failed: ${said}`)
  })
}

/** Contract calls at one block, however many; results in the order of the calls. Throws when one of them fails. */
export async function callMany(
  settings: Settings,
  calls: readonly ContractCall[],
  blockNumber: bigint,
): Promise<Hex[]> {
  const results: Hex[] = []
  for (let from = 0; from < calls.length; from += CALLS_PER_BATCH) {
    const batch = calls.slice(from, from + CALLS_PER_BATCH)
    for (const result of await callBatch(settings, batch, blockNumber)) {
      if (result instanceof Error) throw result
      results.push(result)
    }
  }
  return results
}

/** Null for viem's "not found" error of that name. */
export async function optional<T>(read: Promise<T>, notFound: string): Promise<T | null> {
  try {
    return await read
  } catch (error) {
    if (error instanceof Error && error.name === notFound) return null
    throw error
  }
}

type MinedBlock = Block<bigint, false, 'latest'>

/** A block by its number; null when the node has none. */
export const getBlockOrNull = (client: PublicClient, number: number): Promise<MinedBlock | null> =>
  optional(client.getBlock({ blockNumber: BigInt(number) }), 'BlockNotFoundError')

const READS_AT_ONCE = 5 // a Worker has six outgoing connections, and Postgres may take one

/** Reads something of every item, a few at a time; results in the order of the items. */
export async function readInTurns<T, R>(
  items: readonly T[],
  read: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  for (let i = 0; i < items.length; i += READS_AT_ONCE)
    results.push(...(await Promise.all(items.slice(i, i + READS_AT_ONCE).map(read))))
  return results
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

/**
 * Keeps the last few values of a kind in the isolate, for what never changes under its key. Values and never promises,
 * as `cached`.
 */
export function keepLast<T extends object>(most: number) {
  const known = new Map<string, T>()
  return async (key: string, read: () => Promise<T>): Promise<T> => {
    const found = known.get(key)
    if (found) return found
    const value = await read()
    const [oldest] = known.keys()
    if (oldest !== undefined && known.size >= most) known.delete(oldest)
    known.set(key, value)
    return value
  }
}
