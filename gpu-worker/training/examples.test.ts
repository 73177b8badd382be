import assert from 'node:assert/strict'
import test from 'node:test'
import type { RecordFields } from '#protocol/wire.ts'
import { versionRowOf } from '../testing/datanet.ts'
import { EMBEDDED_MODEL } from '../testing/tiny-model.ts'
import { loadTokenizer } from '../tokenizer.ts'
import { planBatches, toBatch } from './batches.ts'
import { holdOut, toExamples, trainedSegments } from './examples.ts'

const tokenizer = await loadTokenizer(EMBEDDED_MODEL)
const row = (fields: RecordFields) => ({
  ...versionRowOf({ fields, contributor: '0x0000000000000000000000000000000000000001' }),
  fields,
})
const many = Array.from({ length: 100 }, (_, n) =>
  row({ text: `Clause ${n} says ${'more '.repeat(n % 13)}.` }),
)

test('only the completion of a prompt is trained, up to and with the end token', () => {
  const { examples } = toExamples([row({ prompt: 'Who?', completion: 'Me.' })], tokenizer, 64)
  const { tokens, targets } = examples[0]!
  const trained = tokens.filter((_, i) => targets[i] === 1)
  assert.deepEqual(trained, tokenizer.encodeRendered('Me.<|end|>'))
  assert.deepEqual(trainedSegments(examples[0]!, tokenizer), [tokenizer.encodeRendered('Me.')])
})

test('a plain text trains all of its words', () => {
  const { examples } = toExamples([row({ text: 'All of it.' })], tokenizer, 64)
  assert.deepEqual(trainedSegments(examples[0]!, tokenizer), [
    tokenizer.encodeRendered('All of it.'),
  ])
})

test('records are cut at the sequence length, and dropped when no target is left', () => {
  const long = row({ text: 'word '.repeat(100) })
  const late = row({ prompt: 'word '.repeat(100), completion: 'Never seen.' })
  const short = row({ text: 'fits' })
  const result = toExamples([long, late, short], tokenizer, 32)
  assert.equal(result.examples.length, 2)
  assert.equal(result.examples[0]!.tokens.length, 32)
  assert.deepEqual([result.truncated, result.empty], [2, 1])
})

test('what is held out depends on the cluster and the seed only', () => {
  const { examples } = toExamples(many, tokenizer, 64)
  const held = (list: typeof examples, seed: number) =>
    holdOut(list, 0.1, seed)
      .validation.map(({ row }) => row.cluster)
      .toSorted()
  assert.equal(held(examples, 1).length, 10)
  assert.deepEqual(held(examples.toReversed(), 1), held(examples, 1))
  assert.notDeepEqual(held(examples, 2), held(examples, 1))
  const { train, validation } = holdOut(examples, 0.1, 1)
  assert.equal(train.length + validation.length, examples.length)
  assert.equal(holdOut(examples, 0, 1).validation.length, 0)
  assert.equal(holdOut(examples.slice(0, 2), 0.01, 1).validation.length, 1)
})

test('every epoch shows every example once, in another order, in batches of like length', () => {
  const { examples } = toExamples(many, tokenizer, 64)
  const plan = planBatches(examples, {
    epochs: 2,
    batchSize: 8,
    gradientAccumulation: 1,
    seed: 7,
  })
  assert.deepEqual([plan.stepsPerEpoch, plan.totalSteps], [13, 26])
  const epoch = (first: number) =>
    Array.from({ length: 13 }, (_, i) => plan.batchesOf(first + i).flat()).flat()
  for (const first of [0, 13]) assert.equal(new Set(epoch(first)).size, examples.length)
  assert.notDeepEqual(epoch(0), epoch(13))

  const again = planBatches(examples, {
    epochs: 2,
    batchSize: 8,
    gradientAccumulation: 1,
    seed: 7,
  })
  assert.deepEqual(again.batchesOf(17).flat(), plan.batchesOf(17).flat())
  const spread = (list: typeof examples) => {
    const lengths = list.map(({ tokens }) => tokens.length)
    return Math.max(...lengths) - Math.min(...lengths)
  }
  const mean =
    epoch(0).length && Array.from({ length: 13 }, (_, i) => spread(plan.batchesOf(i).flat()))
  assert.ok((mean || []).reduce((a, b) => a + b) / 13 < spread(examples) / 3)
})

test('a batch has one target per trained token', () => {
  const { examples } = toExamples(many.slice(0, 5), tokenizer, 64)
  const trained = examples.reduce((n, { targets }) => n + targets.reduce((a, b) => a + b), 0)
  assert.equal(toBatch(examples).targetCount, trained)
})
