import assert from 'node:assert/strict'
import test from 'node:test'
import { randomSource } from '#engine/random.ts'
import { buildBm25, termsOf } from './bm25.ts'

test('scores are those of the formula, on 500 random collections', () => {
  const random = randomSource(1)
  const below = (n: number) => Math.floor(random() * n)
  const words = 'alder birch cedar elm fir'.split(' ')
  const text = (most: number) =>
    Array.from({ length: below(most) }, () => words[below(words.length)]).join(' ')
  for (let c = 0; c < 500; c++) {
    const documents = Array.from({ length: 1 + below(6) }, () => text(12))
    const query = text(5)
    const lengths = documents.map((one) => termsOf(one).length)
    const mean = lengths.reduce((a, b) => a + b, 0) / documents.length
    const score = (document: string) =>
      [...new Set(termsOf(query))].reduce((sum, term) => {
        const count = (of: string) => termsOf(of).filter((word) => word === term).length
        const holders = documents.filter((one) => count(one) > 0).length
        const idf = Math.log(1 + (documents.length - holders + 0.5) / (holders + 0.5))
        const f = count(document)
        return (
          sum + (idf * f) / (f + 1.2 * (1 - 0.75 + (0.75 * termsOf(document).length) / mean) || 1)
        )
      }, 0)
    const expected = documents
      .map((one, document) => ({ document, score: score(one) }))
      .filter((one) => one.score > 0)
      .toSorted((a, b) => b.score - a.score || a.document - b.document)
    const ranked = buildBm25(documents).rank(query, 99)
    assert.equal(ranked.length, expected.length)
    // Sums in another order may differ in the last bit, which may swap what is equal.
    const scoreOf = new Map(expected.map((one) => [one.document, one.score]))
    ranked.forEach((one, i) => {
      assert.ok(Math.abs(one.score - scoreOf.get(one.document)!) < 1e-12)
      assert.ok(Math.abs(one.score - expected[i]!.score) < 1e-12)
    })
  }
})

test('words are found whatever their case, form and punctuation, and nothing finds nothing', () => {
  const index = buildBm25(['The ﬁrst LICENCE, granted.', 'Über-Lizenz 2.0', ''])
  const first = (query: string) => index.rank(query, 1)[0]?.document
  assert.equal(first('first?'), 0)
  assert.equal(first('über'), 1)
  assert.equal(first('nothing'), undefined)
  assert.deepEqual(buildBm25([]).rank('any', 5), [])
})
