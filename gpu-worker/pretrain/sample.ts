/**
 * `node gpu-worker/pretrain/sample.ts --model DIR [--temperature N] [--seed N] PROMPT...`: answers each prompt, as the
 * model card shows. With `--plain` the model continues the prompt instead of answering it.
 */
import { parseArgs } from 'node:util'
import { KvCache } from '#engine/kv-cache.ts'
import { loadModel } from '#engine/models/files.ts'
import { decodeProgram, prefillProgram } from '#engine/programs/generate.ts'
import { randomSource, type RandomSource } from '#engine/random.ts'
import { openSession } from '#engine/session.ts'
import { requireTensor } from '#engine/tensor.ts'
import { END_ID, loadTokenizer } from './tokenizer.ts'

const BARE_MODEL = { targets: [] }

/** Draws from softmax(logits / temperature); the largest logit at temperature 0. */
export function drawToken(logits: Float32Array, temperature: number, random: RandomSource): number {
  const best = logits.reduce((top, logit, id) => (logit > (logits[top] ?? 0) ? id : top), 0)
  if (temperature === 0) return best
  const highest = logits[best] ?? 0
  const weights = logits.map((logit) => Math.exp((logit - highest) / temperature))
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0)
  const drawn = weights.findIndex((weight) => (left -= weight) < 0)
  return drawn < 0 ? best : drawn // rounding may leave a remainder past the last weight
}

export type Generator = {
  /** The tokens that follow `prompt`, at most `limit`, without the end token. */
  readonly generate: (
    prompt: readonly number[],
    limit: number,
    draw: (logits: Float32Array) => number,
  ) => Promise<number[]>
  readonly release: () => Promise<void>
}

/** Opens the model in `modelDir` for one sequence at a time. */
export async function openGenerator(modelDir: string): Promise<Generator> {
  const { config, parameters } = await loadModel(modelDir)
  const prefill = await openSession(prefillProgram(config, BARE_MODEL), parameters)
  const decode = await openSession(decodeProgram(config, BARE_MODEL), parameters)
  return {
    generate: async (prompt, limit, draw) => {
      const cache = new KvCache(config)
      cache.add()
      const generated: number[] = []
      let pending = [...prompt]
      while (generated.length < limit && cache.length(0) + pending.length < config.positions) {
        const count = pending.length
        const first = cache.length(0)
        const outputs = await (first === 0 ? prefill : decode).run({
          tokens: { dims: [1, count], data: Int32Array.from(pending) },
          positions: { dims: [1, count], data: Int32Array.from(pending, (_, i) => first + i) },
          ...(first === 0 ? { rows: { dims: [1], data: Int32Array.of(count - 1) } } : {}),
          ...cache.feeds(),
        })
        cache.append(0, outputs, [count])
        const token = draw(requireTensor(outputs, 'logits').data)
        if (token === END_ID) break
        generated.push(token)
        pending = [token]
      }
      return generated
    },
    release: async () => {
      await prefill.release()
      await decode.release()
    },
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: 'string', default: 'gpu-worker/models/openledger-5m' },
      temperature: { type: 'string', default: '0' },
      seed: { type: 'string', default: '1' },
      limit: { type: 'string', default: '120' },
      plain: { type: 'boolean', default: false },
    },
  })
  const tokenizer = await loadTokenizer(values.model)
  const generator = await openGenerator(values.model)
  const random = randomSource(Number(values.seed))
  for (const prompt of positionals) {
    const chat = tokenizer.apply_chat_template([{ role: 'user', content: prompt }], {
      tokenize: false,
      add_generation_prompt: true,
    }) as string
    const ids = values.plain
      ? tokenizer.encode(prompt)
      : tokenizer.encode(chat, { add_special_tokens: false })
    const tokens = await generator.generate(ids, Number(values.limit), (logits) =>
      drawToken(logits, Number(values.temperature), random),
    )
    const text = tokens.length === 0 ? '' : tokenizer.decode(tokens)
    console.log(`> ${prompt}\n${text}\n`)
  }
  await generator.release()
}

if (import.meta.main) await main()
