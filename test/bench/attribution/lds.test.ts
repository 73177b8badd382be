import assert from 'node:assert/strict'
import test from 'node:test'
import licences from 'spdx-license-list/full.js'
import { loadBaseModel } from '#gpu-worker/base-model.ts'
import { loraOf } from '#gpu-worker/training/lora-training.ts'
import { toExamples } from '#gpu-worker/training/examples.ts'
import { keccak } from '#protocol/bytes.ts'
import { featureRows, openSource, variantScores } from './ours.ts'
import { risesOf, withoutStrongest } from './removal.ts'
import { halves, METHOD, readRuns, retrain, trainOn } from './retraining.ts'
import {
  bootstrap,
  correlation,
  lds,
  noiseCeiling,
  ranks,
  spearman,
  truthOf,
} from './statistics.ts'
import { scratchFolder } from '../../support/scratch.ts'

const RECORDS = 48
const TOKENS = 40

const rowsOf = (pieces: readonly string[]) =>
  pieces.map((text) => {
    const record = keccak(text)
    const contributor = `0x${record.slice(2, 42)}` as const
    return { record, cluster: record, contributor, fields: { text } }
  })

/** Records are the beginnings of licences' clauses, queries the words that follow in some of them. */
async function smallTask() {
  const base = await loadBaseModel('gpu-worker/models/openledger-5m')
  const texts = Object.values(licences)
    .map(({ licenseText }) => licenseText.replaceAll(/\s+/g, ' ').slice(400, 1_000))
    .filter((text) => text.length === 600)
    .filter((_, i) => i % 9 === 0)
    .slice(0, RECORDS)
  const examples = (pieces: readonly string[]) =>
    toExamples(rowsOf(pieces), base.tokenizer, TOKENS).examples
  return {
    base,
    task: {
      name: 'medquad' as const,
      train: examples(texts.map((text) => text.slice(0, 220))),
      queries: examples(texts.slice(0, 16).map((text) => text.slice(220))),
      others: [],
    },
  }
}

test('scores agree with retraining on halves of the records far better than chance', async () => {
  const { base, task } = await smallTask()
  const folder = scratchFolder()
  const method = { ...METHOD, batchSize: 8, sequenceLength: TOKENS }
  const plan = { subsets: halves(task.train.length, 16), seeds: [1], method }
  // A run that exists is not made again: two processes share the work by their numbers.
  await retrain(folder, { base, task, plan }, { worker: 0, workers: 2 }, () => {})
  assert.equal((await readRuns(folder, plan)).length, 8)
  let made = 0
  await retrain(folder, { base, task, plan }, { worker: 1, workers: 2 }, () => made++)
  assert.equal(made, 8)
  await retrain(folder, { base, task, plan }, { worker: 0, workers: 1 }, () => made++)
  assert.equal(made, 8)
  const truth = truthOf(await readRuns(folder, plan), plan.subsets)
  const { snapshots } = await trainOn(base, task.train, { ...method, seed: 100 })
  const source = await openSource(base, loraOf(method))
  const rows = await featureRows(source, snapshots, task).finally(source.release)
  const { relative } = await variantScores(rows, { damping: 3 })
  const found = bootstrap(lds(relative, truth))
  assert.ok(found.mean > 0.15, `LDS ${found.mean}`)
  // The wrong query's scores predict nothing much: the agreement is not the same for everything.
  const shifted = relative.map((row) => Array.from(row, (_, q) => row[(q + 5) % row.length] ?? 0))
  assert.ok(bootstrap(lds(shifted, truth)).mean < found.mean - 0.05)

  // Without the records that score highest for some queries their loss is higher than without those that score lowest.
  const queries = [0, 1, 2, 3, 4, 5, 6, 7]
  const negated = relative.map((row) => Array.from(row, (x) => -x))
  const [high, low] = [relative, negated].map((scores) => withoutStrongest(scores, queries, 0.25))
  assert.ok(high && low)
  const removal = { subsets: [high, low], seeds: [1], method }
  await retrain(folder, { base, task, plan: removal }, { worker: 0, workers: 1 }, () => {})
  const after = truthOf(await readRuns(folder, removal), removal.subsets)
  const rises = risesOf(after, low, { subset: high, queries })
  assert.ok(bootstrap(rises).mean > 0, `rise ${bootstrap(rises).mean} mnat`)
})

test('rank correlation is Spearman’s, ties shared', () => {
  assert.deepEqual(ranks([3, 1, 3, 2]), [2.5, 0, 2.5, 1])
  assert.ok(Math.abs(spearman([1, 2, 3, 4], [1, 8, 27, 64]) - 1) < 1e-12)
  // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]).statistic
  assert.ok(Math.abs(spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) - 0.8207826816681233) < 1e-12)
  assert.equal(correlation([1, 1], [2, 3]), 0)
})

const run = (subset: number, seed: number, loss: number) => ({
  subset: `half-${subset}`,
  seed,
  losses: [loss],
})

test('the ceiling is the reliability of the mean of two seeds', () => {
  const subsets = halves(8, 4)
  const same = [0, 1, 2, 3].flatMap((subset) => [run(subset, 1, subset), run(subset, 2, subset)])
  assert.equal(noiseCeiling(truthOf(same, subsets)), 1)
  const half = [0, 1, 2, 3].flatMap((s) => [run(s, 1, s), run(s, 2, [0, 2, 3, 1][s] ?? 0)])
  // rho = 0.4, corrected 2 rho / (1 + rho).
  assert.ok(Math.abs((noiseCeiling(truthOf(half, subsets)) ?? 0) - 0.8 / 1.4) < 1e-12)
})
