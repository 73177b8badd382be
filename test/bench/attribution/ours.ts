/** Our own scores of a task: through the product's functions as they are, and under other settings of the same functions. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LoraConfig } from '#engine/models/lora.ts'
import type { TensorMap } from '#engine/tensor.ts'
import {
  featureDims,
  featureRow,
  fitFeatures,
  openFeatures,
  type FeatureRow,
} from '#gpu-worker/attribution/features.ts'
import {
  openGradients,
  runsByLength,
  type GradientSource,
} from '#gpu-worker/attribution/gradients.ts'
import { scoreRows, type RowScore } from '#gpu-worker/attribution/index-rows.ts'
import {
  buildInfluenceIndex,
  landmarkTable,
  queryVector,
  type InfluenceIndex,
} from '#gpu-worker/attribution/influence-index.ts'
import {
  compress,
  fitMap,
  layoutOf,
  momentsOf,
  normOf,
  viewOf,
  type Layout,
} from '#gpu-worker/attribution/landmarks.ts'
import { quantize } from '#gpu-worker/attribution/quantize.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import type { Example } from '#gpu-worker/training/examples.ts'
import { generateNullQueries } from '#gpu-worker/training/null-queries.ts'
import type { ParameterValues } from '#protocol/parameters.ts'
import { dotInt8, isSignificant } from '#protocol/score.ts'
import { keccak } from '#protocol/bytes.ts'
import type { AttributionTask } from './datasets.ts'
import type { Scores } from './statistics.ts'

const ADAPTER = keccak('bench:attribution')
const SESSION = { threads: 1 }

export const openSource = (base: BaseModel, lora: LoraConfig): Promise<GradientSource> =>
  openGradients({ base, lora, session: SESSION })

export type Trained = { lora: LoraConfig; tensors: TensorMap }

/** The index that a job would publish: snapshots, generated null queries, damping chosen by held-out records. */
export async function buildIndex(
  base: BaseModel,
  source: GradientSource,
  task: Pick<AttributionTask, 'train' | 'others'>,
  { trained, snapshots }: { trained: Trained; snapshots: readonly TensorMap[] },
): Promise<InfluenceIndex> {
  const { train, others } = task
  const folder = await mkdtemp(join(tmpdir(), 'bench-attribution-'))
  try {
    return await buildInfluenceIndex({
      source,
      adapter: ADAPTER,
      snapshots,
      records: train.map((example) => ({
        ...example.row,
        sequence: example,
        tokens: example.tokens,
      })),
      nullQueries: await generateNullQueries({
        base,
        adapter: trained,
        heldOut: others,
        train,
        session: SESSION,
        seed: 1,
      }),
      heldOut: others,
      scratch: join(folder, 'features'),
      onProgress: () => {},
    })
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Calibrated scores of all rows, [queries]. */
export async function rowScores(
  index: InfluenceIndex,
  source: GradientSource,
  queries: readonly Example[],
): Promise<RowScore[][]> {
  const features = openFeatures(source.blocks, index.features)
  const found: RowScore[][] = []
  for (const query of queries)
    found.push(scoreRows(index, await queryVector(index, features, source, query)))
  return found
}

/** What every row is paid by, where it is significant as governed. */
export const paidScores = (found: readonly RowScore[][], values: ParameterValues): Scores =>
  scoresOf(found, (score) => (isSignificant(score, values) ? Number(score.influence) : 0))

/** Scores [rows][queries] of what was found per query. */
export const scoresOf = (found: readonly RowScore[][], of: (score: RowScore) => number): Scores =>
  (found[0] ?? []).map((_, row) =>
    Float64Array.from(found, (scores) => of(scores[row] as RowScore)),
  )

/** A row for every example; `of` makes those of some that are of like length. */
export async function rowsInRuns<T>(
  examples: readonly Example[],
  source: GradientSource,
  of: (run: readonly Example[]) => Promise<readonly T[]>,
): Promise<T[]> {
  const rows = new Array<T>(examples.length)
  for (const run of runsByLength(examples, source)) {
    const part = await of(run.map((i) => examples[i] as Example))
    run.forEach((i, at) => (rows[i] = part[at] as T))
  }
  return rows
}

/** Features of records and queries under the given snapshots. */
export async function featureRows(
  source: GradientSource,
  snapshots: readonly TensorMap[],
  { train, queries }: Pick<AttributionTask, 'train' | 'queries'>,
  dims = featureDims(train.length),
): Promise<{ train: FeatureRow[]; queries: FeatureRow[] }> {
  const { map } = await fitFeatures(source, { adapter: ADAPTER, dims, snapshots }, train)
  const features = openFeatures(source.blocks, map)
  const rowsOf = (examples: readonly Example[]): Promise<FeatureRow[]> =>
    rowsInRuns(examples, source, async (run) => (await features.of(source, run)).map(featureRow))
  return { train: await rowsOf(train), queries: await rowsOf(queries) }
}

/** Scores under a given layout and damping: raw influence, and relative as int8 vectors give it. */
export async function variantScores(
  rows: { train: readonly FeatureRow[]; queries: readonly FeatureRow[] },
  { damping, layout = layoutOf(rows.train.length) }: { damping: number; layout?: Layout },
): Promise<{ raw: Scores; relative: Scores }> {
  const { landmarks } = layout
  const chosen = rows.train.filter((_, i) => (i * landmarks) % rows.train.length < landmarks)
  const table = landmarkTable(ADAPTER, chosen, layout)
  const viewsOf = (some: readonly FeatureRow[]) => some.map((row) => viewOf(table, row))
  const trained = viewsOf(rows.train)
  const moments = await momentsOf(table, viewsOf(chosen), trained, trained.map(normOf))
  const map = fitMap(moments, damping)
  const vector = (row: FeatureRow) => quantize(compress(map, viewOf(table, row)))
  const own = rows.train.map(vector)
  const asked = rows.queries.map(vector)
  const scores = (of: (dot: number, a: (typeof own)[number], b: (typeof own)[number]) => number) =>
    own.map((a) => asked.map((b) => of(dotInt8(a.values, b.values), a, b)))
  return {
    raw: scores((dot, a, b) => dot * 2 ** (a.exponent + b.exponent)),
    relative: scores((dot, a, b) => dot / Math.sqrt(a.self * b.self || 1)),
  }
}
