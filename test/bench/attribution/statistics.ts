/** Rank correlation, its bootstrap, the linear datamodeling score, and random orders. */
import { randomSource } from '#engine/random.ts'
import type { Run, Subset } from './retraining.ts'

/** A copy in random order: one number is drawn for each item, in turn. */
export const inRandomOrder = <T>(items: readonly T[], random: () => number): T[] =>
  items
    .map((item) => ({ item, key: random() }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ item }) => item)

/** Mean ranks, ties shared. */
export function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).toSorted((a, b) => (values[a] ?? 0) - (values[b] ?? 0))
  const result = new Array<number>(values.length)
  for (let start = 0; start < order.length;) {
    let end = start
    while (end < order.length && values[order[end] as number] === values[order[start] as number])
      end++
    for (let i = start; i < end; i++) result[order[i] as number] = (start + end - 1) / 2
    start = end
  }
  return result
}

/** Pearson's r; 0 where one side is constant. */
export function correlation(a: readonly number[], b: readonly number[]): number {
  const [ma, mb] = [mean(a), mean(b)]
  let [ab, aa, bb] = [0, 0, 0]
  a.forEach((x, i) => {
    const [da, db] = [x - ma, (b[i] ?? 0) - mb]
    ab += da * db
    aa += da * da
    bb += db * db
  })
  return aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb)
}

/** Spearman's rho. */
export const spearman = (a: readonly number[], b: readonly number[]): number =>
  correlation(ranks(a), ranks(b))

export const mean = (values: readonly number[]): number =>
  values.reduce((a, b) => a + b, 0) / values.length

export type Interval = { mean: number; low: number; high: number }

const RESAMPLES = 2_000

/** The mean with its 95 % percentile bootstrap interval over the items. */
export function bootstrap(values: readonly number[]): Interval {
  const random = randomSource(7)
  const means = Array.from({ length: RESAMPLES }, () => {
    let sum = 0
    for (const _ of values) sum += values[Math.floor(random() * values.length)] ?? 0
    return sum / values.length
  }).toSorted((a, b) => a - b)
  const at = (share: number) => means[Math.floor(share * RESAMPLES)] ?? Number.NaN
  return { mean: mean(values), low: at(0.025), high: at(0.975) }
}

/** Scores of every record (outer) for every query (inner). */
export type Scores = readonly ArrayLike<number>[]

/** The retrainings as subsets with each query's loss averaged over seeds, and the losses per seed by the subset's name. */
export type Truth = {
  subsets: Subset[]
  losses: number[][]
  seeds: Map<number, Map<string, number[]>>
}

/** Groups runs by those of the subsets that have any. */
export function truthOf(runs: readonly Run[], of: readonly Subset[]): Truth {
  const bySubset = Map.groupBy(runs, ({ subset }) => subset)
  const subsets = of.filter(({ name }) => bySubset.has(name))
  const seeds = new Map(
    [...Map.groupBy(runs, ({ seed }) => seed)].map(([seed, own]) => [
      seed,
      new Map(own.map(({ subset, losses }) => [subset, losses])),
    ]),
  )
  const losses = subsets.map(({ name }) => {
    const own = bySubset.get(name) ?? []
    return (own[0]?.losses ?? []).map((_, q) => mean(own.map((run) => run.losses[q] ?? 0)))
  })
  return { subsets, losses, seeds }
}

/**
 * Linear datamodeling score (Park et al. 2023): per query, Spearman's rho over the subsets between the sum of the scores
 * of a subset's records and minus the loss after training on them.
 */
export function lds(scores: Scores, { subsets, losses }: Truth): number[] {
  return (losses[0] ?? []).map((_, q) => {
    const predicted = subsets.map(({ records }) => sumOf(scores, records, q))
    const actual = losses.map((row) => -(row[q] ?? 0))
    return spearman(predicted, actual)
  })
}

/** The sum of some records' scores for query `q`. */
export const sumOf = (scores: Scores, records: readonly number[], q: number): number =>
  records.reduce((n, i) => n + (scores[i]?.[q] ?? 0), 0)

/** Records of a query whose own effect is looked at. */
export const STRONGEST = 8

/**
 * The sign test by retraining: for each query and each of its STRONGEST records by score, the mean loss of the halves
 * without the record less that of the halves with it. `effect` is the mean of it in nats, `sign` the share above zero; both
 * 0 and 1/2 by chance. Queries without a positive score count by chance.
 */
export function strongestEffects(
  scores: Scores,
  { subsets, losses }: Truth,
): { effect: number; sign: number }[] {
  const halves = subsets.map(({ records }) => new Set(records))
  return (losses[0] ?? []).map((_, q) => {
    const strongest = scores
      .map((row, i) => ({ i, score: row[q] ?? 0 }))
      .filter(({ score }) => score > 0)
      .toSorted((a, b) => b.score - a.score)
      .slice(0, STRONGEST)
    if (strongest.length === 0) return { effect: 0, sign: 0.5 }
    const effects = strongest.map(({ i }) => {
      const of = (isIn: boolean) =>
        mean(losses.filter((_row, s) => halves[s]?.has(i) === isIn).map((row) => row[q] ?? 0))
      return of(false) - of(true)
    })
    return { effect: mean(effects), sign: mean(effects.map((effect) => (effect > 0 ? 1 : 0))) }
  })
}

/**
 * What the noise of retraining leaves to be predicted: Spearman's rho of the losses under one seed with those under another,
 * over the subsets that both have, corrected to the mean of as many seeds (Spearman-Brown). Null for one seed.
 */
export function noiseCeiling({ seeds }: Truth): number | null {
  const [first, second] = [...seeds.values()]
  if (!first || !second) return null
  const shared = [...first.keys()].filter((subset) => second.has(subset))
  if (shared.length < 4) return null
  const queries = [...first.values()][0]?.length ?? 0
  const agreements = Array.from({ length: queries }, (_, q) =>
    spearman(
      shared.map((subset) => first.get(subset)?.[q] ?? 0),
      shared.map((subset) => second.get(subset)?.[q] ?? 0),
    ),
  )
  const r = mean(agreements)
  return (2 * r) / (1 + r)
}
