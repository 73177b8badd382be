/**
 * What a job does on full batches, in a process of its own: a step of training with its validations, then the attribution index
 * over the same records; in the end the peak of its memory beside what the estimate says. Reads a task like ours.ts.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { buildAdapterIndex } from '#gpu-worker/training/adapter-index.ts'
import { loadBaseModelIn } from '#gpu-worker/base-model.ts'
import { shapeOf } from '#gpu-worker/training/memory.ts'
import { bestAdapter, initialState, loraOf, trainLora } from '#gpu-worker/training/lora-training.ts'
import { sha256Hex, ZERO_ADDRESS, ZERO_HASH } from '#protocol/bytes.ts'
import { trainingMemory } from '#protocol/training.ts'
import { loraMethod } from '#protocol/wire.ts'
import { peakBytes, type Task } from './process.ts'

const say = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`)

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const task = JSON.parse((await input.next()).value ?? '') as Task
const { rows, length, threads, format = 'f32' } = task
const method = loraMethod.parse({
  ...task,
  batchSize: rows,
  sequenceLength: length,
  quantization: format === 'f32' ? 'none' : format,
})
const base = await loadBaseModelIn(task.model, format)
const examples = task.batches.flatMap((tokens) =>
  Array.from({ length: rows }, (_, i) => {
    const own = tokens.slice(i * length, (i + 1) * length)
    const record = sha256Hex(own.join())
    return {
      row: { record, cluster: record, contributor: ZERO_ADDRESS, fields: { text: '' } },
      tokens: own,
      targets: new Uint8Array(length).fill(1),
    }
  }),
)
const session = { threads }

async function runJob(): Promise<number> {
  const state = initialState(base.config, method)
  const validation = examples.slice(0, rows)
  const setup = { ...base, method, train: examples, validation, session }
  let first = Number.NaN
  for await (const { loss } of trainLora(setup, state)) {
    first = loss
    break
  }
  const tensors = bestAdapter(state)
  await buildAdapterIndex({
    base,
    adapter: { lora: loraOf(method), tensors },
    snapshots: [tensors],
    digest: ZERO_HASH,
    scratch: join(tmpdir(), `openledger-features-${process.pid}`),
    train: examples,
    heldOut: [],
    seed: method.seed,
    format,
    session,
    onProgress: () => {},
  })
  return first
}

say({ ready: `${trainingMemory(shapeOf(base.config), method)}` })
for (let line = await input.next(); !line.done; line = await input.next()) {
  const started = performance.now()
  const loss = await runJob()
  say({ seconds: (performance.now() - started) / 1000, losses: [loss] })
}
say({ peakBytes: peakBytes() })
