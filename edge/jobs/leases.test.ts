import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { sha256Hex } from '#protocol/bytes.ts'
import {
  asWorker,
  BASE,
  complete,
  jobEnded,
  makeAdapter,
  readJob,
  takeLease,
} from '../testing/adapter.ts'
import { registerGpuWorker } from '../testing/gpu-worker.ts'
import { checkpointOf, JOB_WORKER, problemOf, startJobs, type Jobs } from '../testing/jobs.ts'

let jobs: Jobs
let edge: Jobs['edge']
let owner: Jobs['owner']
let stranger: Jobs['stranger']
let workerId: Jobs['workerId']
before(async () => {
  jobs = await startJobs()
  ;({ edge, owner, stranger, workerId } = jobs)
})
after(() => jobs?.stop())

test('a worker whose base model is not on chain is turned away', async () => {
  const response = await asWorker(edge, '/v1/workers', {
    ...JOB_WORKER,
    device: 'cpu',
    bases: [{ ...BASE, digest: sha256Hex('another model') }],
  })
  assert.deepEqual((await problemOf(response)).code, 'unknown_base')
})

test('only workers may lease, and a restarted worker keeps its id', async () => {
  const refused = await edge.fetch(`/v1/workers/${workerId}/leases`, { method: 'POST' })
  assert.equal(refused.status, 401)
  const account = await edge.fetch(`/v1/workers/${workerId}/leases`, {
    method: 'POST',
    headers: owner.headers,
  })
  assert.equal(account.status, 401)
  assert.equal(await registerGpuWorker(edge, JOB_WORKER, BASE), workerId)
  assert.equal((await asWorker(edge, '/v1/workers/wrk_nobody/leases')).status, 404)
})

test('a lease that runs out gives the job to the next, with its checkpoint, three times at most', async () => {
  const id = await jobs.create({ seed: 13 })
  const checkpoint = checkpointOf('a checkpoint')
  const first = (await takeLease(edge, workerId))!
  await jobs.beat(first.leaseId, 0.5, { checkpoint })
  await jobs.expire(id)
  const second = (await takeLease(edge, workerId))!
  assert.equal(second.job.jobId, id)
  assert.deepEqual(second.checkpoint, checkpoint)
  const late = await jobs.beat(first.leaseId, 0.6)
  assert.deepEqual((await problemOf(late)).code, 'lease_lost')
  assert.equal((await jobs.fail(first.leaseId, 'late', true)).status, 409)
  await jobs.fail(second.leaseId, 'out of memory', true)
  const third = (await takeLease(edge, workerId))!
  assert.equal(third.job.jobId, id)
  await jobs.expire(id)
  await edge.worker.scheduled({ cron: '* * * * *' })
  const job = await readJob(edge, owner, id)
  assert.deepEqual(
    [job.status, job.openledger.attempts, job.error?.code],
    ['failed', 3, 'worker_lost'],
  )
  assert.equal(await takeLease(edge, workerId), null)
})

test('a cancelled job tells its worker and takes no result', async () => {
  const id = await jobs.create({ seed: 14 })
  const lease = (await takeLease(edge, workerId))!
  const manifest = await makeAdapter(edge, lease)
  assert.equal((await jobs.control(id, 'cancel', stranger)).status, 404)
  assert.equal((await jobs.control(id, 'cancel')).status, 200)
  const beat = await jobs.beat(lease.leaseId, 0.5)
  assert.equal(((await beat.json()) as { cancelled: boolean }).cancelled, true)
  assert.equal((await complete(edge, lease.leaseId, manifest)).status, 200)
  assert.equal((await readJob(edge, owner, id)).status, 'cancelled')
  assert.equal((await jobs.control(id, 'cancel')).status, 200)
})

test('a paused job stops its worker, keeps its checkpoint and goes on when it is resumed', async () => {
  const id = await jobs.create({ seed: 22 })
  const checkpoint = checkpointOf('a checkpoint of the pause')
  const first = (await takeLease(edge, workerId))!
  const beat = (leaseId: string, more: object = {}) => jobs.beat(leaseId, 0.5, more)
  await beat(first.leaseId)
  assert.equal((await jobs.control(id, 'pause', stranger)).status, 404)
  for (let twice = 0; twice < 2; twice++) {
    const paused = await jobs.control(id, 'pause')
    assert.deepEqual([paused.status, (await readJob(edge, owner, id)).status], [200, 'paused'])
  }
  const answer = await beat(first.leaseId, { checkpoint })
  assert.equal(((await answer.json()) as { cancelled: boolean }).cancelled, true)
  const manifest = await makeAdapter(edge, first)
  assert.equal((await complete(edge, first.leaseId, manifest)).status, 200)
  assert.equal((await jobs.fail(first.leaseId, 'stopped', true)).status, 200)
  await edge.worker.scheduled({ cron: '* * * * *' })
  assert.equal((await readJob(edge, owner, id)).status, 'paused')
  assert.equal(await takeLease(edge, workerId), null)

  for (let twice = 0; twice < 2; twice++)
    assert.equal((await jobs.control(id, 'resume')).status, 200)
  assert.equal((await beat(first.leaseId)).status, 409)
  const second = (await takeLease(edge, workerId))!
  assert.equal(second.job.jobId, id)
  assert.deepEqual(second.checkpoint, checkpoint)
  assert.equal((await complete(edge, second.leaseId, manifest)).status, 200)
  assert.equal((await jobEnded(edge, owner, id)).status, 'succeeded')
  for (const what of ['pause', 'resume'] as const)
    assert.deepEqual((await problemOf(await jobs.control(id, what))).code, 'job_ended')
})

test('a job may be paused before it starts and cancelled while it is paused', async () => {
  const id = await jobs.create({ seed: 23 })
  assert.equal((await jobs.control(id, 'pause')).status, 200)
  assert.equal(await takeLease(edge, workerId), null)
  assert.equal((await jobs.control(id, 'cancel')).status, 200)
  assert.equal((await jobs.control(id, 'resume')).status, 409)
  assert.equal((await readJob(edge, owner, id)).status, 'cancelled')
})
