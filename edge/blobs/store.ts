import { bytesToHex } from '@noble/hashes/utils.js'
import type { z } from 'zod'
import type { Hex } from '#protocol/bytes.ts'
import type { BlobRef } from '#protocol/wire.ts'
import type { Env } from '../env.ts'

/** R2 key of a blob: its hash, because R2 takes one write a second per key and equal bytes need only one. */
export const blobKey = (sha256: Hex): string => `sha256/${sha256.slice(2)}`

/** SHA-256 by WebCrypto, which is native where the protocol's own is not. */
export async function sha256Of(bytes: Uint8Array): Promise<Hex> {
  return `0x${bytesToHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)))}`
}

/** Stores bytes under their hash. Idempotent: bytes that are there are not written again. */
export async function putBlob(env: Pick<Env, 'BLOBS'>, bytes: Uint8Array): Promise<BlobRef> {
  const sha256 = await sha256Of(bytes)
  const key = blobKey(sha256)
  if ((await env.BLOBS.head(key)) === null)
    await env.BLOBS.put(key, bytes, { sha256: sha256.slice(2) })
  return { sha256, bytes: bytes.length }
}

/** The bytes under a hash, or null. */
export async function getBlob(
  env: Pick<Env, 'BLOBS'>,
  sha256: Hex,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const object = await env.BLOBS.get(blobKey(sha256))
  return object && new Uint8Array(await object.arrayBuffer())
}

/** The JSON under a hash, or null. Throws when it has not the schema's form. */
export async function getJson<T>(
  env: Pick<Env, 'BLOBS'>,
  sha256: Hex,
  schema: z.ZodType<T, unknown>,
): Promise<T | null> {
  const bytes = await getBlob(env, sha256)
  return bytes && schema.parse(JSON.parse(new TextDecoder().decode(bytes)))
}
