import { sha256Hex, type Hex } from '#protocol/bytes.ts'
import {
  asWorker,
  BASE,
  postJob,
  publishDatanet,
  registerBase,
  type PublishedVersion,
} from './adapter.ts'
import { startChain, type Chain } from './chain.ts'
import { registerGpuWorker } from './gpu-worker.ts'
import { startEdge, type Edge } from './harness.ts'
import { signIn, type SignedIn } from './wallet.ts'

export const JOB_WORKER = { url: 'http://worker.test', address: `0x${'77'.repeat(20)}` } as const

/** An edge over a real chain with a base, a published Datanet, its owner, a stranger and one registered worker. */
export type Jobs = {
  chain: Chain
  edge: Edge
  owner: SignedIn
  stranger: SignedIn
  datanet: PublishedVersion
  /** What a job's request names. */
  datanets: { id: string; version: number }[]
  workerId: string
  /** Queues a job of the owner's; its id. */
  create(body?: Record<string, unknown>): Promise<string>
  control(id: string, what: 'cancel' | 'pause' | 'resume', by?: SignedIn): Promise<Response>
  /** Reports progress under a lease; the response as it is. */
  beat(leaseId: string, done: number, more?: Progress): Promise<Response>
  /** Gives a lease up; the response as it is. */
  fail(leaseId: string, message: string, retryable: boolean): Promise<Response>
  /** Makes a job's lease look as if its time had run out. */
  expire(jobId: string): Promise<void>
  stop(): Promise<void>
}

type Progress = { events?: object[]; checkpoint?: { sha256: Hex; bytes: number } }

export async function startJobs(): Promise<Jobs> {
  const chain = await startChain()
  await registerBase(chain)
  const edge = await startEdge(chain.vars)
  const [owner, stranger] = [await signIn(edge), await signIn(edge)]
  const workerId = await registerGpuWorker(edge, JOB_WORKER, BASE)
  const datanet = await publishDatanet(edge, owner, [owner, stranger])
  const datanets = [{ id: datanet.id, version: 1 }]
  return {
    chain,
    edge,
    owner,
    stranger,
    datanet,
    datanets,
    workerId,
    async create(body = {}) {
      const response = await postJob(edge, owner, { datanets, ...body })
      if (!response.ok) throw new Error(await response.text())
      return ((await response.json()) as { id: string }).id
    },
    control: (id, what, by = owner) =>
      edge.fetch(`/v1/fine_tuning/jobs/${id}/${what}`, { method: 'POST', headers: by.headers }),
    beat: (leaseId, done, { events = [], ...more } = {}) =>
      asWorker(edge, `/v1/leases/${leaseId}/heartbeat`, {
        phase: 'training',
        done,
        events,
        ...more,
      }),
    fail: (leaseId, message, retryable) =>
      asWorker(edge, `/v1/leases/${leaseId}/fail`, { message, retryable }),
    async expire(jobId) {
      const env = (await edge.worker.getEnv()) as unknown as { DB: D1Database }
      await env.DB.prepare('UPDATE jobs SET lease_expires_at = 1 WHERE id = ?').bind(jobId).run()
    },
    async stop() {
      await edge.harness.close()
      await chain.stop()
    },
  }
}

/** A checkpoint that no store holds: the edge hands its reference on without reading it. */
export const checkpointOf = (name: string) => ({ sha256: sha256Hex(name), bytes: 12 })

/** What a refused request was told. */
export async function problemOf(response: Response) {
  const body = (await response.json()) as {
    detail: string
    error: { code: string; param: string | null }
  }
  return {
    status: response.status,
    code: body.error.code,
    param: body.error.param,
    detail: body.detail,
  }
}
