import { z } from 'zod'
import { address, bytes32 } from '#protocol/wire.ts'
import type { Env } from '../env.ts'
import { contributionMetadata } from './metadata.ts'

/**
 * The inbox: a contribution exists from the moment its bytes are in R2 under `inbox/<id>`, with everything known of
 * it beside them. The queue message is only a hint; what the queue loses the sweep finds here.
 */
const PREFIX = 'inbox/'
const inboxKey = (id: string): string => `${PREFIX}${id}`

const envelope = z.object({
  datanetId: z.string(),
  accountId: z.string(),
  contributor: address,
  contentType: z.string(),
  sha256: bytes32,
  bytes: z.int().min(0),
  metadata: contributionMetadata,
  createdAt: z.int(),
})
export type Envelope = z.infer<typeof envelope>

/** Writes a contribution to the inbox. Once this returns it will be processed. */
export async function putInbox(
  env: Env,
  id: string,
  body: Uint8Array<ArrayBuffer>,
  about: Envelope,
): Promise<void> {
  await env.BLOBS.put(inboxKey(id), body, {
    sha256: about.sha256.slice(2),
    customMetadata: { envelope: asciiJson(about) },
  })
}

/** What waits in the inbox under an id, or null. */
export async function readInbox(
  env: Env,
  id: string,
): Promise<{ about: Envelope; body: () => Promise<Uint8Array<ArrayBuffer>> } | null> {
  const object = await env.BLOBS.get(inboxKey(id))
  if (!object) return null
  return {
    about: parseEnvelope(object),
    body: async () => new Uint8Array(await object.arrayBuffer()),
  }
}

/** What is known of a contribution that waits in the inbox, or null. */
export async function headInbox(env: Env, id: string): Promise<Envelope | null> {
  const object = await env.BLOBS.head(inboxKey(id))
  return object && parseEnvelope(object)
}

/** Empties the inbox of a contribution that ended. Idempotent. */
export const deleteInbox = (env: Env, id: string): Promise<void> => env.BLOBS.delete(inboxKey(id))

/** Ids of contributions that have waited since before `before`, oldest first, at most `limit`. */
export async function waitingIds(env: Env, before: Date, limit: number): Promise<string[]> {
  const { objects } = await env.BLOBS.list({ prefix: PREFIX, limit })
  return objects
    .filter((object) => object.uploaded < before)
    .map((object) => object.key.slice(PREFIX.length))
}

const parseEnvelope = (object: R2Object): Envelope =>
  envelope.parse(JSON.parse(object.customMetadata?.['envelope'] ?? 'null'))

/** R2 sends custom metadata as HTTP headers, which carry ASCII. */
const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[\u0080-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
