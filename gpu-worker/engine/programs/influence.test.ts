import assert from 'node:assert/strict'
import test from 'node:test'
import { padBatch } from '../batch.ts'
import type { Sequence } from '../batch.ts'
import { loraA, loraB, loraConfig } from '../models/lora.ts'
import { initialParameters } from '../models/parameters.ts'
import { rademacherProjection } from '../random.ts'
import { openSession } from '../session.ts'
import type { HostTensor } from '../tensor.ts'
import { randomAdapter, randomTokens, relativeError, tinyConfig } from '../testing.ts'
import { openTrainer } from '../trainer.ts'
import { influenceBlocks, influenceDims, influenceProgram } from './influence.ts'
import type { InfluenceOptions } from './influence.ts'

const config = tinyConfig()
const parameters = initialParameters(config, 1)
const lora = loraConfig(3)
const { tensors: adapter } = randomAdapter(config, lora, 9)
const options: InfluenceOptions = { lora, projected: 10 } // projects 24 and 40, keeps 8 (keys and values)
const blocks = influenceBlocks(config, options)
const projections = new Map(
  blocks.flatMap(({ projection }): [string, HostTensor][] =>
    projection
      ? [[projection.name, rademacherProjection(projection.name, ...projection.dims)]]
      : [],
  ),
)

// Prompts of several lengths, the second half of each counts.
const examples: readonly Sequence[] = [12, 5, 17, 8].map((length, seed) => ({
  tokens: randomTokens(length, seed),
  targets: Array.from({ length }, (_, i) => i >= length / 2),
}))

async function influence(sequences: readonly Sequence[]): Promise<Float32Array[]> {
  const session = await openSession(influenceProgram(config, options), parameters)
  const { feeds } = padBatch(sequences, 'per-sequence')
  const outputs = await session.run({
    ...feeds,
    ...Object.fromEntries(adapter),
    ...Object.fromEntries(projections),
  })
  await session.release()
  const { dims, data } = outputs.get('blocks')!
  assert.deepEqual([...dims], [sequences.length, influenceDims(blocks)])
  return sequences.map((_, i) => data.slice(i * dims[1]!, (i + 1) * dims[1]!))
}

/** [r, d] x [d, k]. */
function project({ dims: [r = 0, d = 0], data }: HostTensor, p: HostTensor | undefined): number[] {
  if (!p) return [...data]
  const k = p.dims[1]!
  return Array.from({ length: r * k }, (_, i) => {
    const [row, column] = [Math.floor(i / k), i % k]
    let sum = 0
    for (let j = 0; j < d; j++) sum += data[row * d + j]! * p.data[j * k + column]!
    return sum
  })
}

test('every block is the ordinary LoRA gradient of its example, projected', async () => {
  const rows = await influence(examples)
  const trainer = await openTrainer(config, lora, parameters)
  for (const [i, example] of examples.entries()) {
    const { gradients } = await trainer.gradients(padBatch([example]), adapter)
    for (const { module, factor, offset, rows: r, columns, projection } of blocks) {
      const name = factor === 'A' ? loraA(module) : loraB(module)
      const expected = project(gradients.get(name)!, projections.get(projection?.name ?? ''))
      const found = rows[i]!.subarray(offset, offset + r * columns)
      assert.ok(relativeError(found, expected) < 1e-5, name)
    }
  }
  await trainer.release()
})

test('an example in a padded batch has the blocks it has alone', async () => {
  const together = await influence(examples)
  for (const [i, example] of examples.entries()) {
    const [alone] = await influence([example])
    assert.ok(relativeError(together[i]!, alone!) < 1e-6)
  }
})

test('narrow dimensions are kept, wide ones are projected', () => {
  const columns = new Map(blocks.map((block) => [`${block.module} ${block.factor}`, block.columns]))
  assert.equal(columns.get('model.layers.1.self_attn.k_proj A'), 10)
  assert.equal(columns.get('model.layers.1.self_attn.k_proj B'), 8)
  assert.equal(projections.size, 2 * (2 * 7 - 2))
})

test('a projection preserves inner products on average and is fixed by its name', () => {
  const p = rademacherProjection('adapter|module|in', 64, 32)
  assert.deepEqual(p, rademacherProjection('adapter|module|in', 64, 32))
  assert.ok(p.data.every((x) => Math.abs(x) === Math.fround(1 / Math.sqrt(32))))
  const positive = p.data.filter((x) => x > 0).length / p.data.length
  assert.ok(Math.abs(positive - 0.5) < 0.05)
})
