import type { Hex } from './bytes.ts'
import { PPM, type ParameterValues } from './parameters.ts'

/**
 * From scores to money, in integers only: the same operations in the same order as the contracts, so that
 * anyone can recompute a receipt to the wei. Divisions truncate toward zero, as Solidity's do.
 */

/** Fixed point of a relative score: r = 1 is RELATIVE_ONE. */
export const RELATIVE_ONE = 1n << 20n
const SIGNIFICANCE_UNIT = 1_000n
const WEIGHT_ONE = 1_000_000_000n // weights are parts per billion

/** Null statistics of one index row, in units of RELATIVE_ONE: scores that unrelated queries give it. */
export type RowNull = { mean: bigint; deviation: bigint }

/** One cluster's evidence for one response. */
export type Candidate = {
  cluster: Hex
  record: Hex
  contributor: Hex
  /** Relative influence above the null mean, in units of RELATIVE_ONE; negative for opponents. */
  influence: bigint
  /** Calibrated significance of the influence, in thousandths of a null deviation. */
  significance: bigint
  /** Information of the verbatim spans credited to the cluster, in millinats. */
  text: bigint
}

/** A row of the shortlist: its weight in parts per billion and its wei, zero below a threshold. */
export type WeighedRow = Candidate & { weight: bigint; amount: bigint }
export type FeeSplit = {
  platform: bigint
  model: bigint
  stakers: bigint
  /** Of the records that were retrieved; zero when none were. */
  retrieval: bigint
  contributors: bigint
}
export type Allocation = {
  /** By falling weight, ties by cluster. */
  rows: WeighedRow[]
  /** How many of them, the first ones, passed the thresholds; the others get nothing. */
  paid: number
  /** What no row earned; goes to the base pool of the Datanet versions, in equal parts per cluster. */
  unattributed: bigint
}

/** Dot product of two int8 vectors of equal length; exact for up to 2^17 dimensions. */
export function dotInt8(a: Int8Array, b: Int8Array): number {
  if (a.length !== b.length)
    throw new RangeError(`vectors of ${a.length} and ${b.length} dimensions`)
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}

/**
 * Cosine of two int8 vectors in units of RELATIVE_ONE, from their dot product and squared norms. Their
 * power-of-two scales cancel. Zero when either vector is zero.
 */
export function relativeScore(dot: bigint, selfRow: bigint, selfQuery: bigint): bigint {
  const norm = sqrtFloor(selfRow * selfQuery)
  return norm === 0n ? 0n : (dot * RELATIVE_ONE) / norm
}

/** How many thousandths of a null deviation a relative score lies above the row's null mean. */
export function significance(relative: bigint, nullOf: RowNull): bigint {
  return nullOf.deviation === 0n
    ? 0n
    : ((relative - nullOf.mean) * SIGNIFICANCE_UNIT) / nullOf.deviation
}

/** Splits a fee by the governed shares; what rounding leaves, and retrieval's without citations, is the contributors'. */
export function splitFee(fee: bigint, values: ParameterValues, citations = 0): FeeSplit {
  const platform = (fee * values['split.platform']) / PPM
  const model = (fee * values['split.model']) / PPM
  const stakers = (fee * values['split.stakers']) / PPM
  const retrieval = citations > 0 ? (fee * values['split.retrieval']) / PPM : 0n
  const contributors = fee - platform - model - stakers - retrieval
  return { platform, model, stakers, retrieval, contributors }
}

/** What each of the retrieved records gets: equal parts to the wei, the first ones the odd wei. */
export const citationAmounts = (retrieval: bigint, count: number): bigint[] =>
  largestRemainder(
    retrieval,
    Array.from({ length: count }, () => 1n),
  )

/** Whether a score stands out of what unrelated queries give, as governed. */
export const isSignificant = (
  { influence, significance: deviations }: Pick<Candidate, 'influence' | 'significance'>,
  values: ParameterValues,
): boolean => influence > 0n && deviations >= values['attribution.significance']

/**
 * The rows a receipt lists, of all candidates: the `attribution.topK` significant ones with the most influence, and as
 * many with the most text (ties by cluster). `floor` is the smallest influence that made a full first list, else
 * zero: an unlisted significant row above it was left out wrongly, which one opening shows.
 */
export function shortlist(
  candidates: readonly Candidate[],
  values: ParameterValues,
): { rows: Candidate[]; floor: bigint } {
  const most = Number(values['attribution.topK'])
  const largest = (items: readonly Candidate[], of: (c: Candidate) => bigint) =>
    items
      .toSorted((a, b) => compare(of(b), of(a)) || (a.cluster < b.cluster ? -1 : 1))
      .slice(0, most)
  const byInfluence = largest(
    candidates.filter((c) => isSignificant(c, values)),
    (c) => c.influence,
  )
  const byText = largest(
    candidates.filter((c) => c.text > 0n),
    (c) => c.text,
  )
  return {
    rows: [...new Set([...byInfluence, ...byText])],
    floor: byInfluence.length < most ? 0n : (byInfluence.at(-1)?.influence ?? 0n),
  }
}

/**
 * Splits the contributor pool (wei) over the rows of a shortlist, given in any order.
 *
 * 1. text share kappa = covered / total information, capped; weight = kappa * text + (1 - kappa) * influence,
 *    each normalised over the rows that pass: influence needs `attribution.significance`, text its guards.
 * 2. pay rows by falling weight (ties by cluster hash) while each is worth the larger of the governed minimum
 *    share and the cost of settling a row, until the coverage is reached, at most top K.
 * 3. the paid rows share `attribution.reliability` of the pool in proportion to weight, rounded by largest
 *    remainder; the rest of the pool is unattributed.
 *
 * Sum of amounts + unattributed equals the pool to the wei. contracts/src/libraries/Score.sol verifies the same.
 */
export function allocate(
  pool: bigint,
  listed: readonly Candidate[],
  information: { covered: bigint; total: bigint },
  values: ParameterValues,
): Allocation {
  const influenceOf = (c: Candidate) => (isSignificant(c, values) ? c.influence : 0n)
  const influenceSum = sum(listed, influenceOf)
  const textSum = sum(listed, (c) => c.text)
  const kappa =
    textSum === 0n || information.total === 0n
      ? 0n
      : min((information.covered * PPM) / information.total, values['attribution.textCap'])

  const weighed = listed
    .map((candidate) => ({
      ...candidate,
      weight:
        share(kappa * WEIGHT_ONE * candidate.text, textSum * PPM) +
        share((PPM - kappa) * WEIGHT_ONE * influenceOf(candidate), influenceSum * PPM),
    }))
    .toSorted((a, b) => compare(b.weight, a.weight) || (a.cluster < b.cluster ? -1 : 1))

  const settleShare = share(values['settlement.rowCost'] * WEIGHT_ONE, pool)
  const minWeight = max((values['attribution.minShare'] * WEIGHT_ONE) / PPM, settleShare)
  const enough = (sum(weighed, (c) => c.weight) * values['attribution.coverage']) / PPM
  const paid: typeof weighed = []
  let reached = 0n
  for (const row of weighed) {
    if (
      BigInt(paid.length) >= values['attribution.topK'] ||
      reached >= enough ||
      row.weight < minWeight
    )
      break
    paid.push(row)
    reached += row.weight
  }

  const attributed = paid.length === 0 ? 0n : (pool * values['attribution.reliability']) / PPM
  const amounts = largestRemainder(
    attributed,
    paid.map((row) => row.weight),
  )
  return {
    rows: weighed.map((row, i) => ({ ...row, amount: amounts[i] ?? 0n })),
    paid: paid.length,
    unattributed: pool - attributed,
  }
}

/** A version of the attribution method: which rows a receipt lists, and how its pool is split over them. */
export type Method = { shortlist: typeof shortlist; allocate: typeof allocate }

/** Version of the method that new receipts are made with. */
export const METHOD_VERSION = 1

const METHODS: Readonly<Record<number, Method>> = { [METHOD_VERSION]: { shortlist, allocate } }

/** The method of a receipt's version; throws an Error on one that this build does not know. */
export function methodOf(version: number): Method {
  const method = METHODS[version]
  if (!method)
    throw new Error(`attribution method ${version} is unknown; known: ${Object.keys(METHODS)}`)
  return method
}

/**
 * Splits an amount in proportion to weights: floors first, then one wei each to the largest remainders
 * (ties to the earlier). Amounts sum to `amount` exactly, or are all zero when the weights are.
 */
export function largestRemainder(amount: bigint, weights: readonly bigint[]): bigint[] {
  const total = sum(weights, (w) => w)
  if (total === 0n) return weights.map(() => 0n)
  const amounts = weights.map((w) => (amount * w) / total)
  let left = amount - sum(amounts, (a) => a)
  const byRemainder = weights
    .map((w, i) => ({ i, remainder: (amount * w) % total }))
    .toSorted((a, b) => compare(b.remainder, a.remainder) || a.i - b.i)
  for (const { i } of byRemainder) {
    if (left === 0n) break
    amounts[i] = (amounts[i] ?? 0n) + 1n
    left -= 1n
  }
  return amounts
}

/** Largest integer whose square is at most n (Newton's method, as in Solidity's Math.sqrt). */
export function sqrtFloor(n: bigint): bigint {
  if (n < 2n) return n
  let x = 1n << BigInt((n.toString(2).length + 1) >> 1)
  for (;;) {
    const y = (x + n / x) >> 1n
    if (y >= x) return x
    x = y
  }
}

const share = (part: bigint, whole: bigint): bigint => (whole === 0n ? 0n : part / whole)
const sum = <T>(items: readonly T[], of: (item: T) => bigint): bigint =>
  items.reduce((n, item) => n + of(item), 0n)
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b)
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b)
const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)
