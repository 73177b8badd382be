import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { exportGgufBase } from '../../../test/support/gguf-base.ts'
import { hasLlamaCpp, LLAMA_CPP_MISSING, openLlamaCpp } from '../../../test/support/llama-cpp.ts'
import { loadBaseModel } from '../../base-model.ts'
import { openGenerator } from '../../serving/generator.ts'
import { EMBEDDED_MODEL } from '../../testing/tiny-model.ts'
import { randomAdapter } from '../testing.ts'
import { exportGgufAdapter } from './export.ts'
import { loraConfig } from './lora.ts'
import { scratchFolder } from '../../../test/support/scratch.ts'

test(
  'llama.cpp loads our GGUF adapters and writes the same tokens',
  { skip: !hasLlamaCpp() && LLAMA_CPP_MISSING },
  async () => {
    const directory = scratchFolder()
    const base = await loadBaseModel(EMBEDDED_MODEL)
    await writeFile(join(directory, 'base.gguf'), await exportGgufBase(base))
    const llama = await openLlamaCpp(join(directory, 'base.gguf'), 1)
    const generator = await openGenerator(base, { threads: 1 })
    const prompt = base.tokenizer.encodePrompt({ prompt: 'The patient was given a dose of' })
    const patterned = {
      ...loraConfig(4, 2),
      ranks: { v_proj: 6 },
      alphas: { up_proj: 1 },
      rslora: true,
    }
    const scaled = (lora: ReturnType<typeof loraConfig>, seed: number) => {
      const adapter = randomAdapter(base.config, lora, seed)
      for (const { data } of adapter.tensors.values())
        for (let i = 0; i < data.length; i++) data[i]! /= 2
      return adapter
    }
    const adapters = [null, scaled(loraConfig(8), 1), scaled(patterned, 2)]
    const seen = new Set<string>()
    for (const [i, adapter] of adapters.entries()) {
      const path = join(directory, `${i}.gguf`)
      if (adapter) await writeFile(path, exportGgufAdapter(base.config, adapter))
      const [stream] = await llama.streams(1, adapter ? path : undefined)
      const { tokens } = await generator.generate({
        prompt,
        adapter,
        sampling: { temperature: 0, topP: 1, topK: 0 },
        seed: 1,
        stop: [],
        maxTokens: 16,
        signal: new AbortController().signal,
        onText: () => {},
      })
      assert.deepEqual(await stream!(prompt, tokens.length), tokens)
      seen.add(tokens.join())
    }
    assert.equal(seen.size, adapters.length)
    await generator.release()
    await llama.close()
  },
)
