import assert from 'node:assert/strict'
import test from 'node:test'
import { chatLogprobs, textLogprobs } from './logprobs.ts'

const told = [
  { token: 'Hé', logprob: -0.1, top: [{ token: 'Hé', logprob: -0.1 }] },
  { token: '\u{FFFD}', logprob: -2, top: [{ token: ' x', logprob: -0.5 }] },
]

test('chat answers tell tokens with their bytes, parts of characters without', () => {
  assert.deepEqual(chatLogprobs(told), {
    content: [
      {
        token: 'Hé',
        logprob: -0.1,
        bytes: [72, 195, 169],
        top_logprobs: [{ token: 'Hé', logprob: -0.1, bytes: [72, 195, 169] }],
      },
      {
        token: '\u{FFFD}',
        logprob: -2,
        bytes: null,
        top_logprobs: [{ token: ' x', logprob: -0.5, bytes: [32, 120] }],
      },
    ],
    refusal: null,
  })
})

test('completions tell parallel lists, with offsets into the whole answer', () => {
  assert.deepEqual(textLogprobs(told, 10), {
    tokens: ['Hé', '\u{FFFD}'],
    token_logprobs: [-0.1, -2],
    top_logprobs: [{ Hé: -0.1 }, { ' x': -0.5 }],
    text_offset: [10, 12],
  })
})
