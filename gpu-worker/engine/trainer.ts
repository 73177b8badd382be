// A training step: one run of the `train` program on a batch, with the trained tensors fed in place.
import type { Batch } from './batch.ts'
import type { LlamaConfig } from './models/config.ts'
import { dropoutFeeds } from './programs/dropout.ts'
import type { Draw } from './programs/dropout.ts'
import { GRADIENT_PREFIX, trainProgram } from './programs/train.ts'
import type { Trainable, TrainOptions } from './programs/train.ts'
import { openSession } from './session.ts'
import type { SessionOptions } from './session.ts'
import { requireTensor } from './tensor.ts'
import type { HostTensor, ParameterMap, TensorMap } from './tensor.ts'

export type Step = {
  readonly loss: number
  readonly nll: Float32Array // of every target, in the batch's order
  readonly gradients: ReadonlyMap<string, HostTensor>
}

export type Trainer = {
  /**
   * Loss and gradients at `trained`, the current parameters or adapter; nothing is updated. `draw` decides what an
   * adapter's dropout hides: equal draws hide the same.
   */
  readonly gradients: (batch: Batch, trained: TensorMap, draw?: Draw) => Promise<Step>
  readonly release: () => Promise<void>
}

export type TrainerOptions = SessionOptions & TrainOptions

/**
 * Opens the `train` program. `frozen` are the model's parameters when an adapter is trained, in the options' format, and
 * unused otherwise.
 */
export async function openTrainer(
  config: LlamaConfig,
  trainable: Trainable,
  frozen: ParameterMap = new Map(),
  { format, recompute, place, ...options }: TrainerOptions = {},
): Promise<Trainer> {
  const session = await openSession(
    trainProgram(config, trainable, { format, recompute, place }),
    frozen,
    options,
  )
  return {
    gradients: async (batch, trained, draw = { seed: 0, step: 0 }) => {
      const hidden =
        trainable === 'parameters' ? {} : dropoutFeeds(config, trainable, rowsOf(batch), draw)
      const tensors = Object.fromEntries(trained)
      const outputs = await session.run({ ...batch.feeds, ...tensors, ...hidden })
      const gradients = new Map<string, HostTensor>()
      for (const name of trained.keys()) {
        gradients.set(name, requireTensor(outputs, `${GRADIENT_PREFIX}${name}`))
      }
      const loss = requireTensor(outputs, 'loss').data[0] ?? Number.NaN
      return { loss, nll: requireTensor(outputs, 'nll').data, gradients }
    },
    release: session.release,
  }
}

/** B * T of a batch. */
const rowsOf = ({ feeds }: Batch): number => feeds['tokens']?.data.length ?? 0
