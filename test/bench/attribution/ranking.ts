/** How well scores put what is wanted first. */

/**
 * For every positive item, the share of negative ones that score below it, ties counted half. Its mean is the area under
 * the ROC curve (the Mann-Whitney statistic over the number of pairs).
 */
export function shareBelow(scores: readonly number[], isPositive: readonly boolean[]): number[] {
  const negatives = scores.filter((_, i) => !isPositive[i])
  return scores
    .filter((_, i) => isPositive[i])
    .map((own) => {
      const points = negatives.map((other) => (other < own ? 1 : other === own ? 0.5 : 0))
      return points.reduce<number>((a, b) => a + b, 0) / negatives.length
    })
}

/** The place of an item by falling score, from 1; behind all that have the same score. NaN scores nothing. */
export function rankOf(item: number, scores: ArrayLike<number>): number {
  const own = scores[item] ?? Number.NaN
  let rank = 1
  for (let i = 0; i < scores.length; i++) if (i !== item && !((scores[i] ?? 0) < own)) rank++
  return rank
}

/** The rank of what stands at an index of a list; null for -1, where it does not. */
export const placeOf = (index: number): number | null => (index < 0 ? null : index + 1)

/** 1 / rank, 0 for what was not found: its mean over queries is the MRR. */
export const reciprocalRank = (rank: number | null): number => (rank === null ? 0 : 1 / rank)

/** 1 when the wanted item is among the first `most`: its mean over queries is the recall. */
export const isWithin = (rank: number | null, most: number): number =>
  rank !== null && rank <= most ? 1 : 0
