import assert from 'node:assert/strict'
import test from 'node:test'
import { inFormat } from '#engine/quant.ts'
import { openTrainer } from '#engine/trainer.ts'
import { keccak, sha256Hex } from '#protocol/bytes.ts'
import { jobManifest, loraMethod, type LoraMethod } from '#protocol/wire.ts'
import { decodeIndex } from '../attribution/index-files.ts'
import { loadBaseModel, loadBaseModelIn } from '../base-model.ts'
import { versionRowOf } from '../testing/datanet.ts'
import { writeTinyModel } from '../testing/tiny-model.ts'
import { jobContext, tinyWorkplace } from '../testing/trained.ts'
import { toBatch } from './batches.ts'
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts'
import { holdOut, toExamples } from './examples.ts'
import { accumulateGradients } from './gradient-step.ts'
import { runJob } from './job.ts'
import { bestAdapter, initialState, loraOf, trainLora, type StepReport } from './lora-training.ts'
import { digestOfFiles, exportPeft, importPeft } from './peft.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const base = await loadBaseModel(await writeTinyModel(scratchFolder()))
const plain = loraMethod.parse({
  epochs: 2,
  batchSize: 4,
  rank: 4,
  learningRate: 0.01,
  sequenceLength: 48,
})
const words = ['law', 'court', 'licence', 'notice', 'software', 'author', 'claim']
const contributor = '0x0000000000000000000000000000000000000001'
const rows = Array.from({ length: 32 }, (_, n) => {
  const fields = {
    text: Array.from({ length: 6 + (n % 7) }, (_, i) => words[(n * 3 + i * (n + 1)) % 7]).join(' '),
  }
  return { ...versionRowOf({ fields, contributor }), fields }
})
const { examples } = toExamples(rows, base.tokenizer, plain.sequenceLength)
const { train, validation } = holdOut(examples, 0.15, plain.seed)
const { config, parameters } = base
const session = { threads: 1 }

async function run(
  method: LoraMethod,
  state = initialState(config, method),
  stopAfter = Number.POSITIVE_INFINITY,
) {
  const reports: StepReport[] = []
  const setup = { ...base, method, train, validation, session }
  for await (const report of trainLora(setup, state)) {
    reports.push(report)
    if (report.step === stopAfter) break
  }
  return { state, reports }
}

test('gradients accumulated over batches are those of one large batch', async () => {
  const lora = loraOf(plain)
  const { state } = await run(plain, undefined, 3)
  const trainer = await openTrainer(config, lora, parameters, session)
  const parts = [train.slice(0, 3), train.slice(3, 8), train.slice(8, 9)]
  const draw = { seed: 1, step: 0 }
  const summed = await accumulateGradients(trainer, state.adapter, parts, draw)
  const whole = await trainer.gradients(toBatch(train.slice(0, 9)), state.adapter)
  await trainer.release()
  assert.ok(Math.abs(summed.loss - whole.loss) < 1e-5)
  assert.equal(summed.gradients.size, whole.gradients.size)
  for (const [name, { data }] of whole.gradients) {
    const scale = Math.hypot(...data)
    const found = summed.gradients.get(name)!.data
    assert.ok(Math.hypot(...data.map((x, i) => x - found[i]!)) < 1e-4 * scale, name)
  }
})

test('accumulation divides the steps, and every example is still seen once an epoch', async () => {
  const { state, reports } = await run({ ...plain, epochs: 1, gradientAccumulation: 3 })
  assert.equal(reports.length, Math.ceil(Math.ceil(train.length / 4) / 3))
  assert.equal(
    state.tokens,
    train.reduce((n, { tokens }) => n + tokens.length, 0),
  )
})

for (const [name, options] of [
  ['dropout and accumulation', { dropout: 0.2, gradientAccumulation: 2 }],
  ['a 4-bit base, recompute and dropout', { quantization: 'int4', recompute: true, dropout: 0.1 }],
  ['an 8-bit base and some layers', { quantization: 'int8', targetModules: ['q_proj', 'up_proj'] }],
] satisfies [string, Partial<LoraMethod>][])
  test(`a training with ${name} resumes bit for bit`, async () => {
    const method = loraMethod.parse({ ...plain, ...options })
    const job = jobManifest.parse({
      jobId: 'ftjob-test',
      owner: contributor,
      slug: 'test',
      base: { name: base.name, digest: base.digest },
      datanets: [{ id: 'dn_test', version: 1, root: keccak('r'), manifest: sha256Hex('m') }],
      method,
    })
    const whole = await run(method)
    const half = Math.floor(whole.reports.length / 2)
    const stored = encodeCheckpoint(job, (await run(method, undefined, half)).state)
    const resumed = await run(method, decodeCheckpoint(job, stored))
    assert.deepEqual(resumed.reports, whole.reports.slice(half))
    assert.deepEqual(encodeCheckpoint(job, resumed.state), encodeCheckpoint(job, whole.state))
    const { best, initialValidationLoss } = whole.state
    assert.ok(best!.validationLoss < initialValidationLoss!)
  })

const losses = async (options: Partial<LoraMethod>) =>
  (await run({ ...plain, ...options }, undefined, 4)).reports.map(({ loss }) => loss)

test('dropout and the format of the base change what is learned; recompute does not', async () => {
  const [usual, recomputed, dropped, rough] = [
    await losses({}),
    await losses({ recompute: true }),
    await losses({ dropout: 0.3 }),
    await losses({ quantization: 'int4' }),
  ]
  usual.forEach((loss, i) => assert.ok(Math.abs(loss - recomputed[i]!) < 1e-4))
  assert.notDeepEqual(dropped, usual)
  assert.notDeepEqual(rough, usual)
})

test('the learning rate follows the schedule that is named', async () => {
  const rates = async (schedule: LoraMethod['schedule']) =>
    (await run({ ...plain, schedule, warmupRatio: 0 })).reports.map((it) => it.learningRate)
  assert.deepEqual(new Set(await rates('constant')), new Set([plain.learningRate]))
  const linear = await rates('linear')
  const drops = linear.slice(1).map((rate, i) => linear[i]! - rate)
  for (const drop of drops) assert.ok(Math.abs(drop - drops[0]!) < 1e-12 && drop > 0)
  assert.ok((await rates('cosine')).some((rate, i) => Math.abs(rate - linear[i]!) > 1e-5))
})

test('patience is the number of validations without improvement', async () => {
  const wild = { ...plain, learningRate: 1, warmupRatio: 0, epochs: 10, patience: 1 }
  const { state, reports } = await run(wild)
  assert.equal(state.stale, 1)
  assert.ok(state.step < reports[0]!.totalSteps)
})

test('an adapter of some layers with rslora and dropout survives its PEFT files', async () => {
  const method = loraMethod.parse({
    ...plain,
    targetModules: ['down_proj', 'q_proj'],
    rslora: true,
    dropout: 0.1,
  })
  const { state } = await run(method, undefined, 2)
  const tensors = bestAdapter(state)
  assert.deepEqual(
    new Set([...tensors.keys()].map((name) => name.split('.').at(-2))),
    new Set(['q_proj', 'down_proj']),
  )
  const files = exportPeft({ lora: loraOf(method), tensors }, base.name)
  assert.deepEqual(importPeft(config, files).lora, loraOf(method))
})

test('the index of an adapter trained on a 4-bit base says under which format its gradients stand', async () => {
  const place = await tinyWorkplace()
  const method = loraMethod.parse({ ...place.job.method, epochs: 4, quantization: 'int4' })
  const quantized = await loadBaseModelIn(place.base.directory, 'int4')
  const { manifest } = await runJob(
    { job: { ...place.job, method }, checkpoint: null },
    jobContext({ ...place, base: quantized }).context,
  )
  const file = (name: keyof typeof manifest.files) =>
    place.blobs.held.get(manifest.files[name].sha256)!
  const peft = { weights: file('adapter_model.safetensors'), config: file('adapter_config.json') }
  const adapter = digestOfFiles(peft, place.base.digest)
  const { format } = decodeIndex(
    {
      rows: file('index/rows.json'),
      vectors: file('index/vectors.i8'),
      landmarks: file('index/landmarks.i8'),
      projection: file('index/projection.safetensors'),
    },
    { root: manifest.indexRoot, adapter, config: place.base.config, lora: loraOf(method) },
  )
  assert.equal(format, 'int4')
})

test('a base that was quantized as it was read is the one that was quantized in memory', async () => {
  const { directory } = base
  for (const format of ['int4', 'int8'] as const) {
    const read = await loadBaseModelIn(directory, format)
    assert.deepEqual(
      new Map([...read.parameters].toSorted()),
      new Map([...inFormat(base, format)].toSorted()),
    )
    assert.equal(inFormat(read, format), read.parameters)
    assert.throws(() => inFormat(read, 'f32'), /cannot become one in f32/)
    assert.equal(read.digest, base.digest)
  }
  const plainly = await loadBaseModelIn(directory, 'f32')
  assert.equal(inFormat(plainly, 'f32'), plainly.parameters)
  assert.deepEqual(plainly.parameters, parameters)
})
