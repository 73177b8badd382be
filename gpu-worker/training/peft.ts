/** Adapters as Hugging Face PEFT stores them: adapter_config.json and adapter_model.safetensors. */
import { z } from 'zod'
import type { Adapter } from '#engine/adapter-pack.ts'
import type { LlamaConfig } from '#engine/models/config.ts'
import { fromPeft, toPeft } from '#engine/models/lora.ts'
import { LINEAR_LAYERS } from '#engine/models/parameters.ts'
import { readSafetensors, writeSafetensors } from '#engine/safetensors.ts'
import { canonicalJson, sha256Hex, type Hex } from '#protocol/bytes.ts'
import { adapterDigest } from '#protocol/model.ts'

export type PeftFiles = { weights: Uint8Array; config: Uint8Array }

/** The name of a layer in `target_modules`: the last part of its path. */
const moduleName = (layer: string): string => layer.slice(layer.lastIndexOf('.') + 1)

/**
 * The part of PEFT's configuration that changes what the adapter computes. Whatever else would change it is refused:
 * a half-understood adapter answers as a different model.
 */
const peftConfig = z.object({
  peft_type: z.literal('LORA'),
  r: z.int().min(1),
  lora_alpha: z.number().positive(),
  target_modules: z.array(z.enum(LINEAR_LAYERS.map(moduleName))).min(1),
  bias: z.literal('none').default('none'),
  fan_in_fan_out: z.literal(false).default(false),
  use_rslora: z.literal(false).default(false),
  use_dora: z.literal(false).default(false),
  modules_to_save: z.null().default(null),
  layers_to_transform: z.null().default(null),
  rank_pattern: z.record(z.string(), z.never()).default({}),
  alpha_pattern: z.record(z.string(), z.never()).default({}),
  init_lora_weights: z.union([z.boolean(), z.literal('gaussian')]).default(true),
})

/** PEFT's two files of an adapter; equal adapters have equal bytes. The configuration is canonical JSON. */
export function exportPeft({ lora, tensors }: Adapter, baseName: string): PeftFiles {
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: baseName,
    inference_mode: true,
    r: lora.rank,
    lora_alpha: lora.alpha,
    lora_dropout: 0,
    target_modules: lora.targets.map(moduleName),
    bias: 'none',
    fan_in_fan_out: false,
    use_rslora: false,
    use_dora: false,
    modules_to_save: null,
    init_lora_weights: true,
  }
  return {
    weights: writeSafetensors(toPeft(tensors)),
    config: new TextEncoder().encode(canonicalJson(config)),
  }
}

/** Reads PEFT's two files for a base model; throws an Error that names what the engine does not compute. */
export function importPeft(base: LlamaConfig, files: PeftFiles): Adapter {
  const parsed = peftConfig.safeParse(JSON.parse(new TextDecoder().decode(files.config)))
  if (!parsed.success)
    throw new Error(`unsupported adapter_config.json: ${z.prettifyError(parsed.error)}`)
  const { r, lora_alpha, target_modules } = parsed.data
  const lora = {
    rank: r,
    alpha: lora_alpha,
    targets: LINEAR_LAYERS.filter((layer) => target_modules.includes(moduleName(layer))),
  }
  return { lora, tensors: fromPeft(base, lora, readSafetensors(files.weights)) }
}

/** The digest that is on chain. */
export function digestOfFiles({ weights, config }: PeftFiles, base: Hex): Hex {
  const canonical = canonicalJson(JSON.parse(new TextDecoder().decode(config)))
  return adapterDigest({ weights: sha256Hex(weights), config: sha256Hex(canonical), base })
}
