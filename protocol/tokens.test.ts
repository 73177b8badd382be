import assert from 'node:assert/strict'
import test from 'node:test'
import { ZERO_HASH } from './bytes.ts'
import { hashTwice, verifyOrdered } from './merkle.ts'
import { joinSegments, openToken, SEGMENT_END, TOKENS_PER_LEAF, tokensRoot } from './tokens.ts'

const tokens = Array.from({ length: 2 * TOKENS_PER_LEAF + 5 }, (_, i) => (i * 2_654_435_761) >>> 0)

test('every token of a sequence can be opened, and says what it is', () => {
  const count = Math.ceil(tokens.length / TOKENS_PER_LEAF)
  for (const [position, token] of tokens.entries()) {
    const { leaf, proof } = openToken(tokens, position)
    const index = Math.floor(position / TOKENS_PER_LEAF)
    assert.ok(verifyOrdered(tokensRoot(tokens), hashTwice(leaf), { index, count, proof }))
    const at = 4 * (position % TOKENS_PER_LEAF)
    assert.equal(new DataView(leaf.buffer).getUint32(at), token)
  }
  assert.throws(() => openToken(tokens, tokens.length + TOKENS_PER_LEAF), /leaf 3 of 3/)
})

test('no tokens have the zero root; another order or length has another root', () => {
  assert.equal(tokensRoot([]), ZERO_HASH)
  assert.notEqual(tokensRoot([1, 2]), tokensRoot([2, 1]))
  assert.notEqual(tokensRoot([1]), tokensRoot([1, 0]))
})

test('segments are divided by what no vocabulary has', () => {
  assert.deepEqual(joinSegments([[1, 2], [3], [4]]), [1, 2, SEGMENT_END, 3, SEGMENT_END, 4])
  assert.deepEqual(joinSegments([]), [])
})
