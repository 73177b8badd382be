/**
 * The linear datamodeling score of every method on one dataset, whether single records move the loss the way their score
 * says, and what attribution costs there.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TensorMap } from '#engine/tensor.ts'
import { FEATURE_DIMS } from '#gpu-worker/attribution/features.ts'
import { figure, type Figure } from '../report.ts'
import { gradientScores, type Gradients } from './baselines.ts'
import { compare, plot, range, type Line } from './comparison.ts'
import { answerFigures } from './cost.ts'
import type { DatasetName } from './datasets.ts'
import { writeNpy } from './npy.ts'
import { featureRows, variantScores } from './ours.ts'
import {
  CHECKPOINTS,
  datasetTruth,
  gradientsAt,
  ldsPlan,
  scoredDataset,
  type Bench,
  type Method,
  type ScoredTask,
} from './scored.ts'
import {
  bootstrap,
  lds,
  noiseCeiling,
  STRONGEST,
  strongestEffects,
  type Truth,
} from './statistics.ts'

/** What adapters of many records have, and a landmark for as many of the records as there would be of 10,000. */
const LAYOUTS = [
  [256, 1792],
  [64, 1984],
  [92, 256],
] as const

/** `npyFolder`: where gradients and truth go for other tools, if anywhere. */
export async function measureLds(
  bench: Bench,
  name: DatasetName,
  npyFolder: string | null,
): Promise<Figure[]> {
  const scored = await scoredDataset(bench, name)
  const { task, methods } = scored
  const truth = await datasetTruth(bench, name, { task, plan: ldsPlan(task) })
  if (npyFolder !== null) await exportNpy(join(npyFolder, name), scored.gradients, truth)
  const compared = [...methods, ...(await afterTraining(bench, scored))]
  const all = bench.isQuick ? compared : [...compared, ...(await variants(bench, scored))]
  const lines = all.map(({ label, group, scores }): Line => ({
    label,
    group,
    perItem: lds(scores, truth),
  }))
  const ceiling = noiseCeiling(truth)
  const title = `LDS on ${name}: ${truth.subsets.length} half-subsets, ${task.queries.length} queries`
  await plot(`lds-${name}`, title, lines, ceiling)
  return [
    ...compare(`${name}: LDS`, 'rho', lines),
    ...ceilingFigures(name, lines, ceiling),
    ...signFigures(name, methods, truth),
    ...(await answerFigures(bench.base, { name, ...task }, { ...scored, source: bench.source })),
  ]
}

/** The methods that see gradients where their papers take them: at the adapter that training ends with. */
async function afterTraining(bench: Bench, { task, trained }: ScoredTask): Promise<Method[]> {
  const gradients = await gradientsAt(bench, trained.tensors, task)
  return Array.from(gradientScores(gradients), ([label, scores]): Method => ({
    label: `${label}, after training`,
    group: 'baseline',
    scores,
  }))
}

/** Ours under other settings of the same functions. */
async function variants({ source }: Bench, { task, checkpoints }: ScoredTask): Promise<Method[]> {
  const found: Method[] = []
  const add = (label: string, scores: Method['scores']) =>
    found.push({ label, group: 'variant', scores })
  const at = (places: readonly number[]) => places.map((i) => checkpoints[i] as TensorMap)
  const rows = await featureRows(source, at([0]), task)
  for (const damping of [0.3, 1, 3, 10, 30]) {
    const { raw, relative } = await variantScores(rows, { damping })
    add(`ours, raw influence, c = ${damping}`, raw)
    add(`ours, relative, c = ${damping}`, relative)
  }
  for (const [landmarks, outside] of LAYOUTS) {
    const layout = { landmarks, outside }
    const { relative } = await variantScores(rows, { damping: 10, layout })
    add(`ours, ${landmarks} landmarks and ${outside} dimensions outside`, relative)
  }
  for (const dims of [FEATURE_DIMS.least, 2 * FEATURE_DIMS.least]) {
    const fewer = await featureRows(source, at([0]), task, dims)
    const { relative } = await variantScores(fewer, { damping: 10 })
    add(`ours, features of ${dims.toLocaleString('en')}`, relative)
  }
  for (const places of [[1], [3], [0, 1], [0, 1, 2, 3]]) {
    const shares = places.map((i) => `${100 * (CHECKPOINTS[i] ?? 1)} %`).join(', ')
    const others = await featureRows(source, at(places), task)
    const { relative } = await variantScores(others, { damping: 10 })
    add(`ours, gradients at ${shares}`, relative)
  }
  return found
}

/** Ours over what the noise of retraining leaves to be predicted. */
export function ceilingFigures(
  name: string,
  lines: readonly Line[],
  ceiling: number | null,
): Figure[] {
  const ours = lines.find(({ group }) => group === 'ours')
  if (!ours || ceiling === null) return []
  const ratio = figure(
    { name: `${name}: ours over the noise ceiling`, unit: 'rho', better: 'higher' },
    bootstrap(ours.perItem).mean,
    { value: ceiling, name: 'ceiling' },
  )
  return [{ ...ratio, goal: 0.6 * ceiling }]
}

function signFigures(name: DatasetName, methods: readonly Method[], truth: Truth): Figure[] {
  return methods
    .filter(({ group }) => group !== 'variant')
    .flatMap(({ label, scores }) => {
      const strongest = strongestEffects(scores, truth)
      const effect = bootstrap(strongest.map((it) => 1000 * it.effect))
      const sign = bootstrap(strongest.map((it) => it.sign))
      const lowered = `${name}: loss lowered by each of the ${STRONGEST} strongest records`
      return [
        figure(
          { name: `${lowered}, ${label} ${range(effect)}`, unit: 'mnat', better: 'higher' },
          effect.mean,
        ),
        figure(
          {
            name: `${name}: of them lowering it, ${label} ${range(sign)}`,
            unit: '',
            better: 'higher',
          },
          sign.mean,
        ),
      ]
    })
}

/** Gradients, the blocks' sizes, the records of every half and the queries' losses after training on it. */
async function exportNpy(folder: string, gradients: Gradients, truth: Truth): Promise<void> {
  await mkdir(folder, { recursive: true })
  const { blocks, train, queries } = gradients
  const tables: Record<string, readonly ArrayLike<number>[]> = {
    train,
    queries,
    halves: truth.subsets.map(({ records }) => records),
    losses: truth.losses,
  }
  for (const [file, rows] of Object.entries(tables)) {
    const size = rows[0]?.length ?? 0
    const flat = new Float32Array(rows.length * size)
    rows.forEach((row, i) => flat.set(row, i * size))
    await writeNpy(join(folder, `${file}.npy`), flat, [rows.length, size])
  }
  const sizes = Float32Array.from(blocks, ({ rows, columns }) => rows * columns)
  await writeNpy(join(folder, 'blocks.npy'), sizes, [sizes.length])
}
