// Adapters for other programs: folded into a whole model, or as a GGUF adapter that llama.cpp loads beside its own copy
// of the base (llama.cpp's convert_lora_to_gguf.py). PEFT's own files are `peft.ts` and `toPeft`.
import type { Adapter } from '../adapter-pack.ts'
import { writeGguf } from '../gguf.ts'
import { safetensorsParts } from '../safetensors.ts'
import type { SafetensorsParts, StoredDType } from '../safetensors.ts'
import { requireTensor } from '../tensor.ts'
import type { HostTensor, TensorMap } from '../tensor.ts'
import type { LlamaConfig } from './config.ts'
import { loraA, loraB, loraRank, loraScale, mergedWeight, transposed } from './lora.ts'
import { modulesOf, parameterDims } from './parameters.ts'
import type { LinearLayer, Module } from './parameters.ts'

/**
 * `model.safetensors` of the model with the adapter folded in, made tensor by tensor; the base's config.json and tokenizer
 * stay as they are.
 */
export function exportMerged(
  config: LlamaConfig,
  parameters: TensorMap,
  { lora, tensors }: Adapter,
  dtype: StoredDType = 'BF16',
): SafetensorsParts {
  const adapted = new Map(
    modulesOf(config, lora.targets).map(({ name }) => [`${name}.weight`, name]),
  )
  const one = (name: string): HostTensor => {
    const tensor = requireTensor(parameters, name)
    const module = adapted.get(name)
    return module === undefined ? tensor : mergedWeight(module, tensor, lora, tensors)
  }
  return safetensorsParts(parameterDims(config), one, dtype)
}

const GGUF_LAYER = {
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
} as const satisfies Record<LinearLayer, string>

/** llama.cpp's name of the model's kind; Mistral and SmolLM2 are `llama` there. */
function ggufArchitecture({ qkvBias, qkNorm }: LlamaConfig): 'llama' | 'qwen2' | 'qwen3' {
  if (qkvBias) return 'qwen2'
  return qkNorm ? 'qwen3' : 'llama'
}

/** A GGUF adapter in float32. llama.cpp scales every module by alpha / r; what differs from that is folded into B. */
export function exportGgufAdapter(config: LlamaConfig, { lora, tensors }: Adapter): Uint8Array {
  const architecture = ggufArchitecture(config)
  const written = new Map<string, HostTensor>()
  for (const module of modulesOf(config, lora.targets)) {
    const name = ggufName(module)
    const b = transposed(requireTensor(tensors, loraB(module.name))) // [out, r]
    const factor = loraScale(lora, module.name) / (lora.alpha / loraRank(lora, module.name))
    const scaled = factor === 1 ? b : { dims: b.dims, data: b.data.map((x) => factor * x) }
    written.set(`${name}.lora_a`, requireTensor(tensors, loraA(module.name)))
    written.set(`${name}.lora_b`, ggufRows(config, module, scaled))
  }
  return writeGguf(
    {
      'general.architecture': { string: architecture },
      'general.type': { string: 'adapter' },
      'adapter.type': { string: 'lora' },
      'adapter.lora.alpha': { float32: lora.alpha },
    },
    written,
  )
}

/** llama.cpp's name of a linear layer's weight: `blk.3.ffn_up.weight`. */
export const ggufName = ({ layer, linear }: Module): string =>
  `blk.${layer}.${GGUF_LAYER[linear]}.weight`

/** The rows [out, ..] of a linear layer's weight or of an adapter's B, in llama.cpp's order. */
export function ggufRows(config: LlamaConfig, { linear }: Module, rows: HostTensor): HostTensor {
  if (ggufArchitecture(config) !== 'llama') return rows
  if (linear === 'self_attn.q_proj') return interleaveHalves(rows, config.heads)
  return linear === 'self_attn.k_proj' ? interleaveHalves(rows, config.kvHeads) : rows
}

/**
 * Reorders the rows of every head from halves (0, 1, .., h, h + 1, ..) to pairs (0, h, 1, h + 1, ..): llama.cpp rotates
 * neighbours where Hugging Face rotates halves.
 */
function interleaveHalves({ dims, data }: HostTensor, heads: number): HostTensor {
  const [rows = 0, width = 0] = dims
  const half = rows / heads / 2
  const out = new Float32Array(data.length)
  for (let row = 0; row < rows; row++) {
    const head = Math.floor(row / (2 * half))
    const within = row % (2 * half)
    const target = 2 * half * head + 2 * (within % half) + Math.floor(within / half)
    out.set(data.subarray(row * width, (row + 1) * width), target * width)
  }
  return { dims, data: out }
}
