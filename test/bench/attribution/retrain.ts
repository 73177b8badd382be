/** One process of the retraining behind `bench:attribution`: DATASET DATA CACHE WORKER WORKERS SUBSETS SEEDS. */
import { join } from 'node:path'
import { z } from 'zod'
import { loadBaseModel } from '#gpu-worker/base-model.ts'
import { DATASETS, loadTask, TASK_SIZE } from './datasets.ts'
import { METHOD, planKey, retrain, seedsOf } from './retraining.ts'

const count = z.coerce.number().int().nonnegative()
const [name, data, cache, worker, workers, subsets, seeds] = z
  .tuple([z.enum(DATASETS), z.string(), z.string(), count, count, count, count])
  .parse(process.argv.slice(2))

const base = await loadBaseModel('gpu-worker/models/openledger-5m')
const task = await loadTask(name, data, base.tokenizer, TASK_SIZE)
const plan = { subsets, seeds: seedsOf(seeds), method: METHOD }
await retrain(
  join(cache, planKey(task, base)),
  { base, task, plan },
  { worker, workers },
  ({ subset, seed }) => process.stderr.write(`${name}: subset ${subset}, seed ${seed}\n`),
)
