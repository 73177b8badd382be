import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { defaultParameters } from '#protocol/parameters.ts'
import { openAdapterStore } from '../serving/adapter-store.ts'
import {
  fixedChain,
  recordHash,
  records,
  registered,
  tinyWorkplace,
  trainTiny,
} from '../testing/trained.ts'
import { openGradients } from './gradients.ts'
import { attributeSentences, sentencesOf } from './sentences.ts'
import { withoutRows } from './span-index.ts'

/** A response in which every word is a token, the space before it included. */
function wordsOf(text: string) {
  const pieces = text.match(/\s*\S+/g) ?? []
  let end = 0
  return {
    text,
    tokens: pieces.map((_, i) => i),
    ends: pieces.map((piece) => (end += piece.length)),
  }
}
const pieces = (text: string) =>
  sentencesOf(wordsOf(text)).map(({ start, end, from, to }) => [text.slice(start, end), to - from])

test('a token belongs to the sentence that it ends in, and together they cover the response', () => {
  assert.deepEqual(pieces('One two. Three four five! Six'), [
    ['One two. ', 2], // the next word's token begins with the space
    ['Three four five! ', 3],
    ['Six', 1],
  ])
  assert.deepEqual(pieces('One'), [['One', 1]])
  assert.deepEqual(pieces(''), [])
  assert.deepEqual(sentencesOf({ text: '', tokens: [1], ends: [0] }), [])
})

test('what follows the sixteenth sentence is told with it', () => {
  const text = Array.from({ length: 40 }, (_, i) => `Word ${i} is here.\n`).join('')
  const found = sentencesOf(wordsOf(text))
  assert.equal(found.length, 16)
  assert.equal(found.at(-1)!.end, text.length)
  assert.equal(found.at(-1)!.to, wordsOf(text).tokens.length)
  found.slice(1).forEach(({ start, from }, i) => {
    assert.deepEqual([start, from], [found[i]!.end, found[i]!.to])
  })
})

test('of an answer that recites two records each sentence names its own first, unless it is revoked', async () => {
  const place = await tinyWorkplace()
  const { base, blobs } = place
  const { manifest, blob } = await trainTiny(place)
  const onChain = registered(place.job, manifest, blob)
  const { chain } = fixedChain(base.digest, manifest.digest, onChain)
  const served = await openAdapterStore({ base, chain, blobs }).index(manifest.digest, onChain)
  const { tokenizer } = base
  const session = { threads: 1 }
  const source = await openGradients({ base, lora: served.lora, session })
  after(source.release)
  const text = [11, 4]
    .map((n) => (records[n]!.fields as { completion: string }).completion)
    .join(' ')
  const tokens = tokenizer.encodeRendered(text)
  const ends = tokens.map((_, i) => tokenizer.decode(tokens.slice(0, i + 1)).length)
  const promptText = 'Tell two rules.'
  const prompt = tokenizer.encodePrompt({ messages: [{ role: 'user', content: promptText }] })
  const response = { prompt, promptText, tokens, text, ends }
  const values = { ...defaultParameters(), 'attribution.significance': 300n }
  const means = { source, tokenizer }

  const sentences = await attributeSentences(response, served, means, values)
  assert.deepEqual(
    sentences.map(({ start, end, rows }) => [text.slice(start, end).trim(), rows[0]?.record]),
    [11, 4].map((n) => [(records[n]!.fields as { completion: string }).completion, recordHash(n)]),
  )
  for (const { rows } of sentences) {
    const sum = rows.reduce((n, { share }) => n + share, 0)
    assert.ok(sum > 1_000_000 - rows.length && sum <= 1_000_000)
  }
  const row = served.index.index.rows.findIndex(({ record }) => record === recordHash(11))
  const live = { ...served, spans: withoutRows(served.spans, new Set([row])) }
  const without = await attributeSentences(response, live, means, values)
  assert.ok(without.every(({ rows }) => rows.every(({ record }) => record !== recordHash(11))))

  const none = await attributeSentences(
    { ...response, tokens: [], text: '', ends: [] },
    served,
    means,
    values,
  )
  assert.deepEqual(none, [])
})
