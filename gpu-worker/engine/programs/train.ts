// The training program: loss and gradients of a packed batch, for all parameters or for a LoRA adapter; and `evaluate`,
// the same loss without the backward pass.
import { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import { adapterDims } from '../models/lora.ts'
import type { LoraConfig } from '../models/lora.ts'
import { parameterDims } from '../models/parameters.ts'
import { Graph } from '../onnx/graph.ts'
import { sealProgram } from './program.ts'
import type { Program } from './program.ts'
import {
  adaptWith,
  declareInputs,
  declareWeights,
  sequenceLoss,
  withoutAdapter,
} from './sequence.ts'

/** What is trained: every parameter, or an adapter on frozen parameters. */
export type Trainable = 'parameters' | LoraConfig

/** Prefix of the outputs that hold gradients; the rest is the trained tensor's name. */
export const GRADIENT_PREFIX = 'gradient/'

/**
 * Compiles `train`. Inputs: tokens, segments, positions int32 [B, T]; rows, labels int32 [M]; weights float32 [M]; and
 * the trained tensors by name. Outputs: `loss` [] = Σ weights nll, `nll` [M, 1], and `gradient/NAME` per trained tensor.
 */
export function trainProgram(config: LlamaConfig, trainable: Trainable): Program {
  const g = new Graph('train')
  const tape = new Tape(g)
  const trainsAll = trainable === 'parameters'
  // What is trained changes at every step, so it is an input: the runtime reads inputs in place.
  const trainedDims = trainsAll ? parameterDims(config) : adapterDims(config, trainable)
  const trained = declareInputs(g, trainedDims)
  const parameter = trainsAll ? trained : declareWeights(g, parameterDims(config))
  const adapt = trainsAll ? withoutAdapter : adaptWith(tape, trainable, trained)

  const { loss, nll } = sequenceLoss(tape, config, { parameter, adapt })
  const names = [...trainedDims.keys()]
  const gradients = tape.gradients(loss, names.map(trained))
  g.output('loss', loss)
  g.output('nll', nll)
  gradients.forEach((gradient, i) => g.output(`${GRADIENT_PREFIX}${names[i]}`, gradient))
  return sealProgram('train', g, config, { trainable })
}

/**
 * Compiles `evaluate`: the inputs and the `loss` and `nll` outputs of `train`, no gradients. With a LoRA config the
 * adapter's tensors are inputs; the parameters are attached when the session opens.
 */
export function evaluateProgram(config: LlamaConfig, lora: LoraConfig | null = null): Program {
  const g = new Graph('evaluate')
  const tape = new Tape(g)
  const parameter = declareWeights(g, parameterDims(config))
  const adapt = lora
    ? adaptWith(tape, lora, declareInputs(g, adapterDims(config, lora)))
    : withoutAdapter
  const { loss, nll } = sequenceLoss(tape, config, { parameter, adapt })
  g.output('loss', loss)
  g.output('nll', nll)
  return sealProgram('evaluate', g, config, { lora })
}
