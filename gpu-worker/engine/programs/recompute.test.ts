import assert from 'node:assert/strict'
import test from 'node:test'
import { packBatch } from '../batch.ts'
import { loraConfig } from '../models/lora.ts'
import { initialParameters } from '../models/parameters.ts'
import { randomAdapter, randomTokens, tinyConfig } from '../testing.ts'
import { openTrainer } from '../trainer.ts'

const peakBytes = () => process.resourceUsage().maxRSS * 1024

// In a file, hence a process, of its own: a peak can only rise.
test('computing layers again takes less than half of the memory', async () => {
  const config = tinyConfig({
    num_hidden_layers: 8,
    hidden_size: 64,
    num_attention_heads: 4,
    head_dim: 16,
    intermediate_size: 512,
    max_position_embeddings: 512,
  })
  const parameters = initialParameters(config, 1)
  const lora = loraConfig(4)
  const { tensors } = randomAdapter(config, lora, 2)
  const sequence = { tokens: randomTokens(512, 1) }
  const batch = packBatch([sequence, sequence], 512)
  const small = packBatch([{ tokens: randomTokens(4, 2) }], 4)
  const grown: number[] = []
  let before = 0
  for (const recompute of [true, false]) {
    const trainer = await openTrainer(config, lora, parameters, { recompute })
    await trainer.gradients(small, tensors)
    before ||= peakBytes() // what opening and running take whatever the batch
    await trainer.gradients(batch, tensors)
    await trainer.release()
    grown.push(peakBytes() - before)
  }
  const [again, kept] = grown
  assert.ok(again! < kept! / 2, `${again} of ${kept} bytes`)
})
