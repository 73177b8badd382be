import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createPublicClient, http } from 'viem'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { sha256Hex } from '#protocol/bytes.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import { loraMethod } from '#protocol/wire.ts'
import {
  asWorker,
  BASE,
  BASE_PRICE,
  complete,
  jobEnded,
  makeAdapter,
  postJob,
  publishDatanet,
  readJob,
  registerBase,
  takeLease,
  type PublishedVersion,
} from '../testing/adapter.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import { registerGpuWorker } from '../testing/gpu-worker.ts'
import { startEdge, type Edge } from '../testing/harness.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

let chain: Chain
let edge: Edge
let owner: SignedIn
let stranger: SignedIn
let datanet: PublishedVersion
let workerId: string
const worker = { url: 'http://worker.test', address: `0x${'77'.repeat(20)}` } as const
before(async () => {
  chain = await startChain()
  await registerBase(chain)
  edge = await startEdge(chain.vars)
  ;[owner, stranger] = [await signIn(edge), await signIn(edge)]
  workerId = await registerGpuWorker(edge, worker, BASE)
  datanet = await publishDatanet(edge, owner, [owner, stranger])
})
after(async () => {
  await edge?.harness.close()
  await chain?.stop()
})

const datanets = () => [{ id: datanet.id, version: 1 }]

async function newJob(body: Record<string, unknown> = {}): Promise<string> {
  const response = await postJob(edge, owner, { datanets: datanets(), ...body })
  assert.equal(response.status, 200, await response.clone().text())
  return ((await response.json()) as { id: string }).id
}

/** Makes a job's lease look as if its time had run out. */
async function expire(jobId: string): Promise<void> {
  const env = (await edge.worker.getEnv()) as unknown as { DB: D1Database }
  await env.DB.prepare('UPDATE jobs SET lease_expires_at = 1 WHERE id = ?').bind(jobId).run()
}

const problemOf = async (response: Response) => {
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

const progress = (done: number, events: object[] = [], more: object = {}) => ({
  phase: 'training',
  done,
  events,
  ...more,
})

test('a worker whose base model is not on chain is turned away', async () => {
  const response = await asWorker(edge, '/v1/workers', {
    ...worker,
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
  assert.equal(await registerGpuWorker(edge, worker, BASE), workerId)
  assert.equal((await asWorker(edge, '/v1/workers/wrk_nobody/leases')).status, 404)
})

const tuned = (hyperparameters: object) => ({
  datanets: datanets(),
  method: { type: 'lora', lora: { hyperparameters } },
})
const named = (name: string) => `method.lora.hyperparameters.${name}`

test('what cannot be trained is refused by name', async () => {
  const cases: [Record<string, unknown>, number, string | null][] = [
    [{ model: 'no-such-model', datanets: datanets() }, 404, 'model'],
    [{ datanets: [{ id: datanet.id, version: 9 }] }, 404, null],
    [{ datanets: [] }, 400, 'datanets'],
    [{ datanets: [...datanets(), ...datanets()] }, 400, 'datanets'],
    [{ datanets: datanets(), suffix: 'Not A Slug' }, 400, 'suffix'],
    [{ datanets: datanets(), price_per_token: '1'.repeat(40) }, 400, 'price_per_token'],
    [
      { datanets: datanets(), method: { type: 'lora', lora: { hyperparameters: { rank: 0 } } } },
      400,
      'method.lora.hyperparameters.rank',
    ],
    [
      {
        datanets: datanets(),
        method: { type: 'lora', lora: { hyperparameters: { sequenceLength: 1024 } } },
      },
      400,
      'method.lora.hyperparameters.sequenceLength',
    ],
    [{ datanets: datanets(), training_file: 'file-1' }, 400, 'training_file'],
    [tuned({ learning_rate_multiplier: 2 }), 400, named('learning_rate_multiplier')],
    [tuned({ n_epochs: 'auto' }), 400, named('n_epochs')],
    [tuned({ n_epochs: 2, epochs: 3 }), 400, named('n_epochs')],
    [tuned({ targetModules: ['embed_tokens'] }), 400, `${named('targetModules')}.0`],
    [tuned({ quantization: 'int3' }), 400, named('quantization')],
    [tuned({ dropout: 1 }), 400, named('dropout')],
    [tuned({ schedule: 'step' }), 400, named('schedule')],
  ]
  for (const [body, status, param] of cases) {
    const problem = await problemOf(await postJob(edge, owner, body))
    assert.deepEqual([problem.status, problem.param], [status, param], JSON.stringify(problem))
  }
})

type Estimate = {
  records: number
  training_records: number
  held_out_records: number
  bytes: number
  tokens: number
  steps: number
  seconds: number | null
  measured_jobs: number
  registration_fee: string
  basis: string
}
const askEstimate = (body: object) =>
  edge.fetch('/v1/fine_tuning/estimate', {
    method: 'POST',
    headers: owner.headers,
    body: JSON.stringify({ model: BASE.name, ...body }),
  })
const estimateOf = async (body: object): Promise<Estimate> => {
  const response = await askEstimate(body)
  assert.equal(response.status, 200, await response.clone().text())
  return (await response.json()) as Estimate
}
const jobCount = async () => {
  const response = await edge.fetch('/v1/fine_tuning/jobs', { headers: owner.headers })
  return ((await response.json()) as { data: unknown[] }).data.length
}

test('an estimate counts records, bytes and steps, costs nothing and knows no time before any job', async () => {
  const before = await jobCount()
  const found = await estimateOf(
    tuned({ n_epochs: 3, batch_size: 2, gradientAccumulation: 2, validationFraction: 0.25 }),
  )
  const rows = (await (
    await edge.fetch(`/v1/datanets/${datanet.id}/versions/1/rows?limit=100`)
  ).json()) as { data: { fields: object }[] }
  assert.equal(found.records, rows.data.length)
  const { training_records: trained, held_out_records: held } = found
  assert.equal(trained + held, found.records) // no near-duplicates among the clauses
  assert.equal(held, Math.max(1, Math.round(found.records / 4)))
  const content = rows.data.reduce((n, { fields }) => n + JSON.stringify(fields).length, 0)
  assert.ok(
    found.bytes >= content && found.bytes < 1.2 * content + 200,
    `${found.bytes} ${content}`,
  )
  const share = trained / found.records
  assert.ok(Math.abs(found.tokens - (found.bytes / 4) * share * 3) < 2)
  assert.equal(found.steps, 3 * Math.ceil(Math.ceil(trained / 2) / 2))
  assert.deepEqual([found.seconds, found.measured_jobs], [null, 0])
  assert.equal(found.registration_fee, PARAMETERS['fee.model'].value.toString())
  assert.match(found.basis, /estimated at 4 bytes/)
  const short = await estimateOf(tuned({ sequenceLength: 16, epochs: 1, validationFraction: 0 }))
  assert.equal(short.tokens, 16 * found.records)
  assert.equal(await jobCount(), before)
})

test('an estimate refuses what a job would', async () => {
  const unknown = await problemOf(await askEstimate(tuned({ learning_rate: 1 })))
  assert.deepEqual([unknown.status, unknown.param], [400, named('learning_rate')])
  const missing = await askEstimate({ datanets: [{ id: datanet.id, version: 9 }] })
  assert.equal(missing.status, 404)
  const long = await problemOf(await askEstimate(tuned({ sequenceLength: 1024 })))
  assert.equal(long.param, named('sequenceLength'))
})

test('a job is leased, reports, and ends as a model that the chain knows', async () => {
  const id = await newJob({ suffix: 'clauses', seed: 11 })
  const lease = (await takeLease(edge, workerId))!
  assert.equal(lease.job.jobId, id)
  assert.equal(lease.job.method.seed, 11)
  assert.equal(lease.job.datanets[0]!.root, datanet.root)
  assert.equal(lease.checkpoint, null)
  assert.equal(await takeLease(edge, workerId), null)

  const event = {
    at: new Date().toISOString(),
    message: 'step 1',
    metrics: { step: 1, totalSteps: 10, loss: 2.5 },
  }
  const beat = () => asWorker(edge, `/v1/leases/${lease.leaseId}/heartbeat`, progress(0.1, [event]))
  assert.deepEqual(Object.keys((await (await beat()).json()) as object), ['expiresAt', 'cancelled'])
  await beat() // the answer was lost, the worker says it again
  const events = (await (
    await edge.fetch(`/v1/fine_tuning/jobs/${id}/events`, { headers: owner.headers })
  ).json()) as { data: { message: string; data: unknown }[] }
  assert.deepEqual(
    events.data.map(({ message }) => message),
    ['step 1', 'Started on a test.', 'The job is queued.'],
  )
  assert.deepEqual(events.data[0]!.data, event.metrics)

  const manifest = await makeAdapter(edge, lease)
  assert.equal((await complete(edge, lease.leaseId, manifest)).status, 200)
  assert.equal((await complete(edge, lease.leaseId, manifest)).status, 200)
  const job = await jobEnded(edge, owner, id)
  assert.equal(job.status, 'succeeded', JSON.stringify(job))
  assert.equal(job.fine_tuned_model, `${BASE.name}:${owner.address}/clauses`)
  assert.equal(job.trained_tokens, 1_234)
  const onChain = await createPublicClient({ transport: http(chain.rpcUrl) }).readContract({
    address: chain.contracts.modelRegistry,
    abi: modelRegistryAbi,
    functionName: 'adapterOf',
    args: [manifest.digest],
  })
  assert.equal(onChain.indexRoot, manifest.indexRoot)
  assert.equal(onChain.owner.toLowerCase(), owner.address)
  assert.equal(onChain.pricePerToken, BASE_PRICE)
  assert.deepEqual(onChain.datanetRoots, [datanet.root])

  const models = (await (await edge.fetch('/v1/models')).json()) as { data: { id: string }[] }
  assert.deepEqual(
    models.data.map((model) => model.id),
    [BASE.name, job.fine_tuned_model],
  )
  for (const name of [
    job.fine_tuned_model!,
    `${job.fine_tuned_model}@sha256-${manifest.digest.slice(2)}`,
  ])
    for (const path of [encodeURIComponent(name), name]) {
      const response = await edge.fetch(`/v1/models/${path}`)
      assert.equal(response.status, 200, path)
      const model = (await response.json()) as { openledger: { digest: string } }
      assert.equal(model.openledger.digest, manifest.digest)
    }
})

test('the same training again is the same adapter: the second job ends on the first registration', async () => {
  const id = await newJob({ suffix: 'clauses', seed: 11 })
  const lease = (await takeLease(edge, workerId))!
  const manifest = await makeAdapter(edge, lease)
  assert.equal((await complete(edge, lease.leaseId, manifest)).status, 200)
  const job = await jobEnded(edge, owner, id)
  assert.equal(job.status, 'succeeded')
  assert.equal(job.openledger.adapter_digest, manifest.digest)
})

test('a result that does not match its job, its files or its digest is refused', async () => {
  const id = await newJob({ seed: 12 })
  const lease = (await takeLease(edge, workerId))!
  const manifest = await makeAdapter(edge, lease)
  const missing = { sha256: sha256Hex('never stored'), bytes: 12 }
  const wrong = [
    { ...manifest, owner: stranger.address },
    { ...manifest, digest: sha256Hex('something else') },
    { ...manifest, files: { ...manifest.files, 'index/spans.bin': missing } },
    {
      ...manifest,
      files: { ...manifest.files, 'adapter_model.safetensors': manifest.files['index/spans.bin'] },
    },
  ]
  for (const result of wrong) {
    const problem = await problemOf(await complete(edge, lease.leaseId, result))
    assert.deepEqual([problem.status, problem.code], [422, 'result_refused'], problem.detail)
  }
  const never = await asWorker(edge, `/v1/leases/${lease.leaseId}/complete`, { manifest: missing })
  assert.equal(never.status, 422)
  assert.equal((await readJob(edge, owner, id)).status, 'running')
  await asWorker(edge, `/v1/leases/${lease.leaseId}/fail`, { message: 'refused', retryable: false })
  const job = await jobEnded(edge, owner, id)
  assert.deepEqual(job.error, { code: 'worker_failed', message: 'refused', param: null })
})

test('a lease that runs out gives the job to the next, with its checkpoint, three times at most', async () => {
  const id = await newJob({ seed: 13 })
  const checkpoint = { sha256: sha256Hex('a checkpoint'), bytes: 12 }
  const first = (await takeLease(edge, workerId))!
  await asWorker(edge, `/v1/leases/${first.leaseId}/heartbeat`, progress(0.5, [], { checkpoint }))
  await expire(id)
  const second = (await takeLease(edge, workerId))!
  assert.equal(second.job.jobId, id)
  assert.deepEqual(second.checkpoint, checkpoint)
  const late = await asWorker(edge, `/v1/leases/${first.leaseId}/heartbeat`, progress(0.6))
  assert.deepEqual((await problemOf(late)).code, 'lease_lost')
  assert.equal(
    (await asWorker(edge, `/v1/leases/${first.leaseId}/fail`, { message: 'late', retryable: true }))
      .status,
    409,
  )
  await asWorker(edge, `/v1/leases/${second.leaseId}/fail`, {
    message: 'out of memory',
    retryable: true,
  })
  const third = (await takeLease(edge, workerId))!
  assert.equal(third.job.jobId, id)
  await expire(id)
  await edge.worker.scheduled({ cron: '* * * * *' })
  const job = await readJob(edge, owner, id)
  assert.deepEqual(
    [job.status, job.openledger.attempts, job.error?.code],
    ['failed', 3, 'worker_lost'],
  )
  assert.equal(await takeLease(edge, workerId), null)
})

test('a cancelled job tells its worker and takes no result', async () => {
  const id = await newJob({ seed: 14 })
  const lease = (await takeLease(edge, workerId))!
  const manifest = await makeAdapter(edge, lease)
  const cancel = (by: SignedIn) =>
    edge.fetch(`/v1/fine_tuning/jobs/${id}/cancel`, { method: 'POST', headers: by.headers })
  assert.equal((await cancel(stranger)).status, 404)
  assert.equal((await cancel(owner)).status, 200)
  const beat = await asWorker(edge, `/v1/leases/${lease.leaseId}/heartbeat`, progress(0.5))
  assert.equal(((await beat.json()) as { cancelled: boolean }).cancelled, true)
  assert.equal((await complete(edge, lease.leaseId, manifest)).status, 200)
  assert.equal((await readJob(edge, owner, id)).status, 'cancelled')
  const again = await cancel(owner)
  assert.equal(again.status, 200)
})

test('jobs that were done in one go tell how long the next one takes', async () => {
  const { measured_jobs, seconds, tokens } = await estimateOf(tuned({ epochs: 4 }))
  assert.equal(measured_jobs, 2)
  assert.ok(seconds !== null && seconds > 0 && Number.isInteger(seconds))
  const longer = await estimateOf(tuned({ epochs: 40 }))
  assert.ok(Math.abs(longer.tokens - 10 * tokens) <= 10)
  assert.ok(longer.seconds! >= seconds)
})

test('options reach the worker in the manifest, and those not named leave no trace in it', async () => {
  const options = {
    n_epochs: 3,
    batch_size: 4,
    targetModules: ['q_proj', 'v_proj'],
    dropout: 0.1,
    rslora: true,
    schedule: 'linear',
    gradientAccumulation: 2,
    clipNorm: 0.5,
    weightDecay: 0.01,
    patience: 5,
    quantization: 'int4',
    recompute: true,
  }
  const defaults = Object.keys(loraMethod.parse({}))
  const plain = await newJob({ seed: 20 })
  const first = (await takeLease(edge, workerId))!
  assert.deepEqual(Object.keys(first.job.method).toSorted(), defaults.toSorted())
  const id = await newJob({ ...tuned(options), seed: 21 })
  const lease = (await takeLease(edge, workerId))!
  const { n_epochs: epochs, batch_size: batchSize, ...same } = options
  assert.deepEqual(lease.job.method, loraMethod.parse({ ...same, epochs, batchSize, seed: 21 }))
  const job = (await readJob(edge, owner, id)) as unknown as {
    hyperparameters: object
    method: { lora: { hyperparameters: Record<string, unknown> } }
  }
  assert.deepEqual(job.hyperparameters, { n_epochs: 3, batch_size: 4 })
  assert.deepEqual(job.method.lora.hyperparameters['targetModules'], ['q_proj', 'v_proj'])
  for (const it of [plain, id]) await control(it, 'cancel')
})

const control = (id: string, what: 'cancel' | 'pause' | 'resume', by = owner) =>
  edge.fetch(`/v1/fine_tuning/jobs/${id}/${what}`, { method: 'POST', headers: by.headers })

test('a paused job stops its worker, keeps its checkpoint and goes on when it is resumed', async () => {
  const id = await newJob({ seed: 22 })
  const checkpoint = { sha256: sha256Hex('a checkpoint of the pause'), bytes: 12 }
  const first = (await takeLease(edge, workerId))!
  const beat = async (leaseId: string, more: object = {}) =>
    asWorker(edge, `/v1/leases/${leaseId}/heartbeat`, progress(0.5, [], more))
  await beat(first.leaseId)
  assert.equal((await control(id, 'pause', stranger)).status, 404)
  for (let twice = 0; twice < 2; twice++) {
    const paused = await control(id, 'pause')
    assert.deepEqual([paused.status, (await readJob(edge, owner, id)).status], [200, 'paused'])
  }
  const answer = await beat(first.leaseId, { checkpoint })
  assert.equal(((await answer.json()) as { cancelled: boolean }).cancelled, true)
  const manifest = await makeAdapter(edge, first)
  assert.equal((await complete(edge, first.leaseId, manifest)).status, 200)
  const failed = { message: 'stopped', retryable: true }
  assert.equal((await asWorker(edge, `/v1/leases/${first.leaseId}/fail`, failed)).status, 200)
  await edge.worker.scheduled({ cron: '* * * * *' })
  assert.equal((await readJob(edge, owner, id)).status, 'paused')
  assert.equal(await takeLease(edge, workerId), null)

  for (let twice = 0; twice < 2; twice++) assert.equal((await control(id, 'resume')).status, 200)
  assert.equal((await beat(first.leaseId)).status, 409)
  const second = (await takeLease(edge, workerId))!
  assert.equal(second.job.jobId, id)
  assert.deepEqual(second.checkpoint, checkpoint)
  assert.equal((await complete(edge, second.leaseId, manifest)).status, 200)
  assert.equal((await jobEnded(edge, owner, id)).status, 'succeeded')
  for (const what of ['pause', 'resume'] as const)
    assert.deepEqual((await problemOf(await control(id, what))).code, 'job_ended')
})

test('a job may be paused before it starts and cancelled while it is paused', async () => {
  const id = await newJob({ seed: 23 })
  assert.equal((await control(id, 'pause')).status, 200)
  assert.equal(await takeLease(edge, workerId), null)
  assert.equal((await control(id, 'cancel')).status, 200)
  assert.equal((await control(id, 'resume')).status, 409)
  assert.equal((await readJob(edge, owner, id)).status, 'cancelled')
})

test('events stream live, and go on where a reader left off', async () => {
  const id = await newJob({ seed: 15 })
  const lease = (await takeLease(edge, workerId))!
  const say = (message: string) =>
    asWorker(
      edge,
      `/v1/leases/${lease.leaseId}/heartbeat`,
      progress(0, [{ at: new Date().toISOString(), message }]),
    )
  const open = async (lastEventId?: string) => {
    const response = await edge.fetch(`/v1/fine_tuning/jobs/${id}/events`, {
      headers: {
        ...owner.headers,
        accept: 'text/event-stream',
        ...(lastEventId && { 'last-event-id': lastEventId }),
      },
    })
    assert.equal(response.headers.get('content-type'), 'text/event-stream')
    return response.body!.pipeThrough(new TextDecoderStream()).getReader()
  }
  type Reader = Awaited<ReturnType<typeof open>>
  const readUntil = async (reader: Reader, text: string): Promise<string> => {
    let seen = ''
    while (!seen.includes(text)) {
      const { value, done } = await reader.read()
      if (done) break
      seen += value
    }
    return seen
  }

  const first = await open()
  await say('one')
  const seen = await readUntil(first, '"one"')
  const lastId = /id: (ftevent-\S+)\ndata: [^\n]*"one"/.exec(seen)![1]!
  await first.cancel()
  await say('two')
  const second = await open(lastId)
  await say('three')
  await asWorker(edge, `/v1/leases/${lease.leaseId}/fail`, { message: 'over', retryable: false })
  const rest = await readUntil(second, '[DONE]')
  const messages = [...rest.matchAll(/"message":"([^"]*)"/g)].map((match) => match[1])
  assert.deepEqual(messages, ['two', 'three', 'The job failed: over'])
  assert.match(rest, /data: \[DONE\]\n\n$/)
})
