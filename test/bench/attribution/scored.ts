/** A task with an adapter trained on it and the scores that ours and every baseline give: what all evaluations start from. */
import { evaluateProgram } from '#engine/programs/train.ts'
import { openSession } from '#engine/session.ts'
import type { TensorMap } from '#engine/tensor.ts'
import type { GradientSource } from '#gpu-worker/attribution/gradients.ts'
import type { InfluenceIndex } from '#gpu-worker/attribution/influence-index.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import type { Example } from '#gpu-worker/training/examples.ts'
import { loraOf } from '#gpu-worker/training/lora-training.ts'
import { defaultParameters } from '#protocol/parameters.ts'
import { bm25Scores, gradientScores, randomScores, repSimScores } from './baselines.ts'
import type { Gradients } from './baselines.ts'
import { loadTask, TASK_SIZE, type AttributionTask, type DatasetName } from './datasets.ts'
import { buildIndex, paidScores, rowScores, rowsInRuns, scoresOf, type Trained } from './ours.ts'
import {
  halves,
  lossesUnder,
  METHOD,
  planKey,
  seedsOf,
  trainOn,
  type TruthPlan,
} from './retraining.ts'
import { truthOf, type Scores, type Truth } from './statistics.ts'
import { knownRuns, retrainMissing } from './truth.ts'

/** What the evaluations share: the base, where the data is, and whether missing retrainings are to be made. */
export type Bench = {
  base: BaseModel
  source: GradientSource
  data: string
  isRetraining: boolean
  /** Less of everything that takes long. */
  isQuick: boolean
}

export type Method = {
  label: string
  group: 'ours' | 'baseline' | 'variant'
  scores: Scores
}

/** A task's records in an index that a job would publish. */
export type IndexedTask = {
  task: Examples
  trained: Trained
  /** The adapter at CHECKPOINTS of its training. */
  checkpoints: TensorMap[]
  index: InfluenceIndex
  gradients: Gradients
}

export type ScoredTask = IndexedTask & { methods: Method[] }

type Examples = Pick<AttributionTask, 'train' | 'queries' | 'others'>

/** Shares of the training at which the adapter is kept: variants are made of them; the product takes gradients at the first. */
export const CHECKPOINTS = [0.25, 0.5, 0.75, 1] as const
/** The seed of the adapter that is indexed; no retraining has it. */
const INDEXED_SEED = 100

/** Trains on a task's records and indexes them. */
export async function indexTask({ base, source }: Bench, task: Examples): Promise<IndexedTask> {
  const method = { ...METHOD, seed: INDEXED_SEED }
  const { adapter, checkpoints } = await trainOn(base, task.train, method, CHECKPOINTS)
  const trained = { lora: loraOf(METHOD), tensors: adapter }
  const early = checkpoints[0] ?? adapter
  const index = await buildIndex(base, source, task, { trained, snapshots: [early] })
  return {
    task,
    trained,
    checkpoints,
    index,
    gradients: await gradientsAt({ base, source }, early, task),
  }
}

/** Trains on a task's records and scores them for its queries by every method. */
export async function scoreTask(bench: Bench, task: Examples): Promise<ScoredTask> {
  const { base, source } = bench
  const indexed = await indexTask(bench, task)
  const { index, trained, gradients } = indexed
  const found = await rowScores(index, source, task.queries)
  const baselines: [string, Scores][] = [
    ['random', randomScores(task)],
    ['BM25', bm25Scores(task, base)],
    ['RepSim', await repSimScores(task, base, trained)],
    ...gradientScores(gradients),
  ]
  return {
    ...indexed,
    methods: [
      {
        label: `ours, calibrated (c = ${index.damping})`,
        group: 'ours',
        scores: scoresOf(found, ({ influence }) => Number(influence)),
      },
      {
        label: 'ours, only significant rows',
        group: 'variant',
        scores: paidScores(found, defaultParameters()),
      },
      ...baselines.map(([label, scores]): Method => ({ label, group: 'baseline', scores })),
    ],
  }
}

const SUBSETS = 64
const SEEDS = 2

/** The retrainings of the linear datamodeling score. */
export const ldsPlan = ({ train }: Pick<Examples, 'train'>): TruthPlan => ({
  subsets: halves(train.length, SUBSETS),
  seeds: seedsOf(SEEDS),
  method: METHOD,
})

const scored = new Map<DatasetName, Promise<ScoredTask>>()

/** A dataset's task with its scores, made once. */
export function scoredDataset(bench: Bench, name: DatasetName): Promise<ScoredTask> {
  const { base, data } = bench
  const made =
    scored.get(name) ??
    loadTask(name, data, base.tokenizer, TASK_SIZE).then((task) => scoreTask(bench, task))
  scored.set(name, made)
  return made
}

/** What the retrainings of a plan gave, after making those that are missing, if that is wanted. Rejects when none is known. */
export async function datasetTruth(
  { base, data, isRetraining }: Bench,
  name: DatasetName,
  { task, plan }: { task: Examples; plan: TruthPlan },
): Promise<Truth> {
  const key = planKey({ name, ...task }, base)
  if (isRetraining) await retrainMissing({ name, data, key }, plan)
  const runs = await knownRuns(key, plan)
  const wanted = plan.subsets.length * plan.seeds.length
  process.stderr.write(`${name}: ${runs.length} of ${wanted} retrainings are on record\n`)
  if (runs.length === 0) throw new Error(`${name}: no retraining is on record, use --retrain`)
  return truthOf(runs, plan.subsets)
}

/** Full gradients of records and queries at one adapter, and the records' losses there. */
export async function gradientsAt(
  { base, source }: Pick<Bench, 'base' | 'source'>,
  adapter: TensorMap,
  { train, queries }: Pick<Examples, 'train' | 'queries'>,
): Promise<Gradients> {
  const of = (examples: readonly Example[]): Promise<Float32Array[]> =>
    rowsInRuns(examples, source, async (run) => {
      const flat = await source.gradients(adapter, run)
      return run.map((_, at) => flat.slice(at * source.size, (at + 1) * source.size))
    })
  const evaluator = await openSession(
    evaluateProgram(base.config, loraOf(METHOD)),
    base.parameters,
    { threads: 1 },
  )
  try {
    return {
      blocks: source.blocks,
      train: await of(train),
      queries: await of(queries),
      losses: await lossesUnder(evaluator, adapter, train),
    }
  } finally {
    await evaluator.release()
  }
}
