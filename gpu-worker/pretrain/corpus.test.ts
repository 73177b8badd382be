import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { buildCorpus, documentText, duplicateKey, loadCorpus } from './corpus.ts'
import { DOMAINS, type Document, FILES } from './sources.ts'

const dataDir = process.env.OPENLEDGER_PRETRAIN_DATA
const missing =
  dataDir !== undefined && existsSync(join(dataDir, FILES.ghr))
    ? false
    : 'set OPENLEDGER_PRETRAIN_DATA to the folder of the corpora'

function clause(id: string, content: string, group = id): Document {
  return { id, domain: 'legal', group, content }
}

test('documents that differ only in case, punctuation, spacing or chat markup are duplicates; the first is kept', () => {
  const chat: Document = {
    ...clause('c', ''),
    content: [
      { role: 'user', content: 'The Fee' },
      { role: 'assistant', content: 'is due.' },
    ],
  }
  const { train, heldOut } = buildCorpus(
    [clause('a', 'The fee is due.'), clause('b', 'THE  FEE\nis due'), chat],
    1,
  )
  assert.deepEqual(
    [...train, ...heldOut].map((document) => document.id),
    ['a'],
  )
})

test('groups stay together, about one in fifty is held out, and the seed chooses which', () => {
  const documents = Array.from({ length: 20_000 }, (_, i) =>
    clause(`d${i}`, `clause ${i}`, `page${i >> 1}`),
  )
  const corpus = buildCorpus(documents, 1)
  assert.deepEqual(buildCorpus(documents, 1), corpus)
  assert.notDeepEqual(buildCorpus(documents, 2).heldOut, corpus.heldOut)
  const groups = new Set(corpus.train.map((document) => document.group))
  assert.ok(corpus.heldOut.every((document) => !groups.has(document.group)))
  // 10,000 groups at 2 %: mean 200, standard deviation 14; five deviations on either side.
  assert.ok(corpus.heldOut.length > 2 * 130 && corpus.heldOut.length < 2 * 270)
})

test('the real corpus is the same at every reading', { skip: missing }, () => {
  assert.deepEqual(loadCorpus(dataDir ?? '', 3), loadCorpus(dataDir ?? '', 3))
})

test(
  'no held-out document, page or text of the real corpus occurs in training',
  { skip: missing },
  () => {
    const { train, heldOut } = loadCorpus(dataDir ?? '', 1)
    const groups = new Set(train.map((document) => document.group))
    const keys = new Set(train.map(duplicateKey))
    for (const document of heldOut) {
      assert.ok(!groups.has(document.group), document.id)
      assert.ok(!keys.has(duplicateKey(document)), document.id)
    }
    for (const domain of DOMAINS) {
      assert.ok(heldOut.some((document) => document.domain === domain))
      assert.ok(
        train.some((document) => document.domain === domain && Array.isArray(document.content)),
      )
    }
  },
)

test(
  "the publishers' notices, link lists and double question marks do not reach the real corpus",
  { skip: missing },
  () => {
    for (const document of loadCorpus(dataDir ?? '', 1).train) {
      const text = documentText(document)
      assert.doesNotMatch(text, /Human Phenotype Ontology \(HPO\) has collected/, document.id)
      assert.doesNotMatch(text, /These resources address the diagnosis/, document.id)
      assert.doesNotMatch(text, /is \(are\)/, document.id)
      assert.doesNotMatch(text, /<omitted>/, document.id)
    }
  },
)
