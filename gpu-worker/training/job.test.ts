import assert from 'node:assert/strict'
import test from 'node:test'
import { safetensorsMetadata } from '#engine/safetensors.ts'
import { keccak } from '#protocol/bytes.ts'
import { adapterManifest, ADAPTER_FILES } from '#protocol/wire.ts'
import { jobContext, tinyWorkplace } from '../testing/trained.ts'
import { INDEX_STAGES } from './adapter-index.ts'
import { runJob } from './job.ts'
import { digestOfFiles } from './peft.ts'

const place = await tinyWorkplace()
const job = { ...place.job, method: { ...place.job.method, epochs: 12 } }
const whole = jobContext(place)
const result = await runJob({ job, checkpoint: null }, whole.context)

test('a job publishes an adapter whose every file is in the store under its hash', () => {
  const manifest = adapterManifest.parse(
    JSON.parse(new TextDecoder().decode(place.blobs.held.get(result.blob.sha256))),
  )
  assert.deepEqual(manifest, result.manifest)
  for (const name of ADAPTER_FILES) {
    const { sha256, bytes } = manifest.files[name]
    assert.equal(place.blobs.held.get(sha256)?.length, bytes, name)
  }
  const file = (name: (typeof ADAPTER_FILES)[number]) =>
    place.blobs.held.get(manifest.files[name].sha256)!
  const peft = { weights: file('adapter_model.safetensors'), config: file('adapter_config.json') }
  assert.equal(manifest.digest, digestOfFiles(peft, place.base.digest))
  assert.ok(manifest.training.validationLoss < manifest.training.initialValidationLoss)
})

test('a job tells its phases, its data, its losses and its speed', () => {
  assert.deepEqual(whole.phases, ['preparing', 'training', 'indexing', 'uploading'])
  const messages = whole.events.map(({ message }) => message).join('\n')
  assert.match(messages, /12 records, 11 train, 1 held out/)
  assert.match(messages, /held-out loss before training/)
  const indexing = whole.events.filter(({ message }) => message.startsWith('indexing: '))
  assert.equal(indexing.length, Object.keys(INDEX_STAGES).length)
  const last = whole.events.findLast(({ metrics }) => metrics?.loss !== undefined)!.metrics!
  assert.equal(last.step, result.manifest.training.steps)
  assert.ok(last.tokensPerSecond! > 0 && last.etaSeconds! >= 0)
})

test('a job resumed from a checkpoint publishes the same adapter, to the byte', async () => {
  const steps = whole.checkpoints.map(({ sha256 }) => {
    const state = JSON.parse(safetensorsMetadata(place.blobs.held.get(sha256)!)['state']!)
    return { sha256, step: state.step as number }
  })
  const middle = steps.find(({ step }) => step < result.manifest.training.steps)
  assert.ok(middle, 'a checkpoint was stored before the end')
  const again = jobContext(place)
  const checkpoint = { sha256: middle.sha256, bytes: 0 }
  const resumed = await runJob({ job, checkpoint }, again.context)
  assert.deepEqual(resumed.blob, result.blob)
  assert.match(again.events[1]!.message, new RegExp(`resumed .* step ${middle.step}$`))
})

test('a job for another base, or with longer sequences than the model reads, is refused', async () => {
  const other = { ...job, base: { ...job.base, digest: keccak('other') } }
  await assert.rejects(runJob({ job: other, checkpoint: null }, whole.context), /wants the base/)
  const long = { ...job, method: { ...job.method, sequenceLength: 1024 } }
  await assert.rejects(runJob({ job: long, checkpoint: null }, whole.context), /exceeds the model/)
})

test('a cancelled job stops at the next step', async () => {
  const { context, events } = jobContext(place)
  const cancel = new AbortController()
  const report = {
    ...context.report,
    progress: (phase: string) => {
      if (phase === 'training' && events.length > 2) cancel.abort(new Error('cancelled'))
    },
  }
  const cancelled = runJob({ job, checkpoint: null }, { ...context, report, signal: cancel.signal })
  await assert.rejects(cancelled, /cancelled/)
  assert.ok(events.every(({ metrics }) => (metrics?.step ?? 0) < 3))
})
