// The training program: loss and gradients of a packed batch, for all parameters or for a LoRA adapter; and `evaluate`,
// the same loss without the backward pass.
import { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import { adapterDims } from '../models/lora.ts'
import type { LoraConfig } from '../models/lora.ts'
import { parameterDims } from '../models/parameters.ts'
import { Graph } from '../onnx/graph.ts'
import type { WeightFormat } from '../quant.ts'
import { frozenModel, trainedModel } from './base.ts'
import type { WeightPlace } from './base.ts'
import { dropout } from './dropout.ts'
import { sealProgram } from './program.ts'
import type { Program } from './program.ts'
import { adaptWith, declareInputs, sequenceLoss, withoutAdapter } from './sequence.ts'

/** What is trained: every parameter, or an adapter on frozen parameters. */
export type Trainable = 'parameters' | LoraConfig

export type TrainOptions = {
  /** Format of the frozen base under an adapter, float32 when absent (QLoRA, Dettmers et al. 2023, when quantized). */
  readonly format?: WeightFormat
  /** Computes every layer twice and keeps only its input: about a third more time for a fraction of the memory. */
  readonly recompute?: boolean
  /** Where the frozen base under an adapter lies; attached when absent. Only the CPU provider can read it in place. */
  readonly place?: WeightPlace
}

/** Prefix of the outputs that hold gradients; the rest is the trained tensor's name. */
export const GRADIENT_PREFIX = 'gradient/'

/**
 * Compiles `train`. Inputs: tokens, segments, positions int32 [B, T]; rows, labels int32 [M]; weights float32 [M]; and
 * the trained tensors by name; with dropout also what `dropoutFeeds` draws. Outputs: `loss` [] = Σ weights nll, `nll` [M, 1], and `gradient/NAME` per trained tensor.
 */
export function trainProgram(
  config: LlamaConfig,
  trainable: Trainable,
  { format = 'f32', recompute = false, place = 'attached' }: TrainOptions = {},
): Program {
  const g = new Graph('train')
  const tape = new Tape(g)
  const isAdapter = trainable !== 'parameters'
  const trainedDims = isAdapter ? adapterDims(config, trainable) : parameterDims(config)
  const base = isAdapter ? frozenModel(tape, config, format, { place }) : trainedModel(tape, config)
  const trained = isAdapter ? declareInputs(g, trainedDims) : base.parameter
  const adapt = isAdapter
    ? adaptWith(tape, trainable, trained, { hide: dropout(tape, config, trainable) })
    : withoutAdapter

  const { loss, nll } = sequenceLoss(tape, config, { ...base, adapt, recompute })
  const names = [...trainedDims.keys()]
  const gradients = tape.gradients(loss, names.map(trained))
  g.output('loss', loss)
  g.output('nll', nll)
  gradients.forEach((gradient, i) => g.output(`${GRADIENT_PREFIX}${names[i]}`, gradient))
  return sealProgram('train', g, config, { trainable, format, recompute, place })
}

/**
 * Compiles `evaluate`: the inputs and the `loss` and `nll` outputs of `train`, no gradients. With a LoRA config the
 * adapter's tensors are inputs; the parameters are attached when the session opens.
 */
export function evaluateProgram(
  config: LlamaConfig,
  lora: LoraConfig | null = null,
  { format = 'f32', place = 'attached' }: Omit<TrainOptions, 'recompute'> = {},
): Program {
  const g = new Graph('evaluate')
  const tape = new Tape(g)
  const base = frozenModel(tape, config, format, { place })
  const adapt = lora
    ? adaptWith(tape, lora, declareInputs(g, adapterDims(config, lora)))
    : withoutAdapter
  const { loss, nll } = sequenceLoss(tape, config, { ...base, adapt })
  g.output('loss', loss)
  g.output('nll', nll)
  return sealProgram('evaluate', g, config, { lora, format, place })
}
