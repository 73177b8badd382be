/** Retrainings on record: those in the cache together with those committed, so that the tables can be made without hours of training. */
import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatasetName } from './datasets.ts'
import { readRuns, run, type Run, type TruthPlan } from './retraining.ts'

const FOLDER = new URL('truth/', import.meta.url).pathname
const CACHE = new URL('cache/', import.meta.url).pathname
const DIGITS = 6
const WORKERS = 2

/** What a process of retrain.ts is told. */
export type RetrainOrder = {
  name: DatasetName
  data: string
  cache: string
  plan: TruthPlan
  worker: number
  workers: number
}

const nameOf = ({ subset, seed }: Pick<Run, 'subset' | 'seed'>) => `${subset}-${seed}`

/** The runs of a plan that are known; new ones are written down beside those of other plans. `key` is the task's planKey. */
export async function knownRuns(key: string, plan: TruthPlan): Promise<Run[]> {
  const path = join(FOLDER, `${key}.json`)
  const recorded = existsSync(path)
    ? run.array().parse(JSON.parse(await readFile(path, 'utf8')))
    : []
  const known = new Map(recorded.map((it) => [nameOf(it), it]))
  for (const it of await readRuns(join(CACHE, key), plan))
    known.set(nameOf(it), { ...it, losses: it.losses.map((loss) => Number(loss.toFixed(DIGITS))) })
  if (known.size > recorded.length) {
    await mkdir(FOLDER, { recursive: true })
    const lines = [...known.values()].map((it) => JSON.stringify(it))
    await writeFile(path, `[\n${lines.join(',\n')}\n]\n`)
  }
  const [subsets, seeds] = [new Set(plan.subsets.map(({ name }) => name)), new Set(plan.seeds)]
  return [...known.values()].filter(({ subset, seed }) => subsets.has(subset) && seeds.has(seed))
}

/** Makes the runs of a plan that are not known, in two processes. */
export async function retrainMissing(
  { name, data, key }: { name: DatasetName; data: string; key: string },
  plan: TruthPlan,
): Promise<void> {
  const known = new Set((await knownRuns(key, plan)).map(nameOf))
  const isMissing = (subset: string) =>
    plan.seeds.some((seed) => !known.has(nameOf({ subset, seed })))
  const missing = { ...plan, subsets: plan.subsets.filter((subset) => isMissing(subset.name)) }
  if (missing.subsets.length === 0) return
  const work = Array.from({ length: WORKERS }, async (_, worker) => {
    const child = fork(new URL('retrain.ts', import.meta.url))
    const order = { name, data, cache: CACHE, plan: missing, worker, workers: WORKERS }
    child.send(order satisfies RetrainOrder)
    const code = await new Promise((resolve) => child.once('exit', resolve))
    if (code !== 0) throw new Error(`retraining ${name} ended with ${String(code)}`)
  })
  await Promise.all(work)
}
