import { fromHex, type Hex } from '#protocol/bytes.ts'
import { keptTexts, type KeptTexts } from '#protocol/generation.ts'
import { readParameters } from '../chain/parameters.ts'
import type { Ctx } from '../context.ts'
import type { Env, Settings } from '../env.ts'
import { receiptBatcher } from '../settlement/receipt-batcher.ts'

/**
 * Texts of prompts and answers, kept so that validators can run a receipt's gradients again, and no longer than until
 * its epoch can no longer be challenged. Each object has an AES-256-GCM key of its own, derived by HKDF-SHA256 from
 * the secret TEXTS_KEY and the request; a request's texts cannot be passed off as another's.
 *
 * R2 key: texts/<hour of the receipt's time>/<request>, so that a listing begins with the oldest.
 */

const PREFIX = 'texts/'
const IV_BYTES = 12 // NIST SP 800-38D, section 8.2
const HOUR_SECONDS = 3_600n
/** Nothing settles later: the longest challenge window after the time for which old parameters settle. */
const MAX_KEPT_MS = 28 * 86_400_000
/** Texts are stored before their receipt; without one after so long, the request failed in between. */
const ORPHAN_MS = 3_600_000
const PAGE = 500 // R2 lists and deletes at most 1,000
const MAX_PAGES = 10

type Named = { requestId: Hex; time: bigint }

/** Keeps a request's texts. Idempotent: the later copy replaces the earlier. */
export async function keepTexts(
  { env, settings }: Pick<Ctx, 'env' | 'settings'>,
  named: Named,
  texts: KeptTexts,
): Promise<void> {
  const plain = new TextEncoder().encode(JSON.stringify(texts))
  await env.BLOBS.put(keyOf(named), await seal(settings, named.requestId, plain))
}

/** A request's texts; null when they were not kept or are erased. Throws when the object was tampered with. */
export async function readTexts(
  { env, settings }: Pick<Ctx, 'env' | 'settings'>,
  named: Named,
): Promise<KeptTexts | null> {
  const object = await env.BLOBS.get(keyOf(named))
  if (!object) return null
  const plain = await open(settings, named.requestId, new Uint8Array(await object.arrayBuffer()))
  return keptTexts.parse(JSON.parse(new TextDecoder().decode(plain)))
}

/** Erases texts whose receipts are final, whose requests failed, or that are too old; returns how many. */
export async function sweepTexts(ctx: Ctx): Promise<number> {
  const { values } = await readParameters(ctx.settings)
  const youngest = Date.now() - Number(values['settlement.window']) * 1_000
  let erased = 0
  let cursor: string | undefined
  for (let page = 0; page < MAX_PAGES; page++) {
    const listed = await ctx.env.BLOBS.list({
      prefix: PREFIX,
      limit: PAGE,
      ...(cursor && { cursor }),
    })
    const old = listed.objects.filter(({ uploaded }) => uploaded.getTime() <= youngest)
    erased += await eraseUnneeded(ctx.env, old)
    if (!listed.truncated || old.length === 0) break
    cursor = listed.cursor
  }
  return erased
}

async function eraseUnneeded(env: Env, objects: readonly R2Object[]): Promise<number> {
  if (objects.length === 0) return 0
  const batcher = receiptBatcher(env)
  const { open: openIds, final } = await batcher.finality(objects.map(({ key }) => requestOf(key)))
  const [isOpen, isFinal] = [new Set(openIds), new Set(final)]
  const unneeded = objects.filter(({ key, uploaded }) => {
    const age = Date.now() - uploaded.getTime()
    const id = requestOf(key)
    return isFinal.has(id) || age > MAX_KEPT_MS || (!isOpen.has(id) && age > ORPHAN_MS)
  })
  if (unneeded.length === 0) return 0
  // The words first: as long as the object is listed, this is tried again.
  await batcher.forgetWords(unneeded.map(({ key }) => requestOf(key)))
  await env.BLOBS.delete(unneeded.map(({ key }) => key))
  return unneeded.length
}

const keyOf = ({ requestId, time }: Named): string =>
  `${PREFIX}${time / HOUR_SECONDS}/${requestId.slice(2)}`

const requestOf = (key: string): Hex => `0x${key.slice(key.lastIndexOf('/') + 1)}`

async function seal(settings: Settings, requestId: Hex, plain: Uint8Array): Promise<Uint8Array> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const sealed = await crypto.subtle.encrypt(
    { name: 'AES-GCM', iv },
    await objectKey(settings, requestId),
    plain,
  )
  const bytes = new Uint8Array(IV_BYTES + sealed.byteLength)
  bytes.set(iv)
  bytes.set(new Uint8Array(sealed), IV_BYTES)
  return bytes
}

const open = async (settings: Settings, requestId: Hex, bytes: Uint8Array): Promise<ArrayBuffer> =>
  crypto.subtle.decrypt(
    { name: 'AES-GCM', iv: bytes.subarray(0, IV_BYTES) },
    await objectKey(settings, requestId),
    bytes.subarray(IV_BYTES),
  )

/** The key of one object (RFC 5869, the request as salt). */
async function objectKey({ TEXTS_KEY }: Settings, requestId: Hex): Promise<CryptoKey> {
  const secret = await crypto.subtle.importKey('raw', fromHex(TEXTS_KEY), 'HKDF', false, [
    'deriveKey',
  ])
  return crypto.subtle.deriveKey(
    {
      name: 'HKDF',
      hash: 'SHA-256',
      salt: fromHex(requestId),
      info: new TextEncoder().encode('openledger texts of a receipt'),
    },
    secret,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}
