/**
 * The gradient half of attribution: which records moved the model toward a response. Every trained record is a row: its
 * feature seen from the landmarks, as int8. A response's own feature, treated alike, is compared with all rows by
 * integer dot products, and each row's score is judged against what unrelated queries give it.
 */
import { rm } from 'node:fs/promises'
import type { Sequence } from '#engine/batch.ts'
import type { TensorMap } from '#engine/tensor.ts'
import { sha256Hex, type Hex } from '#protocol/bytes.ts'
import type { InfluenceRow } from '#protocol/influence-row.ts'
import { dotInt8 } from '#protocol/score.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import { DAMPINGS, DEFAULT_DAMPING, halves, LEAST_PROBES, separation } from './damping.ts'
import {
  featureDims,
  featureFormat,
  featureRow,
  fitFeatures,
  openFeatures,
  type FeatureMap,
  type FeatureRow,
  type Features,
} from './features.ts'
import { runsByLength, type GradientSource, type OnProgress } from './gradients.ts'
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
  drawsOf,
  fitMap,
  layoutOf,
  momentsOf,
  normOf,
  viewFormat,
  viewOf,
  type LandmarkMap,
  type Landmarks,
  type Layout,
  type Moments,
  type View,
} from './landmarks.ts'
import { quantize, type Quantized } from './quantize.ts'
import { openRowFile, type RowFile } from './row-file.ts'
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
  onProgress: (stage: InfluenceStage, done: number) => void | Promise<void>
}

/** What a build does, in this order: how far each has come, 0 to 1, is told. */
export type InfluenceStage = 'fitting' | 'gradients' | 'comparing' | 'rows'

/** Held-out sequences that the damping is chosen by, at most. */
const PROBES = 64

/**
 * Builds the index of an adapter: one pass over the records, one over their features, two over how the landmarks see those,
 * in memory that does not grow with the records beyond their rows. A record whose gradient is not finite becomes a row of
 * zeros, which no query ever finds. Without two null queries a row is never significant.
 */
export async function buildInfluenceIndex(build: InfluenceBuild): Promise<InfluenceIndex> {
  const { source, adapter, snapshots, records, nullQueries, scratch, onProgress } = build
  const texts = records.map(({ sequence }) => sequence)
  const { map: features, sample } = await fitFeatures(
    source,
    { adapter, snapshots, dims: featureDims(records.length) },
    texts,
    (done) => onProgress('fitting', done),
  )
  const probes = build.heldOut.flatMap((it) => [halves(it) ?? []]).slice(0, PROBES)
  const sequences = [...texts, ...nullQueries.map(({ sequence }) => sequence), ...probes.flat()]
  const layout = layoutOf(records.length)
  const chosen = chooseLandmarks(adapter, records, layout)
  const seen = `${scratch}.views`
  await rm(seen, { force: true })
  const file = await openRowFile(scratch, featureFormat(features.dims))
  const views = await openRowFile(seen, viewFormat(layout))
  try {
    const { of, from } = openFeatures(source.blocks, features)
    const order = await writeFeatures(file, sequences, {
      source,
      sample: sample.places,
      held: (place) => from(sample.gradients.map((rows) => rows[place] as Float32Array)),
      featuresOf: (part) => of(source, part),
      onProgress: (done) => onProgress('gradients', done),
    })
    const placeOf = new Map(order.map((index, place) => [index, place]))
    const rowsOf = <Row>(from: RowFile<Row>, indices: readonly number[]) =>
      Promise.all(indices.map((index) => from.row(placeOf.get(index) as number)))

    const landmarks = landmarkTable(adapter, await rowsOf(file, chosen), layout)
    const isRecord = (place: number) => (order[place] as number) < records.length
    const norms: number[] = []
    for await (const part of file.parts()) {
      const first = views.count()
      const made = part.map((feature) => viewOf(landmarks, feature))
      norms.push(...made.filter((_, i) => isRecord(first + i)).map(normOf))
      await views.append(made)
      await onProgress('comparing', views.count() / sequences.length)
    }
    const seenBy = { own: await rowsOf(views, chosen), records: recordViews(views, isRecord) }
    const moments = await momentsOf(landmarks, seenBy.own, seenBy.records, norms)
    const after = (first: number, count: number) =>
      rowsOf(
        views,
        Array.from({ length: count }, (_, i) => first + i),
      )
    await onProgress('rows', 0)
    const probed = await after(texts.length + nullQueries.length, probes.flat().length)
    const { map, damping } = chooseDamping(moments, probed)
    const dims = layout.landmarks + layout.outside

    const asked = await after(texts.length, nullQueries.length)
    const queries = asked.map((view, i) => ({
      query: embed(map, view),
      cluster: nullQueries[i]?.cluster ?? null,
    }))
    const rows = new Array<UncalibratedRow>(records.length)
    const scores = new Array<number[]>(records.length)
    const vectors = new Int8Array(records.length * dims)
    let place = 0
    for await (const part of views.parts()) {
      for (const view of part) {
        const index = order[place++] as number
        const record = records[index]
        if (!record) continue
        const row = embed(map, view)
        vectors.set(row.values, index * dims)
        rows[index] = uncalibratedRow(record, row)
        scores[index] = queries
          .filter((candidate) => candidate.cluster !== record.cluster)
          .map(({ query }) =>
            relativeNumber(dotInt8(row.values, query.values), row.self, query.self),
          )
      }
      await onProgress('rows', place / sequences.length)
    }
    const statistics = nullStatistics(scores)
    const calibrated = rows.map((row, i) => ({ ...row, ...(statistics[i] as NullStatistics) }))
    return { ...comparedRows(calibrated, vectors, dims), features, landmarks: map, damping }
  } finally {
    await Promise.all([file.close(), views.close()])
    await Promise.all([scratch, seen].map((path) => rm(path, { force: true })))
  }
}

type FeatureWork = {
  source: GradientSource
  /** Sequences whose gradients are at hand, and the feature of one of them by its place among these. */
  sample: readonly number[]
  held: (place: number) => Float64Array
  featuresOf: (part: readonly Sequence[]) => Promise<Float64Array[]>
  onProgress: OnProgress
}

/** Appends the features that the file lacks in a fixed order, the sample first; returns the order. */
async function writeFeatures(
  file: RowFile<FeatureRow>,
  sequences: readonly Sequence[],
  { source, sample, held, featuresOf, onProgress }: FeatureWork,
): Promise<number[]> {
  for (let place = file.count(); place < sample.length; place++)
    await file.append([featureRow(held(place))])
  const isHeld = new Set(sample)
  const others = sequences.flatMap((_, index) => (isHeld.has(index) ? [] : [index]))
  const runs = runsByLength(
    others.map((index) => sequences[index] as Sequence),
    source,
  ).map((run) => run.map((at) => others[at] as number))
  let before = sample.length
  for (const run of runs) {
    const missing = run.slice(Math.max(0, file.count() - before))
    before += run.length
    if (missing.length === 0) continue
    const features = await featuresOf(missing.map((index) => sequences[index] as Sequence))
    await file.append(features.map(featureRow))
    await onProgress(before / sequences.length)
  }
  return [...sample, ...runs.flat()]
}

/** All records where they are few enough, else those whose salted hashes are smallest. */
function chooseLandmarks(
  adapter: Hex,
  records: readonly IndexedRecord[],
  { landmarks }: Layout,
): number[] {
  const all = records.map((_, index) => index)
  if (all.length <= landmarks) return all
  const keys = records.map(({ record }) => sha256Hex(`landmark ${adapter} ${record}`))
  return all
    .toSorted((a, b) => ((keys[a] as Hex) < (keys[b] as Hex) ? -1 : 1))
    .slice(0, landmarks)
    .toSorted((a, b) => a - b)
}

/** Records' features, as many as the layout says, as landmarks. */
export function landmarkTable(
  adapter: Hex,
  rows: readonly FeatureRow[],
  layout: Layout,
): Landmarks {
  const dims = rows[0]?.values.length ?? 0
  const vectors = new Int8Array(rows.length * dims)
  rows.forEach(({ values }, i) => vectors.set(values, i * dims))
  return {
    table: vectorTable(vectors, dims),
    exponents: Int16Array.from(rows, ({ exponent }) => exponent),
    ...drawsOf(adapter, dims, layout),
  }
}

async function* recordViews(
  file: RowFile<View>,
  isRecord: (place: number) => boolean,
): AsyncGenerator<View, void, void> {
  let place = 0
  for await (const part of file.parts()) for (const view of part) if (isRecord(place++)) yield view
}

/** The map of the damping under which the probes, halves side by side, separate best. */
function chooseDamping(
  moments: Moments,
  probes: readonly View[],
): { map: LandmarkMap; damping: number } {
  const tried = (damping: number) => ({ damping, map: fitMap(moments, damping) })
  if (probes.length < 2 * LEAST_PROBES) return tried(DEFAULT_DAMPING)
  const scored = DAMPINGS.map((damping) => {
    const candidate = tried(damping)
    const z = probes.map((view) => compress(candidate.map, view))
    const pairs = z.flatMap((first, i): [Float64Array, Float64Array][] =>
      i % 2 === 0 ? [[first, z[i + 1] as Float64Array]] : [],
    )
    return { ...candidate, score: separation(pairs) }
  })
  return scored.reduce((best, candidate) => (candidate.score > best.score ? candidate : best))
}

/** A feature as the index compares it. */
const embed = (map: LandmarkMap, view: View): Quantized => quantize(compress(map, view))

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
  const row = featureRow(feature ?? new Float64Array(features.dims))
  return embed(landmarks, viewOf(landmarks, row))
}

/** The vector of nothing: no row is like it. */
export const zeroVector = ({ vectors }: Pick<ComparedRows, 'vectors'>): Quantized => ({
  values: new Int8Array(vectors.dims),
  exponent: 0,
  self: 0,
})
