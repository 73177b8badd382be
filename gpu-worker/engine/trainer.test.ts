import assert from 'node:assert/strict'
import test from 'node:test'
import { packBatch } from './batch.ts'
import { initialAdapter, loraConfig } from './models/lora.ts'
import { initialParameters } from './models/parameters.ts'
import { ADAMW_DEFAULTS, adamwState, adamwStep } from './optimizer.ts'
import { accumulate } from './tensor.ts'
import type { TensorMap } from './tensor.ts'
import { randomTokens, relativeError, tinyConfig } from './testing.ts'
import { openTrainer } from './trainer.ts'
import type { Trainer } from './trainer.ts'

const config = tinyConfig()
const sequences = [0, 1, 2, 3].map((seed) => ({ tokens: randomTokens(12, seed) }))
const batch = packBatch(sequences, 24)

async function losses(trainer: Trainer, trained: TensorMap, rate: number): Promise<number[]> {
  let state = adamwState(trained)
  const seen: number[] = []
  for (let step = 0; step < 40; step++) {
    const { loss, gradients } = await trainer.gradients(batch, trained)
    seen.push(loss)
    state = adamwStep(trained, gradients, state, rate, ADAMW_DEFAULTS).state
  }
  await trainer.release()
  return seen
}

test('training all parameters memorises a small batch', async () => {
  const parameters = initialParameters(config, 1)
  const seen = await losses(await openTrainer(config, 'parameters'), parameters, 0.02)
  assert.ok(seen.at(-1)! < 0.1 * seen[0]!, `loss went from ${seen[0]} to ${seen.at(-1)}`)
})

test('training an adapter lowers the loss and leaves the frozen parameters alone', async () => {
  const lora = loraConfig(8)
  const parameters = initialParameters(config, 1)
  const trainer = await openTrainer(config, lora, parameters)
  const seen = await losses(trainer, initialAdapter(config, lora, 2), 0.02)
  assert.ok(seen.at(-1)! < 0.5 * seen[0]!, `loss went from ${seen[0]} to ${seen.at(-1)}`)
  assert.deepEqual(parameters, initialParameters(config, 1))
})

test('accumulated gradients of the parts are the gradient of the whole batch', async () => {
  const parameters = initialParameters(config, 1)
  const trainer = await openTrainer(config, 'parameters')
  const whole = await trainer.gradients(batch, parameters)
  const sum = (await trainer.gradients(packBatch(sequences.slice(0, 1), 24), parameters)).gradients
  for (const { data } of sum.values()) data.forEach((x, i) => (data[i] = x / 4))
  const rest = await trainer.gradients(packBatch(sequences.slice(1), 24), parameters)
  accumulate(sum, rest.gradients, 3 / 4) // every sequence has as many targets
  for (const [name, { data }] of whole.gradients) {
    assert.ok(relativeError(sum.get(name)!.data, data) < 1e-5, name)
  }
  await trainer.release()
})
