// Low-rank adapters (Hu et al. 2021): y = W x + (alpha / r) B A x on chosen linear layers.
// Inside the engine B is kept as [r, out]: its gradient is then one fast product of tall matrices. PEFT files hold [out, r].
import { randomSource, uniform } from '../random.ts'
import { requireTensor } from '../tensor.ts'
import type { HostTensor, TensorMap } from '../tensor.ts'
import type { LlamaConfig } from './config.ts'
import { LINEAR_LAYERS, modulesOf } from './parameters.ts'
import type { LinearLayer } from './parameters.ts'

export type LoraConfig = {
  readonly rank: number
  readonly alpha: number
  readonly targets: readonly LinearLayer[]
  /** Ranks and alphas that differ, by the end of a module's path (`q_proj`, `layers.3.mlp.up_proj`); the first fits. */
  readonly ranks?: Readonly<Record<string, number>>
  readonly alphas?: Readonly<Record<string, number>>
  /** Scale alpha / sqrt(r) instead of alpha / r (Kalajdzievski 2023, rsLoRA). */
  readonly rslora?: boolean
  /** Probability that training hides an input feature of a token from an adapter; nothing else reads it. */
  readonly dropout?: number
}

/** All seven linear layers, alpha = 2 r. */
export const loraConfig = (
  rank: number,
  alpha = 2 * rank,
  targets: readonly LinearLayer[] = LINEAR_LAYERS,
): LoraConfig => ({
  rank,
  alpha,
  targets: LINEAR_LAYERS.filter((linear) => targets.includes(linear)),
})

function ofModule(module: string, pattern: LoraConfig['ranks'], otherwise: number): number {
  const found = Object.entries(pattern ?? {}).find(([end]) => `.${module}`.endsWith(`.${end}`))
  return found?.[1] ?? otherwise
}

/** The rank r of a module's factors. */
export const loraRank = (lora: LoraConfig, module: string): number =>
  ofModule(module, lora.ranks, lora.rank)

/** What a module's B A is multiplied by. */
export function loraScale(lora: LoraConfig, module: string): number {
  const rank = loraRank(lora, module)
  return ofModule(module, lora.alphas, lora.alpha) / (lora.rslora ? Math.sqrt(rank) : rank)
}

export const loraA = (module: string): string => `${module}.lora_A`
export const loraB = (module: string): string => `${module}.lora_B`

/** Names and dims of an adapter's tensors: A [r, in], B [r, out]. */
export function adapterDims(
  config: LlamaConfig,
  lora: LoraConfig,
): ReadonlyMap<string, readonly number[]> {
  return new Map(
    modulesOf(config, lora.targets).flatMap(
      ({ name, inDim, outDim }): [string, readonly number[]][] => [
        [loraA(name), [loraRank(lora, name), inDim]],
        [loraB(name), [loraRank(lora, name), outDim]],
      ],
    ),
  )
}

/** A fresh adapter that changes nothing yet: A uniform in ±1/sqrt(in) (PEFT's Kaiming initialisation), B zero. */
export function initialAdapter(
  config: LlamaConfig,
  lora: LoraConfig,
  seed: number,
): Map<string, HostTensor> {
  const random = randomSource(seed)
  const adapter = new Map<string, HostTensor>()
  for (const { name, inDim, outDim } of modulesOf(config, lora.targets)) {
    const rank = loraRank(lora, name)
    const a = new Float32Array(rank * inDim)
    uniform(random, a, 1 / Math.sqrt(inDim))
    adapter.set(loraA(name), { dims: [rank, inDim], data: a })
    adapter.set(loraB(name), { dims: [rank, outDim], data: new Float32Array(rank * outDim) })
  }
  return adapter
}

export const PEFT_PREFIX = 'base_model.model.'

/** The tensors of PEFT's `adapter_model.safetensors`: lora_A.weight [r, in], lora_B.weight [out, r]. */
export function toPeft(adapter: TensorMap): Map<string, HostTensor> {
  return new Map(
    [...adapter].map(([name, tensor]) => [
      `${PEFT_PREFIX}${name}.weight`,
      name.endsWith('.lora_B') ? transposed(tensor) : tensor,
    ]),
  )
}

/** The inverse of `toPeft`. Throws an Error when tensors are missing, unknown or of the wrong shape. */
export function fromPeft(
  config: LlamaConfig,
  lora: LoraConfig,
  file: TensorMap,
): Map<string, HostTensor> {
  const expected = adapterDims(config, lora)
  const known = new Set([...expected.keys()].map((name) => `${PEFT_PREFIX}${name}.weight`))
  const unknown = [...file.keys()].find((name) => !known.has(name))
  if (unknown !== undefined) throw new Error(`the adapter has an unexpected tensor "${unknown}"`)
  return new Map(
    [...expected].map(([name, dims]) => {
      const found = requireTensor(file, `${PEFT_PREFIX}${name}.weight`)
      const tensor = name.endsWith('.lora_B') ? transposed(found) : found
      if (tensor.dims.join() !== dims.join()) {
        throw new Error(`${name} has dims [${tensor.dims}], expected [${dims}]`)
      }
      return [name, tensor]
    }),
  )
}

/** Parameters with the adapter folded in. Tensors that no adapter touches are shared, not copied. */
export function mergeAdapter(
  config: LlamaConfig,
  parameters: TensorMap,
  lora: LoraConfig,
  adapter: TensorMap,
): Map<string, HostTensor> {
  const merged = new Map(parameters)
  for (const { name } of modulesOf(config, lora.targets)) {
    const weight = `${name}.weight`
    merged.set(weight, mergedWeight(name, requireTensor(parameters, weight), lora, adapter))
  }
  return merged
}

/** A module's weight with the adapter folded in: W + scale B A, [out, in]. */
export function mergedWeight(
  module: string,
  { dims, data }: HostTensor,
  lora: LoraConfig,
  adapter: TensorMap,
): HostTensor {
  const [outDim = 0, inDim = 0] = dims
  const rank = loraRank(lora, module)
  const scale = loraScale(lora, module)
  const a = requireTensor(adapter, loraA(module)).data
  const b = requireTensor(adapter, loraB(module)).data
  const merged = data.slice()
  for (let o = 0; o < outDim; o++) {
    for (let r = 0; r < rank; r++) {
      const factor = scale * (b[r * outDim + o] as number)
      for (let i = 0; i < inDim; i++)
        merged[o * inDim + i] =
          (merged[o * inDim + i] as number) + factor * (a[r * inDim + i] as number)
    }
  }
  return { dims, data: merged }
}

/** A matrix [rows, columns] as [columns, rows]. */
export function transposed({ dims, data }: HostTensor): HostTensor {
  const [rows = 1, columns = 1] = dims
  const out = new Float32Array(data.length)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = data[row * columns + column] ?? 0
    }
  }
  return { dims: [columns, rows], data: out }
}
