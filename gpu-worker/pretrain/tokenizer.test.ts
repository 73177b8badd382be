import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { AutoTokenizer, env } from '@huggingface/transformers'
import { countWords, trainBpe } from './bpe.ts'
import {
  encodeDocument,
  END_ID,
  loadTokenizer,
  SPECIAL_TOKENS,
  writeTokenizer,
} from './tokenizer.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const MODEL = fileURLToPath(new URL('../models/openledger-5m', import.meta.url))
const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/bpe.json', import.meta.url), 'utf8'),
)

/** Every Unicode plane, unpaired controls, combining marks and all byte lengths of UTF-8. */
const UNICODE = [
  'plain words, 1,234.50 and\ttabs\n\n',
  'e\u0301 \u00e9 ﬁ \u200d\ufeff\u0000\u001f',
  '東京 مرحبا привет ไทย',
  '🙂👩🏽‍🔬\u{10FFFF}\u{1D11E}',
  Array.from({ length: 0x250 }, (_, code) => String.fromCharCode(code)).join(''),
]

test('a tokenizer trained on a few words round-trips arbitrary Unicode', async () => {
  const dir = scratchFolder()
  await writeTokenizer(
    dir,
    trainBpe(countWords(['the cat sat on the mat']), SPECIAL_TOKENS, 270),
    64,
  )
  const tokenizer = await loadTokenizer(dir)
  for (const text of UNICODE) {
    const ids = tokenizer.encode(text, { add_special_tokens: false })
    assert.equal(tokenizer.decode(ids), text)
  }
})

test('the embedded tokenizer loads offline through AutoTokenizer and round-trips arbitrary Unicode', async () => {
  env.allowRemoteModels = false
  const tokenizer = await AutoTokenizer.from_pretrained(MODEL, { local_files_only: true })
  for (const text of UNICODE) {
    const ids = tokenizer.encode(text, { add_special_tokens: false })
    assert.equal(tokenizer.decode(ids), text)
  }
})

test("the embedded tokenizer's ids and decoded texts equal those of Python transformers", async () => {
  const tokenizer = await loadTokenizer(MODEL)
  for (const { text, ids, decoded } of golden.encodings) {
    assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text))
    if (text !== '') assert.equal(tokenizer.decode(ids.slice(1)), decoded)
  }
})

test('the chat template renders as in Python transformers, with and without a generation prompt', async () => {
  const tokenizer = await loadTokenizer(MODEL)
  for (const { messages, addGenerationPrompt, text, ids } of golden.chats) {
    const options = { add_generation_prompt: addGenerationPrompt }
    assert.equal(tokenizer.apply_chat_template(messages, { ...options, tokenize: false }), text)
    const encoded = tokenizer.apply_chat_template(messages, {
      ...options,
      tokenize: true,
      return_tensor: false,
      return_dict: false,
    })
    assert.deepEqual(encoded, ids)
  }
})

test('documents, plain or conversations, end with the end token and nothing after it', async () => {
  const tokenizer = await loadTokenizer(MODEL)
  const common = { id: 'x', domain: 'legal', group: 'x' } as const
  const plain = encodeDocument(tokenizer, { ...common, content: 'A clause.' })
  const chat = encodeDocument(tokenizer, {
    ...common,
    content: [
      { role: 'user', content: 'Q?' },
      { role: 'assistant', content: 'A.' },
    ],
  })
  assert.equal(tokenizer.decode(plain), '<|bos|>A clause.<|end|>')
  assert.equal(tokenizer.decode(chat), '<|bos|><|user|>\nQ?<|end|>\n<|assistant|>\nA.<|end|>')
  assert.equal(plain.at(-1), END_ID)
  assert.equal(chat.at(-1), END_ID)
})
