/**
 * What to multiply rows of these norms by before second moments are taken of them: the longer half counts as if it were as
 * long as the median. A record written to have a loud gradient would otherwise decide what all are compared by.
 */
export function clipFactors(norms: readonly number[]): number[] {
  const rising = norms.filter((norm) => norm > 0).toSorted((a, b) => a - b)
  const median = rising[Math.floor(rising.length / 2)] ?? 0
  return norms.map((norm) => (norm > median ? median / norm : 1))
}
