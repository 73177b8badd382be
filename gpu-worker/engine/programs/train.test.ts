import assert from 'node:assert/strict'
import test from 'node:test'
import { packBatch } from '../batch.ts'
import { initialAdapter, loraConfig } from '../models/lora.ts'
import { initialParameters } from '../models/parameters.ts'
import { gaussian, randomSource } from '../random.ts'
import { openTrainer } from '../trainer.ts'
import type { Trainer } from '../trainer.ts'
import type { HostTensor, TensorMap } from '../tensor.ts'
import { randomTokens, tinyConfig } from '../testing.ts'

const random = randomSource(5)
const sequences = [9, 5, 12, 3].map((length, seed) => ({ tokens: randomTokens(length, seed) }))
const batch = packBatch(sequences, 16)

function perturbed(
  tensors: TensorMap,
  direction: TensorMap,
  step: number,
): Map<string, HostTensor> {
  return new Map(
    [...tensors].map(([name, { dims, data }]) => {
      const along = direction.get(name)?.data
      return [name, { dims, data: along ? data.map((x, i) => x + step * along[i]!) : data }]
    }),
  )
}

/** The worst disagreement, over all tensors, of gradient . direction with central differences along that direction. */
async function worstError(trainer: Trainer, trained: TensorMap): Promise<number> {
  const { gradients } = await trainer.gradients(batch, trained)
  const errors: number[] = []
  for (const [name, gradient] of gradients) {
    // A unit direction half along the gradient, so that the derivative is well above rounding.
    const d = new Float32Array(gradient.data.length)
    gaussian(random, d, 1 / Math.sqrt(d.length))
    const norm = Math.hypot(...gradient.data)
    const direction = new Map([
      [name, { dims: gradient.dims, data: d.map((x, i) => x + gradient.data[i]! / norm) }],
    ])
    const h = 3e-3
    const up = await trainer.gradients(batch, perturbed(trained, direction, h))
    const down = await trainer.gradients(batch, perturbed(trained, direction, -h))
    const numeric = (up.loss - down.loss) / (2 * h)
    const along = direction.get(name)!.data
    const analytic = gradient.data.reduce((sum, g, i) => sum + g * along[i]!, 0)
    errors.push(Math.abs(numeric - analytic) / Math.abs(analytic))
  }
  return Math.max(...errors)
}

for (const tied of [true, false]) {
  const embeddings = tied ? 'tied' : 'untied'
  test(`parameter gradients agree with finite differences, ${embeddings} embeddings`, async () => {
    const config = tinyConfig({ tie_word_embeddings: tied })
    const trainer = await openTrainer(config, 'parameters')
    const error = await worstError(trainer, initialParameters(config, 1))
    assert.ok(error < 3e-3, `relative error ${error}`)
    await trainer.release()
  })

  test(`adapter gradients agree with finite differences, ${embeddings} embeddings`, async () => {
    const config = tinyConfig({ tie_word_embeddings: tied })
    const lora = loraConfig(3)
    const adapter = initialAdapter(config, lora, 2)
    for (const { data } of adapter.values()) gaussian(random, data, 0.2)
    const trainer = await openTrainer(config, lora, initialParameters(config, 1))
    const error = await worstError(trainer, adapter)
    assert.ok(error < 3e-3, `relative error ${error}`)
    await trainer.release()
  })
}
