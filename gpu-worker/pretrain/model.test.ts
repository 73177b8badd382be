import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { padBatch } from '#engine/batch.ts'
import { loadModel } from '#engine/models/files.ts'
import { evaluateProgram } from '#engine/programs/train.ts'
import { openSession } from '#engine/session.ts'
import { requireTensor } from '#engine/tensor.ts'
import { OPENLEDGER_5M } from './recipe.ts'
import { drawToken, openGenerator } from './sample.ts'
import { encodeDocument, loadTokenizer } from './tokenizer.ts'

const MODEL = fileURLToPath(new URL('../models/openledger-5m', import.meta.url))
const MAX_BYTES = 15_000_000

/** Sentences of the three domains, written for this test. */
const SENTENCES = [
  'This condition is caused by mutations in a gene that provides instructions for making an enzyme.',
  'This Agreement shall be governed by and construed in accordance with the laws of the State.',
  'Total revenue increased compared to the prior year because of higher net sales.',
]

const greedy = (logits: Float32Array) => drawToken(logits, 0, () => 0)

test('the embedded model has the shape of the recipe and fits the repository', async () => {
  const { config, parameters } = await loadModel(MODEL)
  assert.equal(config.hidden, OPENLEDGER_5M.config['hidden_size'])
  assert.equal(config.vocab, OPENLEDGER_5M.vocabularySize)
  const count = [...parameters.values()].reduce((sum, { data }) => sum + data.length, 0)
  assert.equal(count, 5_475_584)
  assert.ok((await stat(join(MODEL, 'model.safetensors'))).size < MAX_BYTES)
})

test('the embedded model expects English: a sentence is far likelier than its words in reverse', async () => {
  const { config, parameters } = await loadModel(MODEL)
  const tokenizer = await loadTokenizer(MODEL)
  const session = await openSession(evaluateProgram(config), parameters)
  const loss = async (content: string): Promise<number> => {
    const document = { id: '', domain: 'legal', group: '', content } as const
    const batch = padBatch([{ tokens: encodeDocument(tokenizer, document) }])
    return requireTensor(await session.run(batch.feeds), 'loss').data[0] ?? Number.NaN
  }
  for (const sentence of SENTENCES) {
    const [forward, reversed] = [
      await loss(sentence),
      await loss(sentence.split(' ').toReversed().join(' ')),
    ]
    assert.ok(forward < 4, `${sentence}: ${forward}`)
    assert.ok(reversed > forward + 2, `${sentence}: ${forward}, reversed ${reversed}`)
  }
  await session.release()
})

test('the embedded model answers a request in words, the same at every temperature-0 run', async () => {
  const tokenizer = await loadTokenizer(MODEL)
  const generator = await openGenerator(MODEL)
  const messages = [{ role: 'user', content: 'Write a contract clause about governing law.' }]
  const prompt = tokenizer.apply_chat_template(messages, {
    tokenize: false,
    add_generation_prompt: true,
  }) as string
  const ids = tokenizer.encode(prompt, { add_special_tokens: false })
  const answer = await generator.generate(ids, 40, greedy)
  assert.deepEqual(await generator.generate(ids, 40, greedy), answer)
  assert.match(tokenizer.decode(answer), /\b(?:Agreement|laws?|Party|Parties)\b/)
  await generator.release()
})
