import assert from 'node:assert/strict'
import test from 'node:test'
import { createSampler, type SamplerOptions } from './sampler.ts'

const greedy = { temperature: 0, topP: 1, topK: 0 }
const logits = Float32Array.of(2, 1.5, -1, 0)
const sampler = (change: Partial<SamplerOptions>, prompt: number[] = [], seed = 1) =>
  createSampler({ ...greedy, ...change }, seed, prompt)
/** Greedy tokens from the same logits again and again. */
const draws = (next: ReturnType<typeof createSampler>, count: number) =>
  Array.from({ length: count }, () => next(logits).token)

test('min-p drops tokens that are much less likely than the likeliest', () => {
  const odds = Float32Array.from([0.6, 0.25, 0.1, 0.05], Math.log)
  const found = (minP: number) => {
    const one = createSampler({ temperature: 1, topP: 1, topK: 0, minP }, 3, [])
    return new Set(Array.from({ length: 500 }, () => one(odds).token))
  }
  assert.deepEqual(found(0), new Set([0, 1, 2, 3]))
  assert.deepEqual(found(0.4), new Set([0, 1]))
  assert.deepEqual(found(0.42), new Set([0]))
})

test('the presence penalty counts once, the frequency penalty every time', () => {
  // 2 - 0.6 is below 1.5, which then falls to 0.9: 1.4 it is, and stays.
  assert.deepEqual(draws(sampler({ presencePenalty: 0.6 }), 4), [0, 1, 0, 0])
  // 2, 1.5, 1.4, 0.9, 0.8, ...: each draw costs its token 0.6.
  assert.deepEqual(draws(sampler({ frequencyPenalty: 0.6 }), 5), [0, 1, 0, 1, 0])
})

test('the repetition penalty divides positive and multiplies negative logits, the prompt’s among them', () => {
  assert.equal(sampler({ repetitionPenalty: 1.5 }, [0])(logits).token, 1)
  assert.equal(sampler({ repetitionPenalty: 1.3 }, [0])(logits).token, 0)
  const negative = Float32Array.of(-1, -1.5)
  assert.equal(sampler({ repetitionPenalty: 1.6 }, [0])(negative).token, 1)
})

test('a bias moves logits and leaves what the caller passed as it was', () => {
  const before = Float32Array.from(logits)
  assert.equal(sampler({ logitBias: { '2': 100 } })(logits).token, 2)
  assert.equal(sampler({ logitBias: { '0': -100, '99999': 5 } })(logits).token, 1)
  assert.deepEqual(logits, before)
})

test('log-probabilities are those of the model, whatever was done to the logits', () => {
  const { token, logprobs } = sampler({ logitBias: { '2': 100 }, logprobs: 2 })(logits)
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
  assert.equal(token, 2)
  assert.ok(Math.abs(logprobs!.logprob - (-1 - total)) < 1e-6)
  assert.deepEqual(
    logprobs!.top.map(({ token }) => token),
    [0, 1],
  )
  assert.ok(Math.abs(logprobs!.top[1]!.logprob - (1.5 - total)) < 1e-6)
  assert.deepEqual(sampler({ logprobs: 0 })(logits).logprobs!.top, [])
  assert.equal(sampler({})(logits).logprobs, null)
})

test('a seed gives the same draws again, another seed others', () => {
  const flat = new Float32Array(1000)
  const run = (seed: number) => {
    const next = createSampler({ temperature: 1, topP: 1, topK: 0 }, seed, [])
    return Array.from({ length: 20 }, () => next(flat).token)
  }
  assert.deepEqual(run(5), run(5))
  assert.notDeepEqual(run(5), run(6))
})
