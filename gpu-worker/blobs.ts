/** The content-addressed store behind the edge's `/v1/blobs` route. A blob's name is its SHA-256, checked both ways. */
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { toHex, type Hex } from '#protocol/bytes.ts'
import type { BlobRef } from '#protocol/wire.ts'

export type BlobStore = {
  /** The blob's bytes. Throws an EdgeError when it cannot be had, a CorruptBlobError when the bytes are others. */
  get: (sha256: Hex, signal?: AbortSignal) => Promise<Uint8Array>
  /** Stores bytes. Idempotent: the name is the content. */
  put: (bytes: Uint8Array, signal?: AbortSignal) => Promise<BlobRef>
}

/** The edge could not be reached (status 0) or refused. */
export class EdgeError extends Error {
  readonly status: number
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EdgeError'
    this.status = status
  }
  /** Whether the same request may succeed later. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500
  }
}

/** Bytes that do not have the hash they were asked for by. */
export class CorruptBlobError extends Error {
  constructor(expected: Hex, found: Hex) {
    super(`blob ${expected} came with the content of ${found}`)
    this.name = 'CorruptBlobError'
  }
}

const ATTEMPTS = 6
const FIRST_RETRY_MS = 250

/** SHA-256 by the platform, which is several times faster than the protocol's own. */
export const sha256Of = (bytes: Uint8Array): Hex => `0x${hash('sha256', bytes, 'hex')}`

/** Bytes that take longer to hash than to hand to another thread. */
const LARGE_BYTES = 2 ** 20

/** The same, of many bytes without blocking the thread. */
export const hashed = async (bytes: Uint8Array): Promise<Hex> =>
  bytes.length < LARGE_BYTES
    ? sha256Of(bytes)
    : toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)))

/** A store behind an edge. `token` is the worker's bearer token. */
export function edgeBlobs(edgeUrl: string, token: string): BlobStore {
  const headers = { authorization: `Bearer ${token}` }
  const url = (sha256: Hex) => `${edgeUrl}/v1/blobs/${sha256}`
  return {
    get: (sha256, signal) => fetchBlob(url(sha256), sha256, { headers, signal }),
    put: (bytes, signal) =>
      retrying(async () => {
        const sha256 = sha256Of(bytes)
        await edgeFetch(url(sha256), {
          method: 'PUT',
          headers: { ...headers, 'content-type': 'application/octet-stream' },
          body: Uint8Array.from(bytes),
          signal,
        })
        return { sha256, bytes: bytes.length }
      }, signal),
  }
}

type EdgeRequest = Omit<RequestInit, 'signal'> & { signal?: AbortSignal | undefined }

/** The bytes behind a URL of the edge, which have to have the hash; throws as `BlobStore.get`. */
export const fetchBlob = (url: string, sha256: Hex, request: EdgeRequest): Promise<Uint8Array> =>
  retrying(async () => {
    const response = await edgeFetch(url, request)
    const bytes = await response.bytes().catch((cause: unknown) => {
      throw away(url, 'broke off', { ...request, cause })
    })
    const found = await hashed(bytes)
    if (found !== sha256) throw new CorruptBlobError(sha256, found)
    return bytes
  }, request.signal)

/** fetch that throws an EdgeError, with the answer's own words, unless the status is 2xx. */
export async function edgeFetch(url: string, { signal, ...init }: EdgeRequest): Promise<Response> {
  const response = await fetch(url, { ...init, ...(signal && { signal }) }).catch(
    (cause: unknown) => {
      throw away(url, 'does not answer', { signal, cause })
    },
  )
  if (response.ok) return response
  const said = (await response.text().catch(() => '')).slice(0, 500)
  throw new EdgeError(response.status, `${init.method ?? 'GET'} ${url}: ${response.status} ${said}`)
}

/** What a connection that fails means: the reason of the signal, if that ended it. */
function away(
  url: string,
  what: string,
  { signal, cause }: { signal?: AbortSignal | undefined; cause: unknown },
): EdgeError {
  signal?.throwIfAborted()
  return new EdgeError(0, `the edge at ${new URL(url).origin} ${what}`, { cause })
}

/** Repeats an idempotent call with doubling pauses while the edge is away, and once when bytes came damaged. */
export async function retrying<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      const isAway = error instanceof EdgeError && error.isTransient && attempt < ATTEMPTS
      if (!isAway && !(error instanceof CorruptBlobError && attempt === 1)) throw error
      await pause(FIRST_RETRY_MS * 2 ** (attempt - 1), signal)
    }
  }
}

/** Resolves after some time; throws the signal's reason when it aborts. */
export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { ...(signal && { signal }) }).catch(() => signal?.throwIfAborted())
