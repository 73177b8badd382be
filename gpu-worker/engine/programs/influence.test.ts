import assert from 'node:assert/strict'
import test from 'node:test'
import { padBatch } from '../batch.ts'
import type { Sequence } from '../batch.ts'
import { loraA, loraB, loraConfig } from '../models/lora.ts'
import { initialParameters } from '../models/parameters.ts'
import { openSession } from '../session.ts'
import { randomAdapter, randomTokens, relativeError, tinyConfig } from '../testing.ts'
import { openTrainer } from '../trainer.ts'
import { gradientSize, influenceBlocks, influenceProgram } from './influence.ts'

const config = tinyConfig()
const parameters = initialParameters(config, 1)
const lora = loraConfig(3)
const { tensors: adapter } = randomAdapter(config, lora, 9)
const blocks = influenceBlocks(config, lora)

// Prompts of several lengths, the second half of each counts.
const examples: readonly Sequence[] = [12, 5, 17, 8].map((length, seed) => ({
  tokens: randomTokens(length, seed),
  targets: Array.from({ length }, (_, i) => i >= length / 2),
}))

async function influence(sequences: readonly Sequence[]): Promise<Float32Array[]> {
  const session = await openSession(influenceProgram(config, { lora }), parameters)
  const { feeds } = padBatch(sequences, 'per-sequence')
  const outputs = await session.run({ ...feeds, ...Object.fromEntries(adapter) })
  await session.release()
  const { dims, data } = outputs.get('gradients')!
  assert.deepEqual([...dims], [sequences.length, gradientSize(blocks)])
  return sequences.map((_, i) => data.slice(i * dims[1]!, (i + 1) * dims[1]!))
}

test('every block is the ordinary LoRA gradient of its example', async () => {
  const rows = await influence(examples)
  const trainer = await openTrainer(config, lora, parameters)
  for (const [i, example] of examples.entries()) {
    const { gradients } = await trainer.gradients(padBatch([example]), adapter)
    for (const { module, factor, offset, rows: r, columns } of blocks) {
      const name = factor === 'A' ? loraA(module) : loraB(module)
      const expected = gradients.get(name)!.data
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
