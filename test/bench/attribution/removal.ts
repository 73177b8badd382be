/**
 * Removing what a method calls most important: for queries in batches of eight, the records with the highest scores for the
 * batch are left out, and the loss of these queries after retraining is compared with that after training on everything.
 */
import type { Figure } from '../report.ts'
import { compare, plot, type Line } from './comparison.ts'
import { METHOD, seedsOf, without, type Subset } from './retraining.ts'
import { datasetTruth, scoredDataset, type Bench, type Method } from './scored.ts'
import type { Scores, Truth } from './statistics.ts'

/** The set at which the design of ours was not looked at while it was made. */
const DATASET = 'tatqa'
const BATCH = 8
const SHARES = [0.05, 0.1] as const
const SEEDS = 1
const COMPARED = ['DataInf', 'GradDot', 'BM25', 'random']

/** What is left without the share of records that score highest for the queries of a batch, summed. */
export function withoutStrongest(
  scores: Scores,
  queries: readonly number[],
  share: number,
): Subset {
  const strongest = scores
    .map((row, i) => ({ i, score: queries.reduce((n, q) => n + (row[q] ?? 0), 0) }))
    .toSorted((a, b) => b.score - a.score)
    .slice(0, Math.round(share * scores.length))
  return without(scores.length, new Set(strongest.map(({ i }) => i)))
}

/** The mean rise of a query's loss, in millinats, when each method's strongest records are removed. */
export async function measureRemoval(bench: Bench): Promise<Figure[]> {
  const { task, methods } = await scoredDataset(bench, DATASET)
  const compared = methods.filter(
    ({ group, label }) => group === 'ours' || COMPARED.includes(label),
  )
  const all = without(task.train.length, new Set())
  const removals = batchesOf(task.queries.length).flatMap((queries) =>
    SHARES.flatMap((share) =>
      compared.map((method): Removal => {
        const subset = withoutStrongest(method.scores, queries, share)
        return { queries, share, method, subset }
      }),
    ),
  )
  // Batch by batch, so that what is there after an interruption is complete batches.
  const subsets = distinct([all, ...removals.map(({ subset }) => subset)])
  const plan = { subsets, seeds: seedsOf(SEEDS), method: METHOD }
  const truth = await datasetTruth(bench, DATASET, { task, plan })
  const known = new Set(truth.subsets.map(({ name }) => name))
  const missing = removals.filter(({ subset }) => !known.has(subset.name))
  const unmeasured = new Set(missing.map(({ queries }) => queries))
  const measured = removals.filter(({ queries }) => !unmeasured.has(queries))
  const figures: Figure[] = []
  for (const share of SHARES) {
    const lines = compared.map((method): Line => {
      const own = measured.filter((it) => it.share === share && it.method === method)
      const perItem = own.flatMap((removal) => risesOf(truth, all, removal))
      return { label: method.label, group: method.group, perItem }
    })
    const queries = lines[0]?.perItem.length ?? 0
    const what = `${DATASET}: rise of ${queries} losses without the strongest ${100 * share} %`
    await plot(`removal-${100 * share}-${DATASET}`, `${what}, in mnat`, lines)
    figures.push(...compare(what, 'mnat', lines))
  }
  return figures
}

type Removal = { queries: readonly number[]; share: number; method: Method; subset: Subset }

const batchesOf = (queries: number): number[][] =>
  Array.from({ length: Math.floor(queries / BATCH) }, (_, b) =>
    Array.from({ length: BATCH }, (_item, i) => b * BATCH + i),
  )

const distinct = (subsets: readonly Subset[]): Subset[] => [
  ...new Map(subsets.map((subset) => [subset.name, subset])).values(),
]

/** Of the removal's queries, in millinats. Throws when the retraining or that on everything is not known. */
export function risesOf(
  { subsets, losses }: Pick<Truth, 'subsets' | 'losses'>,
  all: Subset,
  { subset, queries }: Pick<Removal, 'subset' | 'queries'>,
): number[] {
  const [before, after] = [all, subset].map(({ name }) => {
    const row = losses[subsets.findIndex((it) => it.name === name)]
    if (!row) throw new Error(`${name} is not on record: use --retrain`)
    return row
  })
  return queries.map((q) => 1000 * ((after?.[q] ?? 0) - (before?.[q] ?? 0)))
}
