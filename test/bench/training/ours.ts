/**
 * Our own side of `npm run bench:training`, in a process of its own so that its memory can be measured. Speaks the
 * protocol of peer.py: a task in the first line of its input, then a number of steps a line.
 */
import { createInterface } from 'node:readline'
import { packBatch } from '#engine/batch.ts'
import { loadModel } from '#engine/models/files.ts'
import { initialAdapter, loraConfig } from '#engine/models/lora.ts'
import { ADAMW_DEFAULTS, adamwState, adamwStep } from '#engine/optimizer.ts'
import { openTrainer } from '#engine/trainer.ts'
import { inFormat } from '#engine/quant.ts'
import { peakBytes, type Task } from './process.ts'

const say = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`)

const lines = createInterface({ input: process.stdin })
const input = lines[Symbol.asyncIterator]()
const task = JSON.parse((await input.next()).value ?? '') as Task
const { threads, rank, alpha, recompute, rows, length, format = 'f32' } = task
const lora = loraConfig(rank, alpha)
const model = await loadModel(task.model)
const { config } = model
const trainer = await openTrainer(config, lora, inFormat(model, format), {
  threads,
  recompute,
  format,
  place: 'held',
})
const adapter = initialAdapter(config, lora, 1)
let state = adamwState(adapter)
const options = { ...ADAMW_DEFAULTS, weightDecay: 0 }
const batches = task.batches.map((tokens) =>
  packBatch(
    Array.from({ length: rows }, (_, row) => ({
      tokens: tokens.slice(row * length, (row + 1) * length),
    })),
    length,
  ),
)

async function step(at: number): Promise<number> {
  const batch = batches[at % batches.length]
  if (!batch) throw new Error('the task has no batch')
  const { loss, gradients } = await trainer.gradients(batch, adapter)
  state = adamwStep(adapter, gradients, state, task.learningRate, options).state
  return loss
}

say({ ready: 'OpenLedger' })
let done = 0
for (let line = await input.next(); !line.done; line = await input.next()) {
  const started = performance.now()
  const losses: number[] = []
  for (let i = 0; i < Number(line.value); i++) losses.push(await step(done++))
  say({ seconds: (performance.now() - started) / 1000, losses })
}
say({ peakBytes: peakBytes() })
