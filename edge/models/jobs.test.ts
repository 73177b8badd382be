import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createPublicClient, http } from 'viem'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { sha256Hex } from '#protocol/bytes.ts'
import { loraMethod } from '#protocol/wire.ts'
import {
  asWorker,
  BASE,
  BASE_PRICE,
  complete,
  jobEnded,
  makeAdapter,
  postJob,
  readJob,
  takeLease,
} from '../testing/adapter.ts'
import { problemOf, startJobs, type Jobs } from '../testing/jobs.ts'

let jobs: Jobs
let edge: Jobs['edge']
let owner: Jobs['owner']
let stranger: Jobs['stranger']
let datanet: Jobs['datanet']
let workerId: Jobs['workerId']
before(async () => {
  jobs = await startJobs()
  ;({ edge, owner, stranger, datanet, workerId } = jobs)
})
after(() => jobs?.stop())

const tuned = (hyperparameters: object) => ({
  datanets: jobs.datanets,
  method: { type: 'lora', lora: { hyperparameters } },
})
const named = (name: string) => `method.lora.hyperparameters.${name}`

test('what cannot be trained is refused by name', async () => {
  const cases: [Record<string, unknown>, number, string | null][] = [
    [{ model: 'no-such-model', datanets: jobs.datanets }, 404, 'model'],
    [{ datanets: [{ id: datanet.id, version: 9 }] }, 404, null],
    [{ datanets: [] }, 400, 'datanets'],
    [{ datanets: [...jobs.datanets, ...jobs.datanets] }, 400, 'datanets'],
    [{ datanets: jobs.datanets, suffix: 'Not A Slug' }, 400, 'suffix'],
    [{ datanets: jobs.datanets, price_per_token: '1'.repeat(40) }, 400, 'price_per_token'],
    [
      { datanets: jobs.datanets, method: { type: 'lora', lora: { hyperparameters: { rank: 0 } } } },
      400,
      'method.lora.hyperparameters.rank',
    ],
    [
      {
        datanets: jobs.datanets,
        method: { type: 'lora', lora: { hyperparameters: { sequenceLength: 1024 } } },
      },
      400,
      'method.lora.hyperparameters.sequenceLength',
    ],
    [{ datanets: jobs.datanets, training_file: 'file-1' }, 400, 'training_file'],
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

test('a job is leased, reports, and ends as a model that the chain knows', async () => {
  const id = await jobs.create({ suffix: 'clauses', seed: 11 })
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
  const beat = () => jobs.beat(lease.leaseId, 0.1, { events: [event] })
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
  const onChain = await createPublicClient({ transport: http(jobs.chain.rpcUrl) }).readContract({
    address: jobs.chain.contracts.modelRegistry,
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
  const id = await jobs.create({ suffix: 'clauses', seed: 11 })
  const lease = (await takeLease(edge, workerId))!
  const manifest = await makeAdapter(edge, lease)
  assert.equal((await complete(edge, lease.leaseId, manifest)).status, 200)
  const job = await jobEnded(edge, owner, id)
  assert.equal(job.status, 'succeeded')
  assert.equal(job.openledger.adapter_digest, manifest.digest)
})

test('a result that does not match its job, its files or its digest is refused', async () => {
  const id = await jobs.create({ seed: 12 })
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
  await jobs.fail(lease.leaseId, 'refused', false)
  const job = await jobEnded(edge, owner, id)
  assert.deepEqual(job.error, { code: 'worker_failed', message: 'refused', param: null })
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
  const plain = await jobs.create({ seed: 20 })
  const first = (await takeLease(edge, workerId))!
  assert.deepEqual(Object.keys(first.job.method).toSorted(), defaults.toSorted())
  const id = await jobs.create({ ...tuned(options), seed: 21 })
  const lease = (await takeLease(edge, workerId))!
  const { n_epochs: epochs, batch_size: batchSize, ...same } = options
  assert.deepEqual(lease.job.method, loraMethod.parse({ ...same, epochs, batchSize, seed: 21 }))
  const job = (await readJob(edge, owner, id)) as unknown as {
    hyperparameters: object
    method: { lora: { hyperparameters: Record<string, unknown> } }
  }
  assert.deepEqual(job.hyperparameters, { n_epochs: 3, batch_size: 4 })
  assert.deepEqual(job.method.lora.hyperparameters['targetModules'], ['q_proj', 'v_proj'])
  for (const it of [plain, id]) await jobs.control(it, 'cancel')
})

test('events stream live, and go on where a reader left off', async () => {
  const id = await jobs.create({ seed: 15 })
  const lease = (await takeLease(edge, workerId))!
  const say = (message: string) =>
    jobs.beat(lease.leaseId, 0, { events: [{ at: new Date().toISOString(), message }] })
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
  await jobs.fail(lease.leaseId, 'over', false)
  const rest = await readUntil(second, '[DONE]')
  const messages = [...rest.matchAll(/"message":"([^"]*)"/g)].map((match) => match[1])
  assert.deepEqual(messages, ['two', 'three', 'The job failed: over'])
  assert.match(rest, /data: \[DONE\]\n\n$/)
})
