// The base model inside a program: its parameters as inputs (trained), or attached once (frozen), whose matrices may be
// quantized.
import { linear, quantizedLinear } from '../autodiff/ops.ts'
import type { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import type { LlamaParts } from '../models/llama.ts'
import { modulesOf, parameterDims } from '../models/parameters.ts'
import { QUANT_BLOCK, packedName, quantBits, quantDims, scalesName } from '../quant.ts'
import type { WeightFormat } from '../quant.ts'
import type { SessionOptions } from '../session.ts'
import { declareHeld, declareInputs, declareWeights } from './sequence.ts'
import type { Lookup } from './sequence.ts'

export type BaseModel = Pick<LlamaParts, 'parameter' | 'product'>

/** Parameters that change from run to run: the runtime reads inputs in place. */
export const trainedModel = (tape: Tape, config: LlamaConfig): BaseModel =>
  dense(tape, declareInputs(tape.graph, parameterDims(config)))

/** `attached`: the runtime copies the weights when the session opens. `held`: it reads float32 ones where they are. */
export type WeightPlace = 'attached' | 'held'

/** Where a provider can have the weights: only the CPU's reads them in place, a device needs its own. */
export const placeOf = ({ provider = 'cpu' }: SessionOptions): WeightPlace =>
  provider === 'cpu' ? 'held' : 'attached'

/** Of products with quantized matrices: as they are, or rounded to 8 bits per block of 32. */
export type Activations = 'exact' | 'rounded'

/**
 * Parameters given once, when the session opens. Products of quantized matrices with rounded activations are 0.5 % off and,
 * on CPU and at one row, two to three times as fast; WebGPU computes them exactly whatever is asked.
 */
export function frozenModel(
  tape: Tape,
  config: LlamaConfig,
  format: WeightFormat,
  {
    activations = 'exact',
    place = 'attached',
  }: { readonly activations?: Activations; readonly place?: WeightPlace } = {},
): BaseModel {
  const g = tape.graph
  const declare = place === 'held' ? declareHeld : declareWeights
  if (format === 'f32') return dense(tape, declare(g, parameterDims(config)))
  const modules = modulesOf(config)
  const others = new Map(parameterDims(config))
  for (const { name } of modules) others.delete(`${name}.weight`)
  const parameter = declare(g, others)
  const matrices = new Map(
    modules.map(({ name, inDim, outDim }) => {
      const weight = `${name}.weight`
      const dims = quantDims(format, outDim, inDim)
      return [
        name,
        {
          packed: g.initializers.weight(packedName(weight), dims.packed, 'uint8'),
          scales: g.initializers.weight(scalesName(weight), dims.scales),
          bits: quantBits(format),
          block: QUANT_BLOCK,
        },
      ]
    }),
  )
  return {
    parameter,
    product: (module, x, plus) => {
      const matrix = matrices.get(module)
      if (!matrix) throw new Error(`the model has no module "${module}"`)
      return quantizedLinear(tape, x, matrix, { plus, activations })
    },
  }
}

const dense = (tape: Tape, parameter: Lookup): BaseModel => ({
  parameter,
  product: (module, x, plus) => linear(tape, x, parameter(`${module}.weight`), { plus }),
})
