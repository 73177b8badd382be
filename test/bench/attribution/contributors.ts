/**
 * Leaving out one contributor: does what the scores of a contributor's records sum up to tell how much the loss of an
 * answer rises when everything of theirs is left out? CUAD's tasks are the contributors.
 */
import type { Example } from '#gpu-worker/training/examples.ts'
import type { Figure } from '../report.ts'
import { compare, plot, type Line } from './comparison.ts'
import { ceilingFigures } from './lds.ts'
import { rankOf, reciprocalRank } from './ranking.ts'
import { METHOD, seedsOf, without, type Subset } from './retraining.ts'
import { datasetTruth, scoredDataset, type Bench } from './scored.ts'
import { lds, noiseCeiling, sumOf, type Scores, type Truth } from './statistics.ts'

const DATASET = 'cuad'
const SEEDS = 3

/** For every contributor, everything but theirs. */
export function leaveOneOut(train: readonly Example[]): Subset[] {
  const places = train.map(({ row }, place) => ({ contributor: row.contributor, place }))
  const grouped = Map.groupBy(places, ({ contributor }) => contributor)
  return [...grouped.values()].map((own) =>
    without(train.length, new Set(own.map(({ place }) => place))),
  )
}

/** Rank correlation over the contributors, and where scores put the contributor who is missed most. */
export async function measureContributors(bench: Bench): Promise<Figure[]> {
  const { task, methods } = await scoredDataset(bench, DATASET)
  const plan = { subsets: leaveOneOut(task.train), seeds: seedsOf(SEEDS), method: METHOD }
  const truth = await datasetTruth(bench, DATASET, { task, plan })
  const ceiling = noiseCeiling(truth)
  const lines = (of: (scores: Scores) => number[]): Line[] =>
    methods.map(({ label, group, scores }) => ({ label, group, perItem: of(scores) }))
  // The sum of those who stay falls as that of the one who leaves rises, and so do the losses: this is an LDS.
  const agreement = lines((scores) => lds(scores, truth))
  const what = `${DATASET}: leaving out one of ${truth.subsets.length} contributors`
  await plot(
    `contributors-${DATASET}`,
    `${what}, ${task.queries.length} queries`,
    agreement,
    ceiling,
  )
  return [
    ...compare(`${what}, rank correlation`, 'rho', agreement),
    ...ceilingFigures(`${what}, rank correlation`, agreement, ceiling),
    ...compare(
      `${what}, reciprocal rank of the one missed most`,
      '',
      lines((scores) => mostMissed(scores, truth)),
    ),
  ]
}

/** Per query, the reciprocal rank by predicted share of the contributor without whom the loss is highest. */
export function mostMissed(scores: Scores, { subsets, losses }: Truth): number[] {
  return (losses[0] ?? []).map((_, q) => {
    const actual = losses.map((row) => row[q] ?? 0)
    const predicted = subsets.map(({ records }) => -sumOf(scores, records, q))
    return reciprocalRank(rankOf(actual.indexOf(Math.max(...actual)), predicted))
  })
}
