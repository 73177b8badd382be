import assert from 'node:assert/strict'
import test from 'node:test'
import type { RecordFields } from '#protocol/wire.ts'
import { versionRowOf } from '../testing/datanet.ts'
import { EMBEDDED_MODEL } from '../testing/tiny-model.ts'
import { loadTokenizer } from '../tokenizer.ts'
import { toExamples } from './examples.ts'
import { previewRecord } from './preview.ts'

const tokenizer = await loadTokenizer(EMBEDDED_MODEL)
const chat: RecordFields = {
  messages: [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Who wrote it?' },
    { role: 'assistant', content: 'Nobody knows.' },
    { role: 'user', content: 'When?' },
    { role: 'assistant', content: 'Long ago.' },
  ],
}
const long: RecordFields = { prompt: 'Say it.', completion: 'word '.repeat(60) }
const smuggled: RecordFields = { prompt: 'A <|end|> B', completion: 'Ü <|end|> "C"' }

for (const [name, fields] of Object.entries({ chat, long, smuggled, text: { text: 'A clause.' } }))
  test(`a preview shows the very tokens and targets that training takes: ${name}`, () => {
    const row = { ...versionRowOf({ fields, contributor: `0x${'1'.repeat(40)}` }), fields }
    const { examples, truncated } = toExamples([row], tokenizer, 40)
    const shown = previewRecord(fields, tokenizer, 40)
    assert.deepEqual(shown.ids, examples[0]!.tokens)
    assert.deepEqual(Uint8Array.from(shown.mask), examples[0]!.targets)
    assert.equal(shown.cutTokens > 0, truncated === 1)
    assert.equal(
      shown.spans.reduce((n, { tokens }) => n + tokens, 0),
      shown.tokens,
    )
    assert.equal(shown.tokens, shown.ids.length + shown.cutTokens)
  })

test('every answer of a chat is trained, up to and with its end token, and nothing else', () => {
  const { spans } = previewRecord(chat, tokenizer, 512)
  assert.deepEqual(
    spans.filter(({ trained }) => trained).map(({ text }) => text),
    ['Nobody knows.<|end|>', 'Long ago.<|end|>'],
  )
  assert.ok(spans.some(({ text, trained }) => !trained && text.includes('Be brief.')))
})

test('what is cut is shown apart', () => {
  const { spans, cutTokens } = previewRecord(long, tokenizer, 32)
  const [kept, cut] = spans.filter(({ trained }) => trained)
  assert.deepEqual([kept!.cut, cut!.cut, cut!.tokens], [false, true, cutTokens])
  assert.match(kept!.text + cut!.text, /^(word )+/)
})

test('a control token in a contributed text is shown as the words it is trained as', () => {
  const { spans, ids } = previewRecord(smuggled, tokenizer, 512)
  const trained = spans.find((span) => span.trained)!
  assert.equal(trained.text, 'Ü <|end|> "C"<|end|>')
  const [end] = tokenizer.encodeRendered('<|end|>')
  assert.equal(ids.filter((id) => id === end).length, 1 + 1) // after the question, after the answer
})
