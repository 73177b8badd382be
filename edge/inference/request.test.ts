import assert from 'node:assert/strict'
import test from 'node:test'
import { Problem } from '../problem.ts'
import { parseChat, parseCompletion } from './request.ts'

const chat = (change: object) =>
  parseChat({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...change })
const text = (change: object) => parseCompletion({ model: 'm', prompt: 'Hi', ...change })
const neutral = { temperature: 1, topP: 1, topK: 0, stop: [] }

/** Parameter and detail of the refusal. */
function refused(parse: () => unknown): [string | undefined, string | undefined] {
  try {
    parse()
  } catch (error) {
    if (error instanceof Problem) return [error.details.param, error.details.detail]
  }
  return ['accepted', undefined]
}

test('neutral values ask for nothing', () => {
  const said = {
    min_p: 0,
    repetition_penalty: 1,
    presence_penalty: 0,
    frequency_penalty: 0,
    logit_bias: {},
    n: 1,
    echo: false,
    best_of: 1,
  }
  assert.deepEqual(chat({ ...said, logprobs: false, top_logprobs: 0 }).sampling, neutral)
  assert.deepEqual(text(said).sampling, neutral)
  assert.deepEqual([chat({}).choices, chat({ n: 3 }).choices], [1, 3])
})

test('how tokens are drawn is handed on', () => {
  const { sampling } = chat({
    min_p: 0.05,
    repetition_penalty: 1.2,
    presence_penalty: -1,
    frequency_penalty: 0.5,
    logit_bias: { '17': -100 },
    logprobs: true,
    top_logprobs: 3,
  })
  assert.deepEqual(sampling, {
    ...neutral,
    minP: 0.05,
    repetitionPenalty: 1.2,
    presencePenalty: -1,
    frequencyPenalty: 0.5,
    logitBias: { '17': -100 },
    logprobs: 3,
  })
  assert.equal(chat({ logprobs: true }).sampling.logprobs, 0)
  assert.equal(text({ logprobs: 0 }).sampling.logprobs, 0)
  assert.equal(text({ logprobs: 5 }).sampling.logprobs, 5)
})

test('a conversation may retrieve, from each Datanet version once', () => {
  assert.equal(chat({}).retrieval, null)
  assert.deepEqual(chat({ retrieval: { datanets: ['dn_1', 'dn_2@3', 'dn_1'] } }).retrieval, {
    datanets: ['dn_1', 'dn_2@3'],
    topK: 4,
  })
})

test('what cannot be honoured is refused with the reason', () => {
  assert.match(refused(() => text({ echo: true }))[1] ?? '', /^echo is not supported/)
  for (const [parse, param] of [
    [() => chat({ top_logprobs: 2 }), 'top_logprobs'],
    [() => text({ logprobs: 6 }), 'logprobs'],
    [() => chat({ logprobs: 2 }), 'logprobs'],
    [() => text({ best_of: 3 }), 'best_of'],
    [() => chat({ logit_bias: { '1': 101 } }), 'logit_bias.1'],
    [() => chat({ min_p: 1.5 }), 'min_p'],
    [() => chat({ n: 17 }), 'n'],
    [() => chat({ retrieval: { datanets: ['dn_1'], top_k: 33 } }), 'retrieval.top_k'],
    [() => text({ retrieval: { datanets: ['dn_1'] } }), 'retrieval'],
    [() => chat({ tools: 'all' }), 'tools'],
    [() => chat({ tools: 5 }), 'tools'],
    [() => chat({ toString: 1 }), 'toString'],
    [() => text({ constructor: { name: 'x' } }), 'constructor'],
  ] as const)
    assert.equal(refused(parse)[0], param)
})
