/** The loss and gradients of one optimizer step, from one batch or accumulated over several. */
import { accumulate, zerosLike, type TensorMap } from '#engine/tensor.ts'
import type { Trainer } from '#engine/trainer.ts'
import { toBatch } from './batches.ts'
import type { Example } from './examples.ts'

export type StepGradients = {
  /** Mean cross-entropy per target token over all batches, in nats. */
  loss: number
  gradients: TensorMap
}

/**
 * Gradients of the mean loss over the targets of all batches together: a batch counts by its targets, so the step is
 * the one that a single large batch would take. What dropout hides follows from (seed, step) alone.
 */
export async function accumulateGradients(
  trainer: Trainer,
  adapter: TensorMap,
  batches: readonly (readonly Example[])[],
  { seed, step }: { seed: number; step: number },
): Promise<StepGradients> {
  const packed = batches.map(toBatch)
  const targets = packed.reduce((n, { targetCount }) => n + targetCount, 0)
  let loss = 0
  const gradients = zerosLike(adapter)
  for (const [i, batch] of packed.entries()) {
    const found = await trainer.gradients(batch, adapter, { seed, step: step + i })
    if (packed.length === 1) return found
    const share = batch.targetCount / targets
    loss += share * found.loss
    accumulate(gradients, found.gradients, share)
  }
  return { loss, gradients }
}
