/**
 * The gradient half of attribution: which records moved the model toward a response. Every trained record is a row: its
 * feature seen from the landmarks, as int8. A response's own feature, treated alike, is compared with all rows by
 * integer dot products, and each row's score is judged against what unrelated queries give it.
 */
import { rm } from 'node:fs/promises'
import type { Sequence } from '#engine/batch.ts'
import type { TensorMap } from '#engine/tensor.ts'
import { sha256Hex, type Hex } from '#protocol/bytes.ts'
import { MAX_DIMENSIONS, type InfluenceRow } from '#protocol/influence-row.ts'
import { dotInt8 } from '#protocol/score.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import { DAMPINGS, DEFAULT_DAMPING, halves, LEAST_PROBES, separation } from './damping.ts'
import { openFeatureFile, type FeatureFile, type FeatureRow } from './feature-file.ts'
import {
  FEATURE_DIMS,
  fitFeatures,
  openFeatures,
  type FeatureMap,
  type Features,
} from './features.ts'
import { runsByLength, type GradientSource } from './gradients.ts'
import {
  comparedRows,
  nullStatistics,
  relativeNumber,
  vectorHash,
  type ComparedRows,
  type NullStatistics,
} from './index-rows.ts'
import {
  compress,
  drawFold,
  fitMap,
  gramAccumulator,
  kernelOf,
  momentsOf,
  RESIDUAL_DIMS,
  type LandmarkMap,
  type Landmarks,
  type Moments,
} from './landmarks.ts'
import { quantize, type Quantized } from './quantize.ts'
import { vectorTable } from './vector-table.ts'

/** How a sequence becomes a vector. */
export type QueryMap = { features: FeatureMap; landmarks: LandmarkMap; damping: number }

export type InfluenceIndex = ComparedRows & QueryMap

/** A trained record, the tokens it was trained with, and those of them that spans are found in. */
export type IndexedRecord = {
  record: Hex
  cluster: Hex
  contributor: Hex
  sequence: Sequence
  /** Segments joined as protocol/tokens.ts does. */
  tokens: readonly number[]
}

/** An unrelated query; rows of `cluster`, if it has one, are not judged by it. */
export type NullQuery = { sequence: Sequence; cluster: Hex | null }

export type InfluenceBuild = {
  source: GradientSource
  adapter: Hex
  /** The adapter at the points of its training at which gradients are taken; see `FeatureMap`. */
  snapshots: readonly TensorMap[]
  records: readonly IndexedRecord[]
  /** Queries that say nothing about the rows; their scores make the null distribution. */
  nullQueries: readonly NullQuery[]
  /** Sequences of the kind that is trained on but were not; the damping is chosen by them. */
  heldOut: readonly Sequence[]
  /** Where features wait on disk; a file left behind by an interrupted build is gone on with. */
  scratch: string
  /** Share of the work done so far. */
  onProgress: (done: number) => void | Promise<void>
}

/** Held-out sequences that the damping is chosen by, at most. */
const PROBES = 64

/**
 * Builds the index of an adapter: one pass over the records, two over their features, in memory that does not grow with the
 * records beyond their rows. A record whose gradient is not finite becomes a row of zeros, which no query ever finds.
 * Without two null queries a row is never significant.
 */
export async function buildInfluenceIndex(build: InfluenceBuild): Promise<InfluenceIndex> {
  const { source, adapter, snapshots, records, nullQueries, scratch, onProgress } = build
  const texts = records.map(({ sequence }) => sequence)
  const features = await fitFeatures(source, { adapter, snapshots }, texts)
  const probes = build.heldOut.flatMap((it) => [halves(it) ?? []]).slice(0, PROBES)
  const sequences = [...texts, ...nullQueries.map(({ sequence }) => sequence), ...probes.flat()]
  const runs = runsByLength(sequences, source.size)
  const file = await openFeatureFile(scratch)
  try {
    const { of: featuresOf } = openFeatures(source.blocks, features)
    await writeFeatures(file, { sequences, runs, onProgress }, (part) => featuresOf(source, part))
    const order = runs.flat()
    const placeOf = new Map(order.map((index, place) => [index, place]))
    const rowOf = (index: number) => file.row(placeOf.get(index) as number)
    const rowsFrom = (first: number, count: number) =>
      Promise.all(Array.from({ length: count }, (_, i) => rowOf(first + i)))

    const chosen = chooseLandmarks(adapter, records)
    const landmarks = landmarkTable(adapter, await Promise.all(chosen.map(rowOf)))
    const isRecord = (place: number) => (order[place] as number) < records.length
    const moments = await secondMoments(recordRows(file, isRecord), landmarks)
    const probed = await rowsFrom(texts.length + nullQueries.length, probes.flat().length)
    const { map, damping } = chooseDamping(moments, probed)
    const dims = chosen.length + RESIDUAL_DIMS

    const asked = await rowsFrom(texts.length, nullQueries.length)
    const queries = asked.map((row, i) => ({
      query: embed(map, row),
      cluster: nullQueries[i]?.cluster ?? null,
    }))
    const rows = new Array<UncalibratedRow>(records.length)
    const scores = new Array<number[]>(records.length)
    const vectors = new Int8Array(records.length * dims)
    let place = 0
    for await (const feature of file.rows()) {
      const index = order[place++] as number
      const record = records[index]
      if (!record) continue
      const row = embed(map, feature)
      vectors.set(row.values, index * dims)
      rows[index] = uncalibratedRow(record, row)
      scores[index] = queries
        .filter((candidate) => candidate.cluster !== record.cluster)
        .map(({ query }) => relativeNumber(dotInt8(row.values, query.values), row.self, query.self))
    }
    const statistics = nullStatistics(scores)
    const calibrated = rows.map((row, i) => ({ ...row, ...(statistics[i] as NullStatistics) }))
    return { ...comparedRows(calibrated, vectors, dims), features, landmarks: map, damping }
  } finally {
    await file.close()
    await rm(scratch, { force: true })
  }
}

/** Appends the features that the file lacks, run by run in a fixed order. */
async function writeFeatures(
  file: FeatureFile,
  {
    sequences,
    runs,
    onProgress,
  }: { sequences: readonly Sequence[]; runs: readonly number[][] } & Pick<
    InfluenceBuild,
    'onProgress'
  >,
  featuresOf: (part: readonly Sequence[]) => Promise<Float64Array[]>,
): Promise<void> {
  let before = 0
  for (const run of runs) {
    const missing = run.slice(Math.max(0, file.count() - before))
    before += run.length
    if (missing.length === 0) continue
    const features = await featuresOf(missing.map((index) => sequences[index] as Sequence))
    await file.append(features.map(featureRow))
    await onProgress(before / sequences.length)
  }
}

/** A feature as int8, unclipped; zero when it is not finite. */
export function featureRow(feature: Float64Array): FeatureRow {
  if (!feature.every(Number.isFinite)) return { values: new Int8Array(FEATURE_DIMS), exponent: 0 }
  return quantize(feature, Number.POSITIVE_INFINITY)
}

const MOST_LANDMARKS = MAX_DIMENSIONS - RESIDUAL_DIMS

/** All records where they are few enough, else those whose salted hashes are smallest. */
function chooseLandmarks(adapter: Hex, records: readonly IndexedRecord[]): number[] {
  const all = records.map((_, index) => index)
  if (all.length <= MOST_LANDMARKS) return all
  const keys = records.map(({ record }) => sha256Hex(`landmark ${adapter} ${record}`))
  return all
    .toSorted((a, b) => ((keys[a] as Hex) < (keys[b] as Hex) ? -1 : 1))
    .slice(0, MOST_LANDMARKS)
    .toSorted((a, b) => a - b)
}

/** Records' features as landmarks. */
export function landmarkTable(adapter: Hex, rows: readonly FeatureRow[]): Landmarks {
  const vectors = new Int8Array(rows.length * FEATURE_DIMS)
  rows.forEach(({ values }, i) => vectors.set(values, i * FEATURE_DIMS))
  return {
    table: vectorTable(vectors, FEATURE_DIMS),
    exponents: Int16Array.from(rows, ({ exponent }) => exponent),
    fold: drawFold(adapter),
  }
}

async function* recordRows(
  file: FeatureFile,
  isRecord: (place: number) => boolean,
): AsyncGenerator<FeatureRow, void, void> {
  let place = 0
  for await (const row of file.rows()) if (isRecord(place++)) yield row
}

/** What the map is fitted to, from one pass over the records' features. */
export async function secondMoments(
  records: AsyncIterable<FeatureRow> | Iterable<FeatureRow>,
  landmarks: Landmarks,
): Promise<Moments> {
  const accumulator = gramAccumulator(landmarks.table.count)
  let squares = 0
  let count = 0
  for await (const row of records) {
    accumulator.add(kernelOf(landmarks, row))
    squares += row.values.reduce((n, x) => n + x * x, 0) * 4 ** row.exponent
    count++
  }
  return momentsOf(landmarks, {
    meanGram: accumulator.mean(),
    meanSquare: squares / Math.max(1, count),
  })
}

/** The map of the damping under which the probes, halves side by side, separate best. */
function chooseDamping(
  moments: Moments,
  probes: readonly FeatureRow[],
): { map: LandmarkMap; damping: number } {
  const tried = (damping: number) => ({ damping, map: fitMap(moments, damping) })
  if (probes.length < 2 * LEAST_PROBES) return tried(DEFAULT_DAMPING)
  const scored = DAMPINGS.map((damping) => {
    const candidate = tried(damping)
    const z = probes.map((row) => compress(candidate.map, row))
    const pairs = z.flatMap((first, i): [Float64Array, Float64Array][] =>
      i % 2 === 0 ? [[first, z[i + 1] as Float64Array]] : [],
    )
    return { ...candidate, score: separation(pairs) }
  })
  return scored.reduce((best, candidate) => (candidate.score > best.score ? candidate : best))
}

/** A feature as the index compares it. */
const embed = (map: LandmarkMap, feature: FeatureRow): Quantized => quantize(compress(map, feature))

type UncalibratedRow = Omit<InfluenceRow, keyof NullStatistics>

const uncalibratedRow = (
  { record, cluster, contributor, tokens }: IndexedRecord,
  { values, exponent, self }: Quantized,
): UncalibratedRow => ({
  record,
  cluster,
  contributor,
  vectorHash: vectorHash(values),
  exponent,
  self: BigInt(self),
  tokensRoot: tokensRoot(tokens),
  tokens: tokens.length,
})

/** Turns a sequence into the vector that the rows are compared with; zero when its gradient is not finite. */
export async function queryVector(
  { landmarks }: Pick<QueryMap, 'landmarks'>,
  features: Features,
  source: GradientSource,
  sequence: Sequence,
): Promise<Quantized> {
  const [feature] = await features.of(source, [sequence])
  return embed(landmarks, featureRow(feature ?? new Float64Array(FEATURE_DIMS)))
}

/** The vector of nothing: no row is like it. */
export const zeroVector = ({ vectors }: Pick<ComparedRows, 'vectors'>): Quantized => ({
  values: new Int8Array(vectors.dims),
  exponent: 0,
  self: 0,
})
