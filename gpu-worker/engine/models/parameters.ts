// Names and shapes of a Llama model's parameters, as Hugging Face files have them, and their random initialisation.
import { gaussian, randomSource } from '../random.ts'
import type { HostTensor } from '../tensor.ts'
import type { LlamaConfig } from './config.ts'

/** The linear layers of one block, in the order they are computed. */
export const LINEAR_LAYERS = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
] as const

export type LinearLayer = (typeof LINEAR_LAYERS)[number]

/** The linear layers by the activations they read: those of one list read the same. */
export const SAME_INPUT: readonly (readonly LinearLayer[])[] = [
  ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  ['self_attn.o_proj'],
  ['mlp.gate_proj', 'mlp.up_proj'],
  ['mlp.down_proj'],
]

/** A linear layer of the model, by its Hugging Face path: `model.layers.3.mlp.up_proj`. */
export type Module = {
  readonly name: string
  readonly layer: number
  readonly linear: LinearLayer
  readonly inDim: number
  readonly outDim: number
}

export const EMBEDDING = 'model.embed_tokens.weight'
export const FINAL_NORM = 'model.norm.weight'
export const LM_HEAD = 'lm_head.weight'

export const blockName = (layer: number): string => `model.layers.${layer}`

/** The projections that carry a bias in models that have one. */
const BIASED_LAYERS: readonly LinearLayer[] = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
]

/** Whether `linear` adds a bias, `NAME.bias` [out]. */
export const hasBias = (config: LlamaConfig, linear: LinearLayer): boolean =>
  config.qkvBias && BIASED_LAYERS.includes(linear)

/** [in, out] of a linear layer. */
function linearDims(config: LlamaConfig, linear: LinearLayer): readonly [number, number] {
  const { hidden, ffn, headDim } = config
  const q = config.heads * headDim
  const kv = config.kvHeads * headDim
  const dims = {
    'self_attn.q_proj': [hidden, q],
    'self_attn.k_proj': [hidden, kv],
    'self_attn.v_proj': [hidden, kv],
    'self_attn.o_proj': [q, hidden],
    'mlp.gate_proj': [hidden, ffn],
    'mlp.up_proj': [hidden, ffn],
    'mlp.down_proj': [ffn, hidden],
  } as const satisfies Record<LinearLayer, readonly [number, number]>
  return dims[linear]
}

/** The modules of the given kinds, block by block. */
export function modulesOf(
  config: LlamaConfig,
  kinds: readonly LinearLayer[] = LINEAR_LAYERS,
): readonly Module[] {
  return Array.from({ length: config.layers }, (_, layer) =>
    LINEAR_LAYERS.filter((linear) => kinds.includes(linear)).map((linear) => {
      const [inDim, outDim] = linearDims(config, linear)
      return { name: `${blockName(layer)}.${linear}`, layer, linear, inDim, outDim }
    }),
  ).flat()
}

/** Whether a module, by its path, is a layer of one of these kinds. */
export const isTarget = (module: string, kinds: readonly LinearLayer[]): boolean =>
  kinds.some((kind) => module.endsWith(`.${kind}`))

/** Every parameter's name and dims; linear weights are [out, in]. */
export function parameterDims(config: LlamaConfig): ReadonlyMap<string, readonly number[]> {
  const { hidden, vocab } = config
  const dims = new Map<string, readonly number[]>([[EMBEDDING, [vocab, hidden]]])
  for (let layer = 0; layer < config.layers; layer++) {
    dims.set(`${blockName(layer)}.input_layernorm.weight`, [hidden])
    dims.set(`${blockName(layer)}.post_attention_layernorm.weight`, [hidden])
    if (!config.qkNorm) continue
    dims.set(`${blockName(layer)}.self_attn.q_norm.weight`, [config.headDim])
    dims.set(`${blockName(layer)}.self_attn.k_norm.weight`, [config.headDim])
  }
  for (const { name, linear, inDim, outDim } of modulesOf(config)) {
    dims.set(`${name}.weight`, [outDim, inDim])
    if (hasBias(config, linear)) dims.set(`${name}.bias`, [outDim])
  }
  dims.set(FINAL_NORM, [hidden])
  if (!config.tied) dims.set(LM_HEAD, [vocab, hidden])
  return dims
}

/**
 * Random parameters: norms at one, biases zero, matrices normal with the config's deviation, the two projections that write to the
 * residual stream divided by sqrt(2 layers) (Radford et al. 2019, GPT-2, section 2.3). The same seed gives the same bits.
 */
export function initialParameters(config: LlamaConfig, seed: number): Map<string, HostTensor> {
  const random = randomSource(seed)
  const residual = config.initializerRange / Math.sqrt(2 * config.layers)
  const parameters = new Map<string, HostTensor>()
  for (const [name, dims] of parameterDims(config)) {
    const data = new Float32Array(dims.reduce((product, dim) => product * dim, 1))
    const writesResidual = name.endsWith('o_proj.weight') || name.endsWith('down_proj.weight')
    if (dims.length === 1) data.fill(name.endsWith('.bias') ? 0 : 1)
    else gaussian(random, data, writesResidual ? residual : config.initializerRange)
    parameters.set(name, { dims, data })
  }
  return parameters
}
