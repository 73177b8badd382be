import { keccak, type Hex } from '#protocol/bytes.ts'
import type { Payout, Presence } from '#protocol/epoch.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import {
  decodeManifest,
  decodeSegment,
  joinPresence,
  readItems,
  segmentsOf,
  type Manifest,
  type Segment,
} from '#protocol/segments.ts'
import { keepLast } from '../chain/client.ts'
import { settingsOf, type Env } from '../env.ts'
import { getData } from './da.ts'

/**
 * Our own copy of what epochs publish, manifests and segments alike, each by the hash that is on chain or in a manifest
 * whose hash is: the data-availability layer forgets after weeks.
 */
export const epochKey = (hash: Hex) => `epochs/${hash.slice(2)}`

/** A manifest or segment; without a commitment only our own copy is looked for. */
export type Part = { hash: Hex; commitment?: Hex | null }

/** Keeps a manifest or segment. Idempotent: its name is its hash. */
export async function keepPart(blobs: R2Bucket, hash: Hex, bytes: Uint8Array): Promise<void> {
  if (await blobs.head(epochKey(hash))) return // R2 takes one write per second and key
  await blobs.put(epochKey(hash), bytes)
}

/** Bytes of a manifest or segment, from our own copy or else from where its commitment says; throws when both fail. */
export async function partBytes(env: Env, { hash, commitment }: Part): Promise<Uint8Array> {
  const object = await env.BLOBS.get(epochKey(hash))
  if (object) return new Uint8Array(await object.arrayBuffer())
  if (!commitment) throw new Error(`epoch file ${hash} is missing`)
  const bytes = await getData(settingsOf(env).DA_URL, commitment)
  if (keccak(bytes) !== hash) throw new Error(`DA get: not the epoch file ${hash}`)
  await keepPart(env.BLOBS, hash, bytes)
  return bytes
}

/** The manifest of an epoch; throws when it is missing or malformed. */
export const readManifest = async (env: Env, part: Part): Promise<Manifest> =>
  decodeManifest(await partBytes(env, part), part.hash)

const reader = (env: Env) => (segment: Segment) => partBytes(env, segment)

/** Receipts of an epoch, a segment at a time. */
export async function* receiptSegments(
  env: Env,
  { segments }: Manifest,
): AsyncGenerator<SignedReceipt[]> {
  for (const segment of segmentsOf(segments, 'receipts'))
    yield await decodeSegment(segment, await partBytes(env, segment))
}

/** The segment that has the receipt at a position; throws a RangeError beyond the last. */
export function segmentAt({ segments, epoch }: Manifest, position: number) {
  const found = segmentsOf(segments, 'receipts').find(
    ({ first, count }) => position >= first && position < first + count,
  )
  if (!found) throw new RangeError(`epoch ${epoch} has no receipt ${position}`)
  return found
}

/** The receipt at a position; throws a RangeError beyond the last. */
export async function receiptAt(
  env: Env,
  manifest: Manifest,
  position: number,
): Promise<SignedReceipt> {
  const segment = segmentAt(manifest, position)
  const receipts = await decodeSegment(segment, await partBytes(env, segment))
  const found = receipts[position - segment.first]
  if (!found) throw new RangeError(`segment ${segment.hash} has no receipt ${position}`)
  return found
}

/** The presence tables that an epoch is divided by. */
export const presenceOf = async (env: Env, manifest: Manifest): Promise<Presence[]> =>
  joinPresence(await readItems(manifest, 'presence', reader(env)))

const kept = keepLast<{ payouts: Payout[] }>(2) // of 100,000 accounts one takes about 20 MB

/** Payouts of an epoch; those of the last few stay in the isolate, because files under a hash never change. */
export const payoutsOf = (env: Env, part: Part): Promise<{ payouts: Payout[] }> =>
  kept(part.hash, async () => {
    const manifest = await readManifest(env, part)
    return { payouts: await readItems(manifest, 'payouts', reader(env)) }
  })
