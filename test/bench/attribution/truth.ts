/** Retrainings on record: those in the cache together with those committed, so that the table can be made without an hour of training. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readRuns, type Run, type TruthPlan } from './retraining.ts'

const FOLDER = new URL('truth/', import.meta.url).pathname
const truthFile = z.array(z.object({ subset: z.int(), seed: z.int(), losses: z.array(z.number()) }))
const DIGITS = 6

const nameOf = ({ subset, seed }: Run) => `${subset}-${seed}`

/** All runs known of a plan; writes new ones down. */
export async function knownRuns(key: string, cache: string, plan: TruthPlan): Promise<Run[]> {
  const path = join(FOLDER, `${key}.json`)
  const recorded = existsSync(path) ? truthFile.parse(JSON.parse(await readFile(path, 'utf8'))) : []
  const known = new Map(recorded.map((run) => [nameOf(run), run]))
  for (const run of await readRuns(join(cache, key), plan)) {
    const losses = run.losses.map((loss) => Number(loss.toFixed(DIGITS)))
    known.set(nameOf(run), { ...run, losses })
  }
  const runs = [...known.values()].toSorted((a, b) => a.seed - b.seed || a.subset - b.subset)
  if (runs.length > recorded.length) {
    await mkdir(FOLDER, { recursive: true })
    await writeFile(path, `[\n${runs.map((run) => JSON.stringify(run)).join(',\n')}\n]\n`)
  }
  return runs
}
