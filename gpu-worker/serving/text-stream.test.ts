import assert from 'node:assert/strict'
import test from 'node:test'
import { EMBEDDED_MODEL } from '../testing/tiny-model.ts'
import { loadTokenizer } from '../tokenizer.ts'
import { textStream } from './text-stream.ts'

const tokenizer = await loadTokenizer(EMBEDDED_MODEL)

/** All pieces that a stream shows for a text, token by token, then the rest. */
function shown(text: string, stops: string[] = []) {
  const stream = textStream(tokenizer.decode, stops)
  const pieces: string[] = []
  for (const token of tokenizer.encodeRendered(text)) {
    pieces.push(stream.push(token))
    if (stream.stopped) break
  }
  pieces.push(stream.finish())
  return { pieces, stream, text: pieces.join('') }
}

test('characters of several tokens are shown whole, and all text arrives', () => {
  const words = 'Naïve café, 漢字 and 👩‍👩‍👧 emoji — “quoted”.'
  const { pieces, text } = shown(words)
  assert.equal(text, words)
  assert.ok(tokenizer.encodeRendered('漢字').length > 2, 'the tokenizer splits these characters')
  for (const piece of pieces) assert.ok(!piece.includes('\u{FFFD}') && piece.isWellFormed())
})

test('an answer cut within a character ends in the replacement character, once', () => {
  const tokens = tokenizer.encodeRendered('ok 漢').slice(0, -1)
  const stream = textStream(tokenizer.decode)
  const pieces = [...tokens.map(stream.push), stream.finish()]
  assert.equal(pieces.slice(0, -1).join(''), 'ok ')
  assert.match(pieces.at(-1)!, /^\u{FFFD}+$/u)
})

test('every token ends where its text ends', () => {
  const tokens = tokenizer.encodeRendered('The 漢字 law applies.')
  const stream = textStream(tokenizer.decode)
  tokens.forEach(stream.push)
  const ends = stream.ends
  assert.equal(ends.length, tokens.length)
  assert.equal(ends.at(-1), 'The 漢字 law applies.'.length)
  tokens.forEach((_, i) => {
    const whole = tokenizer.decode(tokens.slice(0, i + 1)).replace(/\u{FFFD}+$/u, '')
    assert.equal(ends[i], whole.length)
  })
})

test('a stop string ends the text before it, and no part of it is ever shown', () => {
  const { text, stream } = shown('One two STOP three', ['STOP'])
  assert.equal(text, 'One two ')
  assert.ok(stream.stopped)
  assert.ok(stream.ends.every((end) => end <= text.length))
})

test('the earliest of several stop strings counts, across token borders', () => {
  assert.equal(shown('alpha beta gamma', ['gamma', 'ta ga']).text, 'alpha be')
})

test('what only looks like a stop string is shown in the end', () => {
  const { pieces, text } = shown('a <| b <', ['<|end|>'])
  assert.equal(text, 'a <| b <')
  assert.equal(pieces.at(-1), '<')
})
