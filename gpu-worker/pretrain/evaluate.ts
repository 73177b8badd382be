/** Held-out loss: how well the model predicts documents it was not trained on. */
import type { Batch } from '#engine/batch.ts'
import type { LlamaConfig } from '#engine/models/config.ts'
import { evaluateProgram } from '#engine/programs/train.ts'
import { openSession } from '#engine/session.ts'
import { requireTensor, type TensorMap } from '#engine/tensor.ts'
import type { Domain } from './sources.ts'

/** Mean loss per predicted token, in nats. A domain without held-out documents is absent. */
export type HeldOutLoss = Readonly<Partial<Record<Domain, number>>>

/** Evaluates `parameters` on at most `maxBatches` held-out batches of each domain. */
export async function evaluate(
  config: LlamaConfig,
  parameters: TensorMap,
  heldOut: ReadonlyMap<Domain, readonly Batch[]>,
  maxBatches: number,
): Promise<HeldOutLoss> {
  const session = await openSession(evaluateProgram(config), parameters)
  const losses: Partial<Record<Domain, number>> = {}
  for (const [domain, batches] of heldOut) {
    let sum = 0
    let count = 0
    for (const { feeds, targetCount } of batches.slice(0, maxBatches)) {
      const nll = requireTensor(await session.run(feeds), 'nll').data
      sum = nll.reduce((total, value) => total + value, sum)
      count += targetCount
    }
    if (count > 0) losses[domain] = sum / count
  }
  await session.release()
  return losses
}
