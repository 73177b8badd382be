import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak, sha256Hex } from '#protocol/bytes.ts'
import { jobManifest, loraMethod } from '#protocol/wire.ts'
import { loadBaseModel } from '../base-model.ts'
import { versionRowOf } from '../testing/datanet.ts'
import { writeTinyModel } from '../testing/tiny-model.ts'
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts'
import { holdOut, toExamples } from './examples.ts'
import { bestAdapter, initialState, loraOf, trainLora, type StepReport } from './lora-training.ts'
import { digestOfFiles, exportPeft, importPeft } from './peft.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const base = await loadBaseModel(await writeTinyModel(scratchFolder()))
const method = loraMethod.parse({
  epochs: 3,
  batchSize: 4,
  rank: 4,
  learningRate: 0.01,
  sequenceLength: 48,
})
const job = jobManifest.parse({
  jobId: 'ftjob-test',
  owner: '0x0000000000000000000000000000000000000001',
  slug: 'test',
  base: { name: base.name, digest: base.digest },
  datanets: [{ id: 'dn_test', version: 1, root: keccak('r'), manifest: sha256Hex('m') }],
  method,
})
const words = ['law', 'court', 'licence', 'notice', 'software', 'author', 'claim']
const rows = Array.from({ length: 32 }, (_, n) => {
  const fields = {
    text: Array.from({ length: 12 }, (_, i) => words[(n * 3 + i * (n + 1)) % 7]).join(' '),
  }
  return { ...versionRowOf({ fields, contributor: job.owner }), fields }
})
const { examples } = toExamples(rows, base.tokenizer, method.sequenceLength)
const { train, validation } = holdOut(examples, 0.15, method.seed)
const setup = {
  ...base,
  method,
  train,
  validation,
  session: { threads: 1 },
}

async function finish(state = initialState(base.config, method), stopAfter = Infinity) {
  const reports: StepReport[] = []
  for await (const report of trainLora(setup, state)) {
    reports.push(report)
    if (report.step === stopAfter) break
  }
  return { state, reports }
}

const whole = await finish()

test('training lowers the loss on held-out records, and the best adapter is kept', () => {
  const { state, reports } = whole
  const validations = reports.flatMap(({ validationLoss }) => validationLoss ?? [])
  assert.equal(state.step, reports.at(-1)!.totalSteps)
  assert.ok(state.best!.validationLoss < state.initialValidationLoss! - 0.3)
  assert.equal(state.best!.validationLoss, Math.min(...validations))
  assert.equal(bestAdapter(state), state.best!.adapter)
})

test('a training resumed from a checkpoint ends bit for bit where an uninterrupted one does', async () => {
  const { state } = await finish(initialState(base.config, method), 9)
  const stored = encodeCheckpoint(job, state)
  const resumed = await finish(decodeCheckpoint(job, stored))
  assert.equal(resumed.reports[0]!.step, 10)
  assert.deepEqual(resumed.reports, whole.reports.slice(9))
  assert.deepEqual(encodeCheckpoint(job, resumed.state), encodeCheckpoint(job, whole.state))
})

test('a checkpoint of another job is refused', () => {
  const bytes = encodeCheckpoint(job, whole.state)
  const other = { ...job, method: { ...method, seed: 2 } }
  assert.throws(() => decodeCheckpoint(other, bytes), /another job/)
})

test('training stops early when the held-out loss no longer falls', async () => {
  // So high a rate ruins the adapter at once.
  const wild = { ...method, learningRate: 1, warmupRatio: 0, epochs: 10 }
  const state = initialState(base.config, wild)
  const reports: StepReport[] = []
  for await (const report of trainLora({ ...setup, method: wild }, state)) reports.push(report)
  assert.ok(state.step < reports[0]!.totalSteps)
  assert.equal(state.stale, 3)
})

test('an adapter survives the export to PEFT, and its digest names both files and the base', () => {
  const adapter = { lora: loraOf(method), tensors: bestAdapter(whole.state) }
  const files = exportPeft(adapter, base.name)
  assert.deepEqual(importPeft(base.config, files), {
    ...adapter,
    tensors: new Map(adapter.tensors),
  })
  const digest = digestOfFiles(files, base.digest)
  const pretty = new TextEncoder().encode(
    JSON.stringify(JSON.parse(new TextDecoder().decode(files.config)), null, 2),
  )
  assert.equal(digestOfFiles({ ...files, config: pretty }, base.digest), digest)
  const touched = Uint8Array.from(files.weights)
  touched[touched.length - 1]! ^= 1
  assert.notEqual(digestOfFiles({ ...files, weights: touched }, base.digest), digest)
})

test('adapters that compute something else are refused by name', () => {
  const files = exportPeft({ lora: loraOf(method), tensors: bestAdapter(whole.state) }, base.name)
  const config = JSON.parse(new TextDecoder().decode(files.config))
  const changed = (change: object) => ({
    ...files,
    config: new TextEncoder().encode(JSON.stringify({ ...config, ...change })),
  })
  const cases: [object, RegExp][] = [
    [{ use_dora: true }, /use_dora/],
    [{ bias: 'all' }, /bias/],
    [{ modules_to_save: ['lm_head'] }, /modules_to_save/],
    [{ init_lora_weights: 'pissa' }, /init_lora_weights/],
    [{ target_modules: ['q_proj', 'embed_tokens'] }, /"embed_tokens"/],
    [{ rank_pattern: { q_proj: 2 } }, /q_proj.*dims/],
    [{ r: 8 }, /dims/],
  ]
  for (const [change, reason] of cases)
    assert.throws(() => importPeft(base.config, changed(change)), reason)
})
