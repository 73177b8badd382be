/** One process of the retraining behind `bench:attribution`; the parent sends its RetrainOrder. */
import { once } from 'node:events'
import { join } from 'node:path'
import { loadBaseModel } from '#gpu-worker/base-model.ts'
import { loadTask, TASK_SIZE } from './datasets.ts'
import { planKey, retrain } from './retraining.ts'
import type { RetrainOrder } from './truth.ts'

const [order] = (await once(process, 'message')) as [RetrainOrder]
const { name, data, cache, plan, worker, workers } = order
const base = await loadBaseModel('gpu-worker/models/openledger-5m')
const task = await loadTask(name, data, base.tokenizer, TASK_SIZE)
await retrain(
  join(cache, planKey(task, base)),
  { base, task, plan },
  { worker, workers },
  ({ subset, seed }) => process.stderr.write(`${name}: ${subset}, seed ${seed}\n`),
)
process.disconnect()
