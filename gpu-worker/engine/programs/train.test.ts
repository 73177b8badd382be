import assert from 'node:assert/strict'
import test from 'node:test'
import { packBatch } from '../batch.ts'
import { initialAdapter, loraConfig } from '../models/lora.ts'
import { initialParameters } from '../models/parameters.ts'
import { gaussian, randomSource } from '../random.ts'
import { quantizeParameters } from '../quant.ts'
import { openTrainer } from '../trainer.ts'
import type { Trainer } from '../trainer.ts'
import type { HostTensor, TensorMap } from '../tensor.ts'
import { openSession } from '../session.ts'
import { randomAdapter, randomTokens, relativeError, tinyConfig } from '../testing.ts'
import { dropoutFeeds } from './dropout.ts'
import { evaluateProgram } from './train.ts'

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

test('gradients under dropout, ranks of their own and a rank-stabilised scale agree with finite differences', async () => {
  const config = tinyConfig()
  const ranks = { q_proj: 2, 'layers.1.mlp.up_proj': 5 }
  const lora = { ...loraConfig(3, 2), ranks, alphas: { v_proj: 1 }, rslora: true, dropout: 0.3 }
  const { tensors } = randomAdapter(config, lora, 2)
  const trainer = await openTrainer(config, lora, initialParameters(config, 1))
  const error = await worstError(trainer, tensors)
  assert.ok(error < 3e-3, `relative error ${error}`)
  await trainer.release()
})

test('dropout hides the same in the same step, something else in another, and nothing outside training', async () => {
  const config = tinyConfig()
  const parameters = initialParameters(config, 1)
  const lora = { ...loraConfig(3), dropout: 0.3 }
  const { tensors } = randomAdapter(config, lora, 2)
  const trainer = await openTrainer(config, lora, parameters)
  const loss = async (seed: number, step: number) =>
    (await trainer.gradients(batch, tensors, { seed, step })).loss
  const first = await loss(1, 0)
  assert.equal(await loss(1, 0), first)
  const others = [await loss(1, 1), await loss(2, 0)]
  await trainer.release()
  const evaluate = await openSession(evaluateProgram(config, lora), parameters)
  const plain = await evaluate.run({ ...batch.feeds, ...Object.fromEntries(tensors) })
  await evaluate.release()
  assert.equal(new Set([first, ...others, plain.get('loss')!.data[0]]).size, 4)
})

test('dropout hides its share of the features and keeps their mean', () => {
  const config = tinyConfig()
  const lora = { ...loraConfig(3), dropout: 0.25 }
  const feeds = dropoutFeeds(config, lora, 2000, { seed: 3, step: 7 })
  assert.deepEqual(Object.keys(feeds), ['dropout/24', 'dropout/40'])
  for (const { dims, data } of Object.values(feeds)) {
    assert.equal(dims[0], 2000 + 14)
    const kept = data.filter((value) => value !== 0)
    assert.ok(kept.every((value) => value === Math.fround(1 / 0.75)))
    const deviation = Math.sqrt((0.25 * 0.75) / data.length)
    assert.ok(Math.abs(kept.length / data.length - 0.75) < 5 * deviation)
  }
})

for (const trainable of ['parameters', { ...loraConfig(3), dropout: 0.2 }] as const) {
  const what = trainable === 'parameters' ? 'parameters' : 'an adapter with dropout'
  test(`computing layers again gives the same gradients of ${what}`, async () => {
    const config = tinyConfig({ model_type: 'qwen3' })
    const parameters = initialParameters(config, 1)
    const trained =
      trainable === 'parameters' ? parameters : randomAdapter(config, trainable, 2).tensors
    const kept = await openTrainer(config, trainable, parameters)
    const expected = await kept.gradients(batch, trained)
    await kept.release()
    const again = await openTrainer(config, trainable, parameters, { recompute: true })
    const { loss, gradients } = await again.gradients(batch, trained)
    await again.release()
    assert.equal(loss, expected.loss)
    for (const [name, { data }] of expected.gradients) {
      assert.ok(relativeError(gradients.get(name)!.data, data) < 1e-6, name)
    }
  })
}

for (const format of ['f32', 'int4'] as const)
  test(`a ${format} base read in place gives the gradients of one that is copied`, async () => {
    const config = tinyConfig({
      hidden_size: 32,
      intermediate_size: 64,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 8,
    })
    const plain = initialParameters(config, 1)
    const parameters = format === 'f32' ? plain : quantizeParameters(config, plain, format)
    const lora = loraConfig(3)
    const { tensors } = randomAdapter(config, lora, 2)
    const [copied, held] = await Promise.all(
      (['attached', 'held'] as const).map(async (place) => {
        const trainer = await openTrainer(config, lora, parameters, { format, place })
        const step = await trainer.gradients(batch, tensors)
        await trainer.release()
        return step
      }),
    )
    assert.deepEqual(held, copied)
  })
