/** The edge as a worker sees it, in memory: blobs, registration, one queue of jobs under leases. For tests of the process. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Hex } from '#protocol/bytes.ts'
import { emptyRevocations } from '#protocol/revocations.ts'
import {
  jobFailure,
  jobProgress,
  jobResult,
  workerHello,
  type BlobRef,
  type JobManifest,
  type JobProgress,
  type WorkerHello,
} from '#protocol/wire.ts'
import { memoryBlobs } from './datanet.ts'

type Job = {
  manifest: JobManifest
  status: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  leases: { leaseId: string; checkpoint: BlobRef | null }[]
  checkpoint: BlobRef | null
  events: JobProgress['events']
  failures: { message: string; retryable: boolean }[]
  result: BlobRef | null
}

/** Starts it on a free port. */
export async function startTestEdge(token: string) {
  const blobs = memoryBlobs()
  const jobs: Job[] = []
  const hellos: WorkerHello[] = []
  const revocations = emptyRevocations()

  const answer = async (
    request: IncomingMessage,
  ): Promise<[number, object | Uint8Array | null]> => {
    const path = request.url ?? ''
    if (path.startsWith('/v1/revocations')) {
      const after = Number(new URL(path, 'http://edge').searchParams.get('after'))
      return [200, { data: revocations.entries.slice(after), has_more: false }]
    }
    if (request.headers.authorization !== `Bearer ${token}`) return [401, null]
    const [, , resource, id = '', action] = path.split('/')
    if (resource === 'blobs') {
      const sha256 = id as Hex
      if (request.method === 'PUT') {
        const ref = await blobs.put(await body(request))
        return ref.sha256 === sha256 ? [200, ref] : [422, null]
      }
      const bytes = blobs.held.get(sha256)
      return bytes ? [200, bytes] : [404, null]
    }
    const json: unknown = JSON.parse(new TextDecoder().decode(await body(request)))
    if (resource === 'workers' && id === '') {
      hellos.push(workerHello.parse(json))
      return [200, { workerId: 'wrk_test' }]
    }
    if (resource === 'workers') return lease()
    const job = jobs.find(({ leases }) => leases.at(-1)?.leaseId === id)
    if (!job || job.status === 'queued') return [409, null]
    if (action === 'heartbeat') {
      const { events, checkpoint } = jobProgress.parse(json)
      job.events.push(...events)
      job.checkpoint = checkpoint ?? job.checkpoint
      return [200, { expiresAt: expiry(), cancelled: job.status === 'cancelled' }]
    }
    if (action === 'complete') {
      job.result = jobResult.parse(json).manifest
      job.status = 'succeeded'
    } else {
      const failure = jobFailure.parse(json)
      job.failures.push(failure)
      job.status = failure.retryable ? 'queued' : 'failed'
    }
    return [200, {}]
  }
  const lease = (): [number, object | null] => {
    const job = jobs.find(({ status }) => status === 'queued')
    if (!job) return [204, null]
    const { checkpoint, manifest } = job
    const leaseId = `lse_${job.leases.length + 1}`
    job.status = 'running'
    job.leases.push({ leaseId, checkpoint })
    return [200, { leaseId, expiresAt: expiry(), job: manifest, checkpoint }]
  }
  const server = createServer((request, response) => {
    void answer(request)
      .catch((error: unknown): [number, object] => [500, { error: String(error) }])
      .then(([status, content]) => {
        const isBytes = content instanceof Uint8Array
        response.writeHead(status, {
          'content-type': isBytes ? 'application/octet-stream' : 'application/json',
        })
        response.end(isBytes || content === null ? content : JSON.stringify(content))
      })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    blobs,
    hellos,
    /** The log that it serves; tests append to it. */
    revocations,
    submit: (manifest: JobManifest): Job => {
      const job: Job = {
        manifest,
        status: 'queued',
        leases: [],
        checkpoint: null,
        events: [],
        failures: [],
        result: null,
      }
      jobs.push(job)
      return job
    },
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

const expiry = (): string => new Date(Date.now() + 30_000).toISOString()

async function body(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = []
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts)
}
