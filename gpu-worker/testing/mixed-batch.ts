/**
 * Generates greedily on one execution provider, rows with different adapters together and each alone, and prints the
 * tokens: `node mixed-batch.ts webgpu int4`. A process of its own, because a provider may abort the one it runs in.
 */
import { loraConfig } from '#engine/models/lora.ts'
import type { WeightFormat } from '#engine/quant.ts'
import type { ExecutionProvider } from '#engine/session.ts'
import { randomAdapter } from '#engine/testing.ts'
import { loadBaseModel } from '../base-model.ts'
import { openGenerator } from '../serving/generator.ts'
import { writeTinyModel } from './tiny-model.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

export type MixedBatch = { together: number[][]; alone: number[][] }

const base = await loadBaseModel(await writeTinyModel(scratchFolder()))
const [provider, format] = process.argv.slice(2) as [ExecutionProvider, WeightFormat]
const generator = await openGenerator(base, { provider, format, threads: 1 })

const wide = randomAdapter(base.config, loraConfig(4), 1)
const partial = randomAdapter(
  base.config,
  { ...loraConfig(2, 8, ['self_attn.q_proj', 'mlp.down_proj']), ranks: { q_proj: 3 } },
  2,
)
const rows = [wide, null, partial, wide].map((adapter, row) => ({
  adapter,
  prompt: base.tokenizer.encodePrompt({ prompt: 'The licence of this software '.slice(row * 4) }),
}))
const answer = async ({ adapter, prompt }: (typeof rows)[number]): Promise<number[]> => {
  const { tokens } = await generator.generate({
    prompt,
    adapter,
    sampling: { temperature: 0, topP: 1, topK: 0 },
    seed: 1,
    stop: [],
    maxTokens: 8,
    signal: new AbortController().signal,
    onText: () => {},
  })
  return tokens
}
const together = await Promise.all(rows.map(answer))
const alone: number[][] = []
for (const row of rows) alone.push(await answer(row))
await generator.release()
process.stdout.write(`${JSON.stringify({ together, alone } satisfies MixedBatch)}\n`)
