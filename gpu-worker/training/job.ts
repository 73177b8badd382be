/** One fine-tuning job from its lease to the published adapter. Knows nothing of processes, leases or HTTP. */
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Adapter } from '#engine/adapter-pack.ts'
import type { AdapterManifest, BlobRef, JobManifest, Lease, LoraMethod } from '#protocol/wire.ts'
import {
  buildAdapterIndex,
  INDEX_STAGES,
  type AdapterIndex,
  type IndexStage,
} from './adapter-index.ts'
import { decodeCheckpoint } from './checkpoint.ts'
import { canonicalRows, DatasetError, loadRows } from './dataset.ts'
import { holdOut, toExamples, type Example } from './examples.ts'
import type { JobContext } from './job-context.ts'
import {
  bestAdapter,
  formatOf,
  initialState,
  loraOf,
  snapshotsOf,
  type TrainingState,
} from './lora-training.ts'
import { digestOfFiles, exportPeft, type PeftFiles } from './peft.ts'
import { runTraining } from './training-phase.ts'

/** Examples that the loss is measured on when nothing is held out. */
const MEASURED_EXAMPLES = 64

/** Runs the job and returns its manifest, which is in the store with all its files. Throws when it cannot. */
export async function runJob(
  { job, checkpoint }: Pick<Lease, 'job' | 'checkpoint'>,
  context: JobContext,
): Promise<{ manifest: AdapterManifest; blob: BlobRef }> {
  const { base, report } = context
  if (job.base.digest !== base.digest)
    throw new DatasetError(
      `the job wants the base ${job.base.digest}, this worker has ${base.digest}`,
    )
  report.progress('preparing', 0)
  const data = await prepare(job, context)
  const state = await restore(job, checkpoint, context)
  await runTraining(job, data, state, context)

  report.progress('indexing', 0)
  const adapter = { lora: loraOf(job.method), tensors: bestAdapter(state) }
  const peft = exportPeft(adapter, job.base.name)
  const index = await buildIndex(data, { adapter, state, peft }, job.method, context)
  report.progress('uploading', 0)
  return publish(job, state, peft, index, context)
}

type Data = { train: Example[]; heldOut: Example[]; measured: Example[] }

async function prepare(
  job: JobManifest,
  { base, blobs, report, signal }: JobContext,
): Promise<Data> {
  const { method } = job
  if (method.sequenceLength > base.contextLength)
    throw new DatasetError(
      `sequenceLength ${method.sequenceLength} exceeds the model's ${base.contextLength}`,
    )
  const rows = await loadRows(blobs, job.datanets, signal)
  const canonical = canonicalRows(rows)
  const made = toExamples(canonical, base.tokenizer, method.sequenceLength)
  const { train, validation } = holdOut(made.examples, method.validationFraction, method.seed)
  if (train.length === 0) throw new DatasetError('no record has anything to train on')
  const notes = [
    `${rows.length} records`,
    rows.length > canonical.length &&
      `${rows.length - canonical.length} near-duplicates stand aside for their cluster's first record`,
    made.truncated > 0 && `${made.truncated} cut at ${method.sequenceLength} tokens`,
    made.empty > 0 && `${made.empty} without anything to train on`,
    `${train.length} train, ${validation.length} held out`,
  ]
  report.event({ message: notes.filter((note) => note !== false).join(', ') })
  if (validation.length > 0) return { train, heldOut: validation, measured: validation }
  report.event({ level: 'warn', message: 'nothing is held out: losses are on trained records' })
  return { train, heldOut: [], measured: train.slice(0, MEASURED_EXAMPLES) }
}

async function restore(
  job: JobManifest,
  checkpoint: BlobRef | null,
  { base, blobs, report, signal }: JobContext,
): Promise<TrainingState> {
  if (!checkpoint) return initialState(base.config, job.method)
  const state = decodeCheckpoint(job, await blobs.get(checkpoint.sha256, signal))
  report.event({ message: `resumed from the checkpoint after step ${state.step}` })
  return state
}

async function buildIndex(
  { train, heldOut }: Data,
  { adapter, state, peft }: { adapter: Adapter; state: TrainingState; peft: PeftFiles },
  method: LoraMethod,
  { base, session, report, signal, scratchDir }: JobContext,
): Promise<AdapterIndex> {
  const started = performance.now()
  let stage: IndexStage | null = null
  const digest = digestOfFiles(peft, base.digest)
  const index = await buildAdapterIndex({
    base,
    adapter,
    snapshots: snapshotsOf(state),
    digest,
    scratch: join(scratchDir, `${digest}.features`),
    train,
    heldOut,
    seed: method.seed,
    format: formatOf(method),
    session,
    onProgress: async (now, done) => {
      if (now !== stage) report.event({ message: `indexing: ${INDEX_STAGES[now].does}` })
      stage = now
      report.progress('indexing', done)
      await setImmediate() // lets a cancellation in
      signal.throwIfAborted()
    },
  })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  report.event({ message: `attribution index over ${train.length} records in ${seconds} s` })
  return index
}

async function publish(
  job: JobManifest,
  state: TrainingState,
  peft: PeftFiles,
  index: AdapterIndex,
  { base, blobs, report, signal }: JobContext,
): Promise<{ manifest: AdapterManifest; blob: BlobRef }> {
  const put = (bytes: Uint8Array) => blobs.put(bytes, signal)
  const manifest: AdapterManifest = {
    format: 'openledger-adapter-1',
    digest: digestOfFiles(peft, base.digest),
    base: job.base,
    owner: job.owner,
    slug: job.slug,
    jobId: job.jobId,
    datanets: job.datanets,
    indexRoot: index.root,
    files: {
      'adapter_model.safetensors': await put(peft.weights),
      'adapter_config.json': await put(peft.config),
      'index/rows.json': await put(index.files.rows),
      'index/vectors.i8': await put(index.files.vectors),
      'index/landmarks.i8': await put(index.files.landmarks),
      'index/projection.safetensors': await put(index.files.projection),
      'index/spans.bin': await put(index.files.spans),
    },
    training: {
      steps: state.step,
      tokens: state.tokens,
      initialValidationLoss: state.initialValidationLoss ?? 0,
      validationLoss: state.best?.validationLoss ?? 0,
    },
  }
  const blob = await put(new TextEncoder().encode(JSON.stringify(manifest)))
  report.progress('uploading', 1)
  return { manifest, blob }
}
