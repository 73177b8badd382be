import assert from 'node:assert/strict'
import test from 'node:test'
import { AdapterPack } from '../adapter-pack.ts'
import type { Adapter } from '../adapter-pack.ts'
import { padBatch } from '../batch.ts'
import { KvCache } from '../kv-cache.ts'
import type { LlamaConfig } from '../models/config.ts'
import { loraConfig, mergeAdapter } from '../models/lora.ts'
import { initialParameters } from '../models/parameters.ts'
import { gaussian, randomSource } from '../random.ts'
import { openSession } from '../session.ts'
import type { Feed } from '../session.ts'
import type { TensorMap } from '../tensor.ts'
import { randomAdapter, randomTokens, relativeError, tinyConfig } from '../testing.ts'
import { decodeProgram, prefillProgram } from './generate.ts'
import { evaluateProgram } from './train.ts'

const config = tinyConfig()
const parameters = initialParameters(config, 1)

/** Models with what sets their family apart; biases and head norms away from their neutral values. */
const families = [
  {},
  { model_type: 'mistral', sliding_window: 6 },
  { model_type: 'qwen2' },
  { model_type: 'qwen3' },
].map((overrides) => {
  const config = tinyConfig(overrides)
  const parameters = initialParameters(config, 1)
  const random = randomSource(2)
  for (const [name, { data }] of parameters) {
    if (name.endsWith('.bias') || /[qk]_norm/.test(name)) gaussian(random, data, 0.5)
  }
  return { name: Object.values(overrides)[0] ?? 'llama', config, parameters }
})

const grid = (rows: readonly (readonly number[])[]): Feed => ({
  dims: [rows.length, rows[0]!.length],
  data: Int32Array.from(rows.flat()),
})

type Row = { readonly prompt: readonly number[]; readonly adapter: number | null }

/**
 * Reads all prompts in one ragged prefill, then decodes the given continuations token by token. Answers, per row, the
 * logits after the prompt and after every continuation token.
 */
async function logitsOf(
  rows: readonly Row[],
  continuation: (row: number, step: number, logits: Float32Array) => number,
  steps: number,
  model: TensorMap = parameters,
  adapters: readonly Adapter[] = [],
  config: LlamaConfig = tinyConfig(),
): Promise<Float32Array[][]> {
  const prefill = await openSession(prefillProgram(config), model)
  const decode = await openSession(decodeProgram(config), model)
  const lora = new AdapterPack(config).feeds(
    rows.map(({ adapter }) => (adapter === null ? null : adapters[adapter]!)),
  )
  const cache = new KvCache(config)
  rows.forEach(() => cache.add())

  const longest = Math.max(...rows.map(({ prompt }) => prompt.length))
  const padded = rows.map(({ prompt }) => Array.from({ length: longest }, (_, i) => prompt[i] ?? 0))
  const last = rows.map(({ prompt }, row) => row * longest + prompt.length - 1)
  const outputs = await prefill.run({
    tokens: grid(padded),
    positions: grid(padded.map((row) => row.map((_, i) => i))),
    rows: { dims: [rows.length], data: Int32Array.from(last) },
    ...cache.feeds(),
    ...lora,
  })
  cache.append(
    0,
    outputs,
    rows.map(({ prompt }) => prompt.length),
  )

  const split = (logits: Float32Array) =>
    rows.map((_, row) => logits.slice(row * config.vocab, (row + 1) * config.vocab))
  const answers = split(outputs.get('logits')!.data).map((logits) => [logits])
  for (let step = 0; step < steps; step++) {
    const next = rows.map((_, row) => [continuation(row, step, answers[row]!.at(-1)!)])
    const result = await decode.run({
      tokens: grid(next),
      positions: grid(rows.map((_, row) => [cache.length(row)])),
      ...cache.feeds(),
      ...lora,
    })
    cache.append(
      0,
      result,
      rows.map(() => 1),
    )
    split(result.get('logits')!.data).forEach((logits, row) => answers[row]!.push(logits))
  }
  await Promise.all([prefill.release(), decode.release()])
  return answers
}

const argmax = (logits: Float32Array) => logits.indexOf(Math.max(...logits))

function logProbability(logits: Float32Array, token: number): number {
  const max = Math.max(...logits)
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0)
  return logits[token]! - max - Math.log(total)
}

for (const { name, config, parameters } of families) {
  test(`greedy decoding gives every token the probability that the training forward pass gives it, ${name}`, async () => {
    const prompts = [randomTokens(7, 1), randomTokens(3, 2), randomTokens(70, 3)]
    const written = prompts.map((): number[] => [])
    const answers = await logitsOf(
      prompts.map((prompt) => ({ prompt, adapter: null })),
      (row, _, logits) => {
        written[row]!.push(argmax(logits))
        return argmax(logits)
      },
      12,
      parameters,
      [],
      config,
    )
    const evaluate = await openSession(evaluateProgram(config), parameters)
    for (const [row, prompt] of prompts.entries()) {
      const tokens = [...prompt, ...written[row]!]
      const targets = tokens.map((_, i) => i >= prompt.length)
      const { feeds } = padBatch([{ tokens, targets }])
      const nll = (await evaluate.run(feeds)).get('nll')!.data
      const decoded = written[row]!.map((token, i) => -logProbability(answers[row]![i]!, token))
      assert.ok(relativeError(decoded, nll) < 1e-5)
    }
    await evaluate.release()
  })
}

const small = randomAdapter(config, loraConfig(3), 11)
const partial = randomAdapter(
  config,
  {
    ...loraConfig(5, 4, ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.down_proj']),
    ranks: { v_proj: 7, 'layers.1.mlp.down_proj': 2 },
    alphas: { q_proj: 3 },
    rslora: true,
  },
  12,
)
const mixed: readonly Row[] = [
  { prompt: randomTokens(6, 4), adapter: 1 },
  { prompt: randomTokens(11, 5), adapter: null },
  { prompt: randomTokens(4, 6), adapter: 0 },
  { prompt: randomTokens(9, 7), adapter: 1 },
]
const forced = (row: number, step: number) => (row * 17 + step * 5) % config.vocab

test('rows of a mixed batch answer like models with their adapter merged', async () => {
  const together = await logitsOf(mixed, forced, 5, parameters, [small, partial])
  for (const [row, { prompt, adapter }] of mixed.entries()) {
    const own = adapter === null ? null : [small, partial][adapter]!
    const merged = own ? mergeAdapter(config, parameters, own.lora, own.tensors) : parameters
    const alone = await logitsOf(
      [{ prompt, adapter: null }],
      (_, step) => forced(row, step),
      5,
      merged,
    )
    alone[0]!.forEach((logits, i) => {
      assert.ok(relativeError(together[row]![i]!, logits) < 2e-5)
    })
  }
})

test('a row answers the same in a mixed batch as alone', async () => {
  const together = await logitsOf(mixed, forced, 5, parameters, [small, partial])
  for (const [row, { prompt, adapter }] of mixed.entries()) {
    const [own, index] = adapter === null ? [[], null] : [[[small, partial][adapter]!], 0]
    const alone = await logitsOf(
      [{ prompt, adapter: index }],
      (_, step) => forced(row, step),
      5,
      parameters,
      own,
    )
    alone[0]!.forEach((logits, i) => {
      assert.ok(relativeError(together[row]![i]!, logits) < 1e-5)
    })
  }
})

for (const { name, config, parameters } of families) {
  test(`a prompt read in two parts answers like the prompt read at once, ${name}`, async () => {
    const prompt = randomTokens(20, 8)
    const prefill = await openSession(prefillProgram(config, { targets: [] }), parameters)
    const read = async (cuts: readonly number[]): Promise<Float32Array> => {
      const cache = new KvCache(config)
      const row = cache.add()
      let logits = new Float32Array()
      for (const [i, start] of cuts.entries()) {
        const part = prompt.slice(start, cuts[i + 1])
        const outputs = await prefill.run({
          tokens: grid([part]),
          positions: grid([part.map((_, t) => start + t)]),
          rows: { dims: [1], data: Int32Array.of(part.length - 1) },
          ...cache.feeds(row, row + 1),
        })
        cache.append(row, outputs, [part.length])
        logits = Float32Array.from(outputs.get('logits')!.data)
      }
      return logits
    }
    assert.ok(relativeError(await read([0, 13]), await read([0])) < 1e-5)
    await prefill.release()
  })
}

test('an adapter that changes a layer outside the program is refused', () => {
  const pack = new AdapterPack(config, ['self_attn.q_proj'])
  assert.throws(() => pack.feeds([small]), /does not adapt/)
})
