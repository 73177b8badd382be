// Adapters as Hugging Face PEFT describes them in adapter_config.json. Whatever would change what the adapter computes
// and is not understood here is refused with its reason: a half-understood adapter answers as a different model.
// https://huggingface.co/docs/peft/developer_guides/checkpoint
import * as z from 'zod'
import type { Adapter } from '../adapter-pack.ts'
import type { TensorMap } from '../tensor.ts'
import type { LlamaConfig } from './config.ts'
import { PEFT_PREFIX, fromPeft } from './lora.ts'
import type { LoraConfig } from './lora.ts'
import { LINEAR_LAYERS, blockName } from './parameters.ts'
import type { LinearLayer } from './parameters.ts'

/** PEFT reads pattern keys as regular expressions; dots aside, ours must be plain path ends. */
const PathEnd = z.string().regex(/^[\w.]+$/)

const absent = (reason: string) =>
  z
    .unknown()
    .refine((value) => !value || (Array.isArray(value) && value.length === 0), reason)
    .optional()

const AdapterConfig = z.object({
  peft_type: z.literal('LORA', 'only LoRA adapters are served'),
  r: z.number().int().positive().default(8),
  lora_alpha: z.number().positive().default(8),
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().default(false),
  target_modules: z.array(z.string()).min(1),
  rank_pattern: z.record(PathEnd, z.number().int().positive()).nullish(),
  alpha_pattern: z.record(PathEnd, z.number().positive()).nullish(),
  bias: z.literal('none', 'adapters that train biases are not served').default('none'),
  // PiSSA, OLoRA, CorDA, LoftQ and EVA change the base model's weights: such an adapter is wrong on the original base.
  init_lora_weights: z
    .union(
      [z.boolean(), z.literal(['gaussian', 'orthogonal'])],
      'this initialisation changes the base weights',
    )
    .default(true),
  use_dora: absent('DoRA adapters have magnitudes that are not served'),
  modules_to_save: absent('adapters that replace whole modules are not served'),
  fan_in_fan_out: absent('weights stored as [in, out] are not served'),
  lora_bias: absent('biases on B are not served'),
  layers_to_transform: absent('adapters on chosen layers only are not served'),
  layer_replication: absent('replicated layers are not served'),
  exclude_modules: absent('excluded modules are not served'),
  target_parameters: absent('adapters on single parameters are not served'),
  trainable_token_indices: absent('trained token embeddings are not served'),
  use_qalora: absent('QA-LoRA pools its inputs, which is not served'),
  use_bdlora: absent('block-diagonal factors are not served'),
  alora_invocation_tokens: absent('adapters that wake up at a token are not served'),
})

/** An adapter, or the reason why it cannot be used. */
export type PeftImport = { readonly adapter: Adapter } | { readonly refused: string }

/**
 * Reads an adapter from PEFT's two files: adapter_config.json, parsed, and the tensors of adapter_model.safetensors
 * (pickled `.bin` files can run code: never read them). Shapes decide whether it belongs to the base model.
 */
export function importPeft(
  base: LlamaConfig,
  adapterConfig: unknown,
  tensors: TensorMap,
): PeftImport {
  const lora = parsePeftConfig(adapterConfig)
  if ('refused' in lora) return lora
  const beyond = `${PEFT_PREFIX}${blockName(base.layers)}.`
  const foreign = [...tensors.keys()].find((name) => name.startsWith(beyond))
  if (foreign) {
    return { refused: `"${foreign}" is for a deeper model; the base has ${base.layers} layers` }
  }
  try {
    return { adapter: { lora: lora.lora, tensors: fromPeft(base, lora.lora, tensors) } }
  } catch (error) {
    return { refused: error instanceof Error ? error.message : String(error) }
  }
}

/** The adapter's shape from a parsed adapter_config.json, or the reason why it cannot be used. */
export function parsePeftConfig(
  json: unknown,
): { readonly lora: LoraConfig } | { readonly refused: string } {
  const parsed = AdapterConfig.safeParse(json)
  if (!parsed.success) return { refused: z.prettifyError(parsed.error) }
  const file = parsed.data
  const unknown = file.target_modules.find((name) => layerOf(name) === undefined)
  if (unknown !== undefined) return { refused: `target module "${unknown}" is not a linear layer` }
  const targets = file.target_modules.map(layerOf)
  return {
    lora: {
      rank: file.r,
      alpha: file.lora_alpha,
      targets: LINEAR_LAYERS.filter((linear) => targets.includes(linear)),
      ...(hasEntries(file.rank_pattern) ? { ranks: file.rank_pattern } : {}),
      ...(hasEntries(file.alpha_pattern) ? { alphas: file.alpha_pattern } : {}),
      ...(file.use_rslora ? { rslora: true } : {}),
      ...(file.lora_dropout > 0 ? { dropout: file.lora_dropout } : {}),
    },
  }
}

/** The adapter_config.json, as an object, that PEFT needs beside `toPeft`'s tensors. */
export const peftConfig = (
  lora: LoraConfig,
  baseName: string,
): Readonly<Record<string, unknown>> => ({
  peft_type: 'LORA',
  task_type: 'CAUSAL_LM',
  base_model_name_or_path: baseName,
  inference_mode: true,
  r: lora.rank,
  lora_alpha: lora.alpha,
  lora_dropout: lora.dropout ?? 0,
  target_modules: lora.targets.map((linear) => linear.slice(linear.indexOf('.') + 1)),
  rank_pattern: lora.ranks ?? {},
  alpha_pattern: lora.alphas ?? {},
  use_rslora: lora.rslora ?? false,
  use_dora: false,
  bias: 'none',
  fan_in_fan_out: false,
  modules_to_save: null,
  init_lora_weights: true,
})

const hasEntries = <T>(record: Record<string, T> | null | undefined): record is Record<string, T> =>
  Object.keys(record ?? {}).length > 0

/** The linear layer that a target names by the end of its path. */
const layerOf = (target: string): LinearLayer | undefined =>
  LINEAR_LAYERS.find((linear) => linear === target || linear.endsWith(`.${target}`))
