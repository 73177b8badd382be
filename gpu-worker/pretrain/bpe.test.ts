import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { BYTE_SYMBOLS, countWords, trainBpe } from './bpe.ts'

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/bpe.json', import.meta.url), 'utf8'),
)

test('the byte alphabet has 256 distinct printable symbols, and letters stand for themselves', () => {
  assert.equal(new Set(BYTE_SYMBOLS).size, 256)
  assert.equal(BYTE_SYMBOLS[0x41], 'A')
  assert.equal(BYTE_SYMBOLS[0x20], 'Ġ')
  assert.equal(BYTE_SYMBOLS[0x0a], 'Ċ')
})

test('words split as in GPT-2: a leading space belongs to the word, contractions and numbers stand alone', () => {
  const words = [...countWords(["we'll pay 42 dollars,  now"]).keys()]
  assert.deepEqual(words, ['we', "'ll", 'Ġpay', 'Ġ42', 'Ġdollars', ',', 'Ġ', 'Ġnow'])
})

test("merges of Sennrich's example are the ones counted by hand", () => {
  // low x5, lower x2, newest x6, widest x3. Pairs: "es" 9, "st" 9, "we" 8, ...; of the tie, "es" has the smaller ids.
  const counts = new Map([
    ['low', 5],
    ['lower', 2],
    ['newest', 6],
    ['widest', 3],
  ])
  const { tokens, merges } = trainBpe(counts, ['<|pad|>'], 1 + 256 + 4)
  assert.deepEqual(merges, [
    ['e', 's'],
    ['es', 't'],
    ['l', 'o'],
    ['lo', 'w'],
  ])
  assert.deepEqual(tokens.slice(-4), ['es', 'est', 'lo', 'low'])
})

test('a vocabulary stops growing when nothing is left to merge', () => {
  const { merges } = trainBpe(new Map([['aaa', 2]]), [], 4096)
  assert.deepEqual(merges, [
    ['a', 'a'],
    ['aa', 'a'],
  ])
})

test('merges equal those of the trainer of Hugging Face tokenizers on the same text', () => {
  const { text, specials, vocabularySize, merges } = golden.training
  assert.deepEqual(trainBpe(countWords(text), specials, vocabularySize).merges, merges)
})
