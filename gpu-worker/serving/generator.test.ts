import assert from 'node:assert/strict'
import test from 'node:test'
import { mergeAdapter } from '#engine/models/lora.ts'
import { padBatch } from '#engine/batch.ts'
import { openSession } from '#engine/session.ts'
import { prefillProgram } from '#engine/programs/generate.ts'
import { KvCache } from '#engine/kv-cache.ts'
import { AdapterPack } from '#engine/adapter-pack.ts'
import { gaussian, randomSource } from '#engine/random.ts'
import { initialAdapter, loraConfig } from '#engine/models/lora.ts'
import { loadBaseModel } from '../base-model.ts'
import { writeTinyModel } from '../testing/tiny-model.ts'
import { ContextLengthError, openGenerator } from './generator.ts'
import type { GenerationRequest } from './row.ts'
import { argmax } from './sampling.ts'
import { DEFAULT_LIMITS } from './scheduler.ts'
import type { ServingError } from './serving-error.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const base = await loadBaseModel(await writeTinyModel(scratchFolder()))
const generator = await openGenerator(base, { threads: 1 })
const adapterOf = (seed: number) => {
  const lora = loraConfig(4)
  const tensors = initialAdapter(base.config, lora, seed)
  const random = randomSource(seed)
  for (const { data } of tensors.values()) gaussian(random, data, 0.4)
  return { lora, tensors }
}
const adapter = adapterOf(1)
const prompt = base.tokenizer.encodePrompt({ prompt: 'The licence of this software' })
const request = (change: Partial<GenerationRequest> = {}): GenerationRequest => ({
  prompt,
  adapter: null,
  sampling: { temperature: 0, topP: 1, topK: 0 },
  seed: 1,
  stop: [],
  maxTokens: 12,
  signal: new AbortController().signal,
  onText: () => {},
  ...change,
})

/** Greedy continuation by running the whole sequence anew for every token, with the adapter merged into the weights. */
async function reference(tokens: readonly number[], count: number, merged: boolean) {
  const parameters = merged
    ? mergeAdapter(base.config, base.parameters, adapter.lora, adapter.tensors)
    : base.parameters
  const session = await openSession(prefillProgram(base.config), parameters)
  const out: number[] = []
  while (out.length < count) {
    const cache = new KvCache(base.config)
    const row = cache.add()
    const all = [...tokens, ...out]
    const { feeds } = padBatch([{ tokens: all }])
    const outputs = await session.run({
      tokens: feeds['tokens']!,
      positions: feeds['positions']!,
      rows: { dims: [1], data: Int32Array.of(all.length - 1) },
      ...cache.feeds(row, row + 1),
      ...new AdapterPack(base.config).feeds([null]),
    })
    out.push(argmax(outputs.get('logits')!.data))
  }
  await session.release()
  return out
}

test('greedy generation equals running the whole sequence anew for every token', async () => {
  const { tokens, completionTokens, finishReason } = await generator.generate(request())
  assert.deepEqual(tokens, await reference(prompt, 12, false))
  assert.deepEqual([completionTokens, finishReason], [12, 'length'])
})

test('an adapter answers as the base with the adapter merged into its weights', async () => {
  const { tokens } = await generator.generate(request({ adapter }))
  assert.deepEqual(tokens, await reference(prompt, 12, true))
})

test('requests with different adapters, prompts and lengths at once answer as each does alone', async () => {
  const requests = Array.from({ length: 11 }, (_, i) =>
    request({
      prompt: prompt.slice(0, 2 + (i % 5)),
      adapter: [null, adapter, adapterOf(2)][i % 3] ?? null,
      sampling: { temperature: i % 2, topP: 1, topK: 0 },
      seed: i,
      maxTokens: 3 + i * 2,
    }),
  )
  const together = await Promise.all(requests.map(generator.generate))
  for (const [i, one] of requests.entries())
    assert.deepEqual(together[i], await generator.generate(one), `request ${i}`)
  const { active, waiting, running, queued } = generator.load()
  assert.deepEqual(
    { active, waiting, running, queued },
    { active: 0, waiting: 0, running: [], queued: [] },
  )
})

test('the text comes in pieces that add up, and ends at a stop string', async () => {
  const whole = await generator.generate(
    request({ sampling: { temperature: 1, topP: 1, topK: 0 } }),
  )
  const pieces: string[] = []
  const middle = Math.floor(whole.text.length / 2)
  const stop = whole.text.slice(middle, middle + 3)
  const stopped = await generator.generate(
    request({
      sampling: { temperature: 1, topP: 1, topK: 0 },
      stop: [stop],
      onText: (text) => pieces.push(text),
    }),
  )
  assert.equal(stopped.text, whole.text.slice(0, whole.text.indexOf(stop)))
  assert.equal(pieces.join(''), stopped.text)
  assert.equal(stopped.finishReason, 'stop')
  assert.ok(stopped.completionTokens < whole.completionTokens)
  assert.deepEqual(stopped.tokens, whole.tokens.slice(0, stopped.tokens.length))
  assert.equal(stopped.ends.at(-1), stopped.text.length)
})

test('an abandoned request ends, and the others go on', async () => {
  const abandoned = new AbortController()
  let shown = 0
  const doomed = generator.generate(
    request({
      maxTokens: 200,
      signal: abandoned.signal,
      onText: () => {
        if (++shown === 3) abandoned.abort(new Error('the client went away'))
      },
    }),
  )
  const other = generator.generate(request())
  await assert.rejects(doomed, /the client went away/)
  assert.equal((await other).completionTokens, 12)
  await assert.rejects(generator.generate(request({ signal: AbortSignal.abort() })), /abort/i)
})

test('an answer that is enough ends where it is, with the tokens that it has', async () => {
  const enough = new AbortController()
  let shown = 0
  const { tokens: whole } = await generator.generate(request({ maxTokens: 40 }))
  const early = await generator.generate(
    request({
      maxTokens: 40,
      enough: enough.signal,
      onText: () => {
        if (++shown === 3) enough.abort()
      },
    }),
  )
  assert.ok(early.completionTokens >= 3 && early.completionTokens < 40)
  assert.deepEqual(early.tokens, whole.slice(0, early.tokens.length))
  await assert.rejects(generator.generate(request({ enough: AbortSignal.abort() })), /abort/i)
})

test('the context bounds prompt and answer together', async () => {
  const long = Array.from({ length: 250 }, (_, i) => prompt[i % prompt.length]!)
  const { completionTokens, finishReason } = await generator.generate(
    request({ prompt: long, maxTokens: 100 }),
  )
  assert.deepEqual([completionTokens, finishReason], [base.contextLength - 250, 'length'])
  const tooLong = [...long, ...long]
  await assert.rejects(generator.generate(request({ prompt: tooLong })), ContextLengthError)
})

test('a prompt read in several chunks, beside others, answers as one read whole', async () => {
  const long = Array.from({ length: 230 }, (_, i) => prompt[(i * 7) % prompt.length]!)
  const [{ tokens }] = await Promise.all([
    generator.generate(request({ prompt: long, adapter })),
    generator.generate(request({ prompt: long.slice(0, 150) })),
    generator.generate(request({ adapter: adapterOf(3) })),
  ])
  assert.deepEqual(tokens, await reference(long, 12, true))
})

test('answers under way go on while a long prompt is read', async () => {
  const order: string[] = []
  let joining: Promise<unknown> | null = null
  const long = Array.from({ length: 240 }, (_, i) => prompt[i % prompt.length]!)
  await generator.generate(
    request({
      maxTokens: 30,
      onText: () => {
        order.push('short')
        joining ??= generator.generate(
          request({ prompt: long, maxTokens: 4, onText: () => order.push('long') }),
        )
      },
    }),
  )
  await joining
  // Two chunks of at most 128 tokens, and a step of the answer after each of them.
  const first = order.indexOf('long')
  assert.ok(first >= 2 && order.indexOf('short', first) > first, order.join())
})

test('an adapter is fetched while others are answered; one that cannot be had fails its request alone', async () => {
  const fetched = Promise.withResolvers<typeof adapter>()
  const cold = generator.generate(
    request({ adapter: { digest: '0xcold', load: () => fetched.promise } }),
  )
  const lost = generator.generate(
    request({ adapter: { digest: '0xlost', load: () => Promise.reject(new Error('gone')) } }),
  )
  await assert.rejects(lost, /gone/)
  await generator.generate(request()) // is answered although the cold one is ahead
  assert.deepEqual(generator.load().queued, ['0xcold'])
  fetched.resolve(adapter)
  assert.deepEqual((await cold).tokens, await reference(prompt, 12, true))
})

test('a client that leaves while its adapter is fetched frees its place in the queue', async () => {
  const leaving = new AbortController()
  const never = generator.generate(
    request({
      signal: leaving.signal,
      adapter: { digest: '0xnever', load: () => new Promise(() => {}) },
    }),
  )
  assert.equal(generator.load().waiting, 1)
  leaving.abort(new Error('the client went away'))
  await assert.rejects(never, /the client went away/)
  assert.equal(generator.load().waiting, 0)
})

test('log-probabilities come with the text of their tokens, and a stop string takes its own away', async () => {
  const seen: { text: string; tokens: number[] }[] = []
  const onText = (text: string, logprobs: { token: number; logprob: number }[]) => {
    assert.ok(logprobs.every(({ logprob }) => logprob <= 0))
    seen.push({ text, tokens: logprobs.map(({ token }) => token) })
  }
  const sampling = { temperature: 1, topP: 1, topK: 0, logprobs: 1 }
  const whole = await generator.generate(request({ sampling, onText }))
  assert.deepEqual(
    seen.flatMap(({ tokens }) => tokens),
    whole.tokens,
  )
  seen.length = 0
  const stop = [whole.text.slice(whole.text.length >> 1).slice(0, 3)]
  const stopped = await generator.generate(request({ sampling, stop, onText }))
  assert.deepEqual(
    seen.flatMap(({ tokens }) => tokens),
    stopped.tokens,
  )
  assert.equal(seen.map(({ text }) => text).join(''), stopped.text)
})

test('rows without adapters have the same tokens from a program without them', async () => {
  const other = await openGenerator(base, { threads: 1, withBare: true })
  const sampling = { temperature: 1, topP: 1, topK: 0 }
  const [a, b] = await Promise.all(
    [generator, other].map((one) => one.generate(request({ sampling }))),
  )
  assert.deepEqual(a, b)
  await other.release()
})

test('a full queue refuses with the time after which there may be room', async () => {
  const limits = { ...DEFAULT_LIMITS, running: 1, waiting: 2, waitingPerPayer: 1 }
  const small = await openGenerator(base, { threads: 1, limits })
  const answers = [small.generate(request({ payer: 'a' }))]
  await assert.rejects(
    small.generate(request({ payer: 'a' })),
    (error: ServingError) => error.code === 'request/quota' && error.retryAfterSeconds === 1,
  )
  answers.push(small.generate(request({ payer: 'b' })))
  await assert.rejects(
    small.generate(request({ payer: 'c' })),
    (error: ServingError) => error.code === 'model/unavailable' && error.retryAfterSeconds === 2,
  )
  await Promise.all(answers)
  await small.release()
})
