import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { PARAMETERS } from '#protocol/parameters.ts'
import { BASE, complete, jobEnded, makeAdapter, takeLease } from '../testing/adapter.ts'
import { problemOf, startJobs, type Jobs } from '../testing/jobs.ts'

let jobs: Jobs
let edge: Jobs['edge']
let owner: Jobs['owner']
let datanet: Jobs['datanet']
let workerId: Jobs['workerId']
before(async () => {
  jobs = await startJobs()
  ;({ edge, owner, datanet, workerId } = jobs)
})
after(() => jobs?.stop())

const tuned = (hyperparameters: object) => ({
  datanets: jobs.datanets,
  method: { type: 'lora', lora: { hyperparameters } },
})
const named = (name: string) => `method.lora.hyperparameters.${name}`

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

test('jobs that were done in one go tell how long the next one takes', async () => {
  for (const seed of [11, 12]) {
    const id = await jobs.create({ seed })
    const lease = (await takeLease(edge, workerId))!
    await complete(edge, lease.leaseId, await makeAdapter(edge, lease))
    assert.equal((await jobEnded(edge, owner, id)).status, 'succeeded')
  }
  const { measured_jobs, seconds, tokens } = await estimateOf(tuned({ epochs: 4 }))
  assert.equal(measured_jobs, 2)
  assert.ok(seconds !== null && seconds > 0 && Number.isInteger(seconds))
  const longer = await estimateOf(tuned({ epochs: 40 }))
  assert.ok(Math.abs(longer.tokens - 10 * tokens) <= 10)
  assert.ok(longer.seconds! >= seconds)
})
