/**
 * The training phase of a job, validation included, in a process of its own: some steps of full batches, then the peak of its
 * memory beside what the estimate says. Reads a task like ours.ts, and answers after each step.
 */
import { createInterface } from 'node:readline'
import { loadModel, loadModelIn } from '#engine/models/files.ts'
import { shapeOf } from '#gpu-worker/training/memory.ts'
import { initialState, trainLora } from '#gpu-worker/training/lora-training.ts'
import type { Example } from '#gpu-worker/training/examples.ts'
import { ZERO_ADDRESS, ZERO_HASH } from '#protocol/bytes.ts'
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
const model = await (format === 'f32' ? loadModel(task.model) : loadModelIn(task.model, format))
const row = {
  record: ZERO_HASH,
  cluster: ZERO_HASH,
  contributor: ZERO_ADDRESS,
  fields: { text: '' },
}
const examples = task.batches.flatMap((tokens) =>
  Array.from({ length: rows }, (_, i): Example => ({
    row,
    tokens: tokens.slice(i * length, (i + 1) * length),
    targets: new Uint8Array(length).fill(1),
  })),
)
const setup = {
  ...model,
  method,
  train: examples,
  validation: examples.slice(0, rows),
  session: { threads },
}
const training = trainLora(setup, initialState(model.config, method))

say({ ready: `${trainingMemory(shapeOf(model.config), method)}` })
for (let line = await input.next(); !line.done; line = await input.next()) {
  const started = performance.now()
  const { value } = await training.next()
  say({ seconds: (performance.now() - started) / 1000, losses: value ? [value.loss] : [] })
}
say({ peakBytes: peakBytes() })
