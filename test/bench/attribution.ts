import { fork } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { evaluateProgram } from '#engine/programs/train.ts'
import { openSession } from '#engine/session.ts'
import { runsByLength, type GradientSource } from '#gpu-worker/attribution/gradients.ts'
import { loadBaseModel } from '#gpu-worker/base-model.ts'
import type { Example } from '#gpu-worker/training/examples.ts'
import { loraOf } from '#gpu-worker/training/lora-training.ts'
import { defaultParameters } from '#protocol/parameters.ts'
import type { TensorMap } from '#engine/tensor.ts'
import { z } from 'zod'
import {
  bm25Scores,
  gradientScores,
  randomScores,
  repSimScores,
  type Gradients,
} from './attribution/baselines.ts'
import { answerFigures, scanFigures } from './attribution/cost.ts'
import { DATASETS, loadTask, TASK_SIZE, type DatasetName } from './attribution/datasets.ts'
import { writeNpy } from './attribution/npy.ts'
import {
  buildIndex,
  featureRows,
  indexScores,
  openSource,
  variantScores,
} from './attribution/ours.ts'
import { barChart } from './attribution/plot.ts'
import { halfOf, lossesUnder, METHOD, planKey, seedsOf, trainOn } from './attribution/retraining.ts'
import {
  bootstrap,
  lds,
  noiseCeiling,
  STRONGEST,
  strongestEffects,
  truthOf,
  type Interval,
  type Scores,
  type Truth,
} from './attribution/statistics.ts'
import { knownRuns } from './attribution/truth.ts'
import { figure, printReport, type Figure } from './report.ts'

/**
 * Does attribution predict what training without the data gives? `npm run bench:attribution -- --data DIR` compares the
 * scores of every method with retrainings on random halves of the records (LDS, Park et al. 2023), on three datasets, and
 * by whether single records move the loss the way their score says. Retrainings on record are used; `--retrain` makes the
 * missing ones first, in two processes, about 40 quiet minutes from nothing, and may be stopped and repeated.
 * `--only NAME` takes one dataset, `--quick` the first, without the variants; `--npy DIR` also writes the gradients for
 * other tools.
 */
const { values: flags } = parseArgs({
  options: {
    data: { type: 'string' },
    npy: { type: 'string' },
    only: { type: 'string' },
    retrain: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const dataDir = flags.data ?? process.env['OPENLEDGER_DATA']
if (dataDir === undefined) {
  process.stderr.write(
    'bench:attribution needs --data DIR: the folder of MedQuAD, CUAD and TAT-QA\n',
  )
  process.exit(2)
}

const chosen = z
  .enum(DATASETS)
  .optional()
  .safeParse(flags.only ?? (flags.quick ? DATASETS[0] : undefined))
if (!chosen.success) {
  process.stderr.write(`--only takes one of ${DATASETS.join(', ')}\n`)
  process.exit(2)
}

const SUBSETS = 64
const SEEDS = 2
/** The seed of the adapter that is indexed; no retraining has it. */
const INDEXED_SEED = 100
/** Snapshots that variants are made of; the product takes the first. */
const SHARES = [0.25, 0.5, 0.75, 1] as const
const CACHE = new URL('attribution/cache/', import.meta.url).pathname
const PLOTS = new URL('../../docs/attribution/', import.meta.url).pathname
const plan = { subsets: SUBSETS, seeds: seedsOf(SEEDS), method: METHOD }
const say = (text: string) => process.stderr.write(`${text}\n`)

type Line = {
  method: string
  group: 'baseline' | 'ours' | 'variant'
  perQuery: number[]
  value: Interval
  /** How far the strongest records move the loss the way their score says, in mnats. */
  effect: Interval
  /** Share of the strongest records that move it that way at all. */
  sign: Interval
}

const base = await loadBaseModel('gpu-worker/models/openledger-5m')
const lora = loraOf(METHOD)
const figures: Figure[] = []
for (const name of chosen.data ? [chosen.data] : DATASETS)
  figures.push(...(await measure(name, dataDir)))
figures.push(...scanFigures(flags.quick ? 200_000 : 1_000_000))
printReport('attribution', figures, { json: flags.json, quick: flags.quick })

async function measure(name: DatasetName, data: string): Promise<Figure[]> {
  const task = await loadTask(name, data, base.tokenizer, TASK_SIZE)
  const key = planKey(task, base)
  if (flags.retrain) await retrainMissing(name, data)
  const runs = await knownRuns(key, CACHE, plan)
  if (runs.length === 0) throw new Error(`${name}: no retraining is on record, use --retrain`)
  const truth = truthOf(runs)
  const ceiling = noiseCeiling(truth)
  say(
    `${name}: ${runs.length} of ${SUBSETS * SEEDS} retrainings, ${truth.subsets.length} subsets, ceiling ${ceiling?.toFixed(3)}`,
  )

  const method = { ...METHOD, seed: INDEXED_SEED }
  const { adapter, checkpoints } = await trainOn(base, task.train, method, SHARES)
  const trained = { lora, tensors: adapter }
  const early = checkpoints[0] ?? adapter
  const source = await openSource(base, lora)
  const lines: Line[] = []
  let cost: Figure[] = []
  const add = (group: Line['group'], method: string, scores: Scores) => {
    const perQuery = lds(scores, truth)
    const strongest = strongestEffects(scores, truth)
    lines.push({
      group,
      method,
      perQuery,
      value: bootstrap(perQuery),
      effect: bootstrap(strongest.map(({ effect }) => 1000 * effect)),
      sign: bootstrap(strongest.map(({ sign }) => sign)),
    })
    say(`  ${lines.at(-1)?.value.mean.toFixed(3)}  ${method}`)
  }
  try {
    const significance = Number(defaultParameters()['attribution.significance'])
    const index = await buildIndex(base, source, task, { trained, snapshots: [early] })
    const { calibrated, significant } = await indexScores(index, source, task.queries, significance)
    cost = await answerFigures(base, task, { source, index, trained })
    add('ours', `ours, calibrated (c = ${index.damping})`, calibrated)
    add('variant', 'ours, only significant rows', significant)
    add('baseline', 'random', randomScores(task))
    add('baseline', 'BM25', bm25Scores(task, base))
    add('baseline', 'RepSim', await repSimScores(task, base, trained))
    const gradients = await gradientsAt(source, early, task)
    for (const [label, scores] of gradientScores(gradients)) add('baseline', label, scores)
    if (flags.npy) await exportNpy(join(flags.npy, name), gradients, truth)
    if (!flags.quick) {
      const rows = await featureRows(source, [early], task)
      for (const damping of [0.3, 1, 3, 10, 30]) {
        const { raw, relative } = await variantScores(rows, { damping })
        add('variant', `ours, raw influence, c = ${damping}`, raw)
        add('variant', `ours, relative, c = ${damping}`, relative)
      }
      for (const landmarks of [64, 128, 256]) {
        const { relative, dims } = await variantScores(rows, { damping: 10, landmarks })
        add('variant', `ours, ${landmarks} landmarks, D = ${dims}`, relative)
      }
      for (const chosen of [[1], [3], [0, 1], [0, 1, 2, 3]]) {
        const snapshots = chosen.map((i) => checkpoints[i] as TensorMap)
        const at = chosen.map((i) => `${100 * (SHARES[i] ?? 1)} %`).join(', ')
        const { relative } = await variantScores(await featureRows(source, snapshots, task), {
          damping: 10,
        })
        add('variant', `ours, gradients at ${at}`, relative)
      }
    }
  } finally {
    await source.release()
  }
  await mkdir(PLOTS, { recursive: true })
  const bars = lines
    .filter(({ group }) => group !== 'variant')
    .toSorted((a, b) => b.value.mean - a.value.mean)
    .map(({ method: label, value, group }) => ({ label, value, isOurs: group === 'ours' }))
  await writeFile(
    join(PLOTS, `lds-${name}.svg`),
    barChart(
      `LDS on ${name}: ${truth.subsets.length} half-subsets, ${task.queries.length} queries`,
      bars,
      ceiling,
    ),
  )
  return [...figuresOf(name, lines, ceiling), ...cost]
}

/** Ours beside every other, with the interval of the difference over the same queries. */
function figuresOf(name: DatasetName, lines: readonly Line[], ceiling: number | null): Figure[] {
  const ours = lines.find(({ group }) => group === 'ours')
  if (!ours) throw new Error('ours was not measured')
  const against = lines.map(({ method, perQuery, value, group }): Figure => {
    const { low, high } = bootstrap(ours.perQuery.map((x, q) => x - (perQuery[q] ?? 0)))
    const ahead = group === 'ours' ? '' : `; ours ahead by ${low.toFixed(3)} to ${high.toFixed(3)}`
    const shown = figure(
      { name: `${name}: LDS, ${method} ${range(value)}${ahead}`, unit: 'rho', better: 'higher' },
      value.mean,
      ...(group === 'ours' ? [] : [{ value: ours.value.mean, name: 'ours' }]),
    )
    return shown
  })
  const others = lines.filter(({ group }) => group !== 'variant')
  const single = others.flatMap(({ method, effect, sign }): Figure[] => [
    figure(
      {
        name: `${name}: loss lowered by each of the ${STRONGEST} strongest records, ${method} ${range(effect)}`,
        unit: 'mnat',
        better: 'higher',
      },
      effect.mean,
    ),
    figure(
      {
        name: `${name}: of them lowering it, ${method} ${range(sign)}`,
        unit: '',
        better: 'higher',
      },
      sign.mean,
    ),
  ])
  if (ceiling === null) return [...against, ...single]
  const ratio = figure(
    { name: `${name}: ours over the noise ceiling`, unit: 'rho', better: 'higher' },
    ours.value.mean,
    { value: ceiling, name: 'ceiling' },
  )
  return [...against, { ...ratio, goal: 0.6 * ceiling }, ...single]
}

function range({ low, high }: Interval): string {
  return `[${low.toFixed(3)}, ${high.toFixed(3)}]`
}

async function gradientsAt(
  source: GradientSource,
  adapter: TensorMap,
  { train, queries }: { train: readonly Example[]; queries: readonly Example[] },
): Promise<Gradients> {
  const of = async (examples: readonly Example[]): Promise<Float32Array[]> => {
    const rows = new Array<Float32Array>(examples.length)
    for (const run of runsByLength(examples, source.size)) {
      const flat = await source.gradients(
        adapter,
        run.map((i) => examples[i] as Example),
      )
      run.forEach((i, at) => (rows[i] = flat.slice(at * source.size, (at + 1) * source.size)))
    }
    return rows
  }
  const evaluator = await openSession(evaluateProgram(base.config, lora), base.parameters, {
    threads: 1,
  })
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

/** Gradients, the blocks' sizes, the records of every half and the queries' losses after training on it. */
async function exportNpy(folder: string, gradients: Gradients, truth: Truth): Promise<void> {
  await mkdir(folder, { recursive: true })
  const { blocks, train, queries } = gradients
  const tables: Record<string, readonly ArrayLike<number>[]> = {
    train,
    queries,
    halves: truth.subsets.map((subset) => halfOf(train.length, subset)),
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

/** Two processes with the lowest priority share the runs that are missing. */
async function retrainMissing(name: DatasetName, data: string): Promise<void> {
  const workers = 2
  await Promise.all(
    Array.from({ length: workers }, (_, worker) => {
      const argv = [name, data, CACHE, worker, workers, SUBSETS, SEEDS].map(String)
      const child = fork(new URL('attribution/retrain.ts', import.meta.url), argv)
      return new Promise<void>((resolve, reject) => {
        child.once('exit', (code) =>
          code === 0 ? resolve() : reject(new Error(`retraining ${name} ended with ${code}`)),
        )
      })
    }),
  )
}
