/**
 * The ground truth of attribution: adapters trained on some of the records, and what each makes of the held-out queries.
 * Every run is a file of its own, so the work may stop and go on, and several processes may share it.
 */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { padBatch } from '#engine/batch.ts'
import { evaluateProgram } from '#engine/programs/train.ts'
import { randomSource } from '#engine/random.ts'
import { openSession, type Session } from '#engine/session.ts'
import { requireTensor, type TensorMap } from '#engine/tensor.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import type { Example } from '#gpu-worker/training/examples.ts'
import { initialState, loraOf, snapshotsOf, trainLora } from '#gpu-worker/training/lora-training.ts'
import { sha256Hex } from '#protocol/bytes.ts'
import { loraMethod, type LoraMethod } from '#protocol/wire.ts'
import type { AttributionTask } from './datasets.ts'
import { inRandomOrder } from './statistics.ts'

/** Indices of the records that a retraining sees, in order. The name, fit for a file's, says which; no other set has it. */
export type Subset = { name: string; records: readonly number[] }

/** One retraining: the name of its subset, and every query's mean loss after it, in nats. */
export const run = z.object({ subset: z.string(), seed: z.int(), losses: z.array(z.number()) })
export type Run = z.infer<typeof run>

export type TruthPlan = {
  subsets: readonly Subset[]
  seeds: readonly number[]
  method: LoraMethod
}

/** Small and quick, yet it moves the losses: the same for every dataset. Everything a run follows from is named. */
const RECIPE = {
  rank: 4,
  alpha: 8,
  learningRate: 4e-3,
  epochs: 2,
  batchSize: 16,
  sequenceLength: 64,
  warmupRatio: 0.05,
  weightDecay: 0,
  clipNorm: 1,
  validationFraction: 0,
  seed: 1,
}
export const METHOD = loraMethod.parse(RECIPE)

/** Seeds of retrainings; the adapter that is indexed has another one. */
export const seedsOf = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)

/** Random halves of `records` records, each drawn without replacement. */
export const halves = (records: number, count: number): Subset[] =>
  Array.from({ length: count }, (_, i) => {
    const order = inRandomOrder([...Array(records).keys()], randomSource(0x5eed + i))
    const half = order.slice(0, Math.floor(records / 2))
    return { name: `half-${i}`, records: half.toSorted((a, b) => a - b) }
  })

/** All of `records` records but some; named after those. */
export function without(records: number, removed: ReadonlySet<number>): Subset {
  const gone = [...removed].toSorted((a, b) => a - b)
  return {
    name: gone.length === 0 ? 'all' : `without-${sha256Hex(gone.join(' ')).slice(2, 14)}`,
    records: Array.from({ length: records }, (_, i) => i).filter((i) => !removed.has(i)),
  }
}

/** Names everything that a run's losses follow from, besides subset and seed. */
export function planKey(task: AttributionTask, base: BaseModel): string {
  const identity = [base.digest, RECIPE, task.train, task.queries].map((it) =>
    JSON.stringify(it, (key, value: unknown) => (key === 'row' ? undefined : value)),
  )
  return `${task.name}-${sha256Hex(identity.join('\n')).slice(2, 14)}`
}

export type Trained = {
  adapter: TensorMap
  /** At the shares asked for. */
  checkpoints: TensorMap[]
  /** Those that the product takes gradients at. */
  snapshots: TensorMap[]
}

/** Trains on `examples`; also keeps the adapter after each share of the steps in `checkpointAt`. */
export async function trainOn(
  base: BaseModel,
  examples: readonly Example[],
  method: LoraMethod,
  checkpointAt: readonly number[] = [],
): Promise<Trained> {
  const state = initialState(base.config, method)
  const setup = { ...base, method, train: examples, validation: [], session: { threads: 1 } }
  const checkpoints: TensorMap[] = []
  for await (const { step, totalSteps } of trainLora(setup, state)) {
    if (checkpointAt.some((share) => Math.round(share * totalSteps) === step))
      checkpoints.push(
        new Map([...state.adapter].map(([name, t]) => [name, { ...t, data: t.data.slice() }])),
      )
  }
  return { adapter: state.adapter, checkpoints, snapshots: snapshotsOf(state) }
}

/** Mean loss of every example under an adapter. */
export async function lossesUnder(
  evaluator: Session,
  adapter: TensorMap,
  examples: readonly Example[],
): Promise<number[]> {
  const losses: number[] = []
  for (let at = 0; at < examples.length; at += 16) {
    const part = examples.slice(at, at + 16)
    const { feeds, targetSequence } = padBatch(part)
    const { data } = requireTensor(
      await evaluator.run({ ...feeds, ...Object.fromEntries(adapter) }),
      'nll',
    )
    const sums = part.map(() => ({ sum: 0, count: 0 }))
    targetSequence.forEach((sequence, i) => {
      const into = sums[sequence]
      if (!into) return
      into.sum += data[i] ?? Number.NaN
      into.count++
    })
    losses.push(...sums.map(({ sum, count }) => sum / count))
  }
  return losses
}

/**
 * Makes the runs of a plan that the folder lacks, those with index `worker` modulo `workers`; others are left to other
 * processes. `onRun` hears of each.
 */
export async function retrain(
  folder: string,
  { base, task, plan }: { base: BaseModel; task: AttributionTask; plan: TruthPlan },
  { worker, workers }: { worker: number; workers: number },
  onRun: (run: Run) => void,
): Promise<void> {
  await mkdir(folder, { recursive: true })
  const lora = loraOf(plan.method)
  const evaluator = await openSession(evaluateProgram(base.config, lora), base.parameters, {
    threads: 1,
  })
  try {
    for (const [index, { subset, seed }] of pairs(plan).entries()) {
      const path = pathOf(folder, subset, seed)
      if (index % workers !== worker || existsSync(path)) continue
      const examples = subset.records.map((i) => task.train[i] as Example)
      const { adapter } = await trainOn(base, examples, { ...plan.method, seed })
      const losses = await lossesUnder(evaluator, adapter, task.queries)
      const made: Run = { subset: subset.name, seed, losses }
      await writeFile(`${path}.tmp`, JSON.stringify(made))
      await rename(`${path}.tmp`, path)
      onRun(made)
    }
  } finally {
    await evaluator.release()
  }
}

const pathOf = (folder: string, { name }: Subset, seed: number) =>
  join(folder, `${name}-${seed}.json`)

/** Every pair of subset and seed; all subsets of the first seed come first. */
const pairs = ({ subsets, seeds }: TruthPlan) =>
  seeds.flatMap((seed) => subsets.map((subset) => ({ subset, seed })))

/** The runs of a plan that are in the folder. */
export async function readRuns(folder: string, plan: TruthPlan): Promise<Run[]> {
  const found = pairs(plan)
    .map(({ subset, seed }) => pathOf(folder, subset, seed))
    .filter((path) => existsSync(path))
  return Promise.all(found.map(async (path) => run.parse(JSON.parse(await readFile(path, 'utf8')))))
}
