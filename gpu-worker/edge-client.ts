/** What the worker asks of the edge, besides blobs. */
import { z } from 'zod'
import {
  heartbeatReply,
  lease,
  type BlobRef,
  type JobProgress,
  type Lease,
  type WorkerHello,
} from '#protocol/wire.ts'
import { edgeFetch, retrying } from './blobs.ts'

export type EdgeClient = {
  /** Registers this worker, or says that it is still there; answers its id. */
  register: (hello: WorkerHello, signal?: AbortSignal) => Promise<string>
  /** A job to run, or null when there is none. */
  lease: (workerId: string, signal?: AbortSignal) => Promise<Lease | null>
  /** Extends a lease and hands over what happened; tried once. */
  heartbeat: (leaseId: string, progress: JobProgress) => Promise<z.infer<typeof heartbeatReply>>
  complete: (leaseId: string, manifest: BlobRef) => Promise<void>
  fail: (leaseId: string, failure: { message: string; retryable: boolean }) => Promise<void>
}

const REQUEST_TIMEOUT_MS = 15_000
const MESSAGE_CHARS = 4_000
const registered = z.object({ workerId: z.string() })

/** A client of the edge. Failures are EdgeErrors. */
export function edgeClient(edgeUrl: string, token: string): EdgeClient {
  const post = (path: string, body: unknown, signal?: AbortSignal) => {
    const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
    return edgeFetch(`${edgeUrl}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    })
  }
  return {
    register: async (hello, signal) =>
      registered.parse(await (await post('/v1/workers', hello, signal)).json()).workerId,
    lease: async (workerId, signal) => {
      const response = await post(`/v1/workers/${workerId}/leases`, {}, signal)
      return response.status === 204 ? null : lease.parse(await response.json())
    },
    heartbeat: async (leaseId, progress) =>
      heartbeatReply.parse(await (await post(`/v1/leases/${leaseId}/heartbeat`, progress)).json()),
    // Both are idempotent at the edge: a lease ends once, and saying so again changes nothing.
    complete: async (leaseId, manifest) => {
      await retrying(() => post(`/v1/leases/${leaseId}/complete`, { manifest }))
    },
    fail: async (leaseId, { message, retryable }) => {
      const failure = { message: message.slice(0, MESSAGE_CHARS), retryable }
      await retrying(() => post(`/v1/leases/${leaseId}/fail`, failure))
    },
  }
}
