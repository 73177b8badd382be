/** The frozen base in the format that a job trains on: training, validation and attribution must see the same numbers. */
import type { LlamaConfig } from '#engine/models/config.ts'
import { quantizeParameters, type WeightFormat } from '#engine/quant.ts'
import type { ParameterMap, TensorMap } from '#engine/tensor.ts'
import type { LoraMethod } from '#protocol/wire.ts'

/** The engine's name for a job's `quantization`. */
export const formatOf = ({ quantization }: Pick<LoraMethod, 'quantization'>) =>
  quantization === 'none' ? 'f32' : quantization

/** A base's parameters in a format; float32 ones are shared, not copied. Throws where a layer cannot be quantized. */
export const inFormat = (
  { config, parameters }: { config: LlamaConfig; parameters: TensorMap },
  format: WeightFormat,
): ParameterMap => (format === 'f32' ? parameters : quantizeParameters(config, parameters, format))
