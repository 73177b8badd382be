/** A Llama base with a byte-level BPE tokenizer as the GGUF file that llama.cpp loads, for comparisons with it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeGguf } from '#engine/gguf.ts'
import { ggufName, ggufRows } from '#engine/models/export.ts'
import { EMBEDDING, FINAL_NORM, LM_HEAD, blockName, modulesOf } from '#engine/models/parameters.ts'
import { requireTensor, type HostTensor } from '#engine/tensor.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'

const tokenizerFile = z.object({
  added_tokens: z.array(z.object({ id: z.int(), special: z.boolean() })),
  model: z.object({
    type: z.literal('BPE'),
    vocab: z.record(z.string(), z.int()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
})
const u32 = (value: number) => ({ uint32: value })
/** llama.cpp's kinds of tokens. */
const NORMAL = 1
const CONTROL = 3

/** The file's bytes, weights in float32. */
export async function exportGgufBase(base: BaseModel): Promise<Uint8Array> {
  const { config, parameters } = base
  const tensors = new Map<string, HostTensor>()
  const copy = (theirs: string, ours: string) =>
    tensors.set(theirs, requireTensor(parameters, ours))
  copy('token_embd.weight', EMBEDDING)
  copy('output_norm.weight', FINAL_NORM)
  if (!config.tied) copy('output.weight', LM_HEAD)
  for (let layer = 0; layer < config.layers; layer++) {
    copy(`blk.${layer}.attn_norm.weight`, `${blockName(layer)}.input_layernorm.weight`)
    copy(`blk.${layer}.ffn_norm.weight`, `${blockName(layer)}.post_attention_layernorm.weight`)
  }
  for (const module of modulesOf(config)) {
    const weight = requireTensor(parameters, `${module.name}.weight`)
    tensors.set(ggufName(module), ggufRows(config, module, weight))
  }

  const json: unknown = JSON.parse(await readFile(join(base.directory, 'tokenizer.json'), 'utf8'))
  const { added_tokens, model } = tokenizerFile.parse(json)
  const words = Object.entries(model.vocab).toSorted(([, a], [, b]) => a - b)
  const special = new Set(added_tokens.flatMap(({ id, special }) => (special ? [id] : [])))
  const [end = 0] = base.tokenizer.endTokens
  return writeGguf(
    {
      'general.architecture': { string: 'llama' },
      'general.name': { string: base.name },
      'llama.vocab_size': u32(config.vocab),
      'llama.context_length': u32(config.positions),
      'llama.embedding_length': u32(config.hidden),
      'llama.block_count': u32(config.layers),
      'llama.feed_forward_length': u32(config.ffn),
      'llama.attention.head_count': u32(config.heads),
      'llama.attention.head_count_kv': u32(config.kvHeads),
      'llama.attention.layer_norm_rms_epsilon': { float32: config.normEpsilon },
      'llama.rope.freq_base': { float32: config.ropeTheta },
      'llama.rope.dimension_count': u32(config.headDim),
      'tokenizer.ggml.model': { string: 'gpt2' },
      'tokenizer.ggml.pre': { string: 'gpt-2' },
      'tokenizer.ggml.tokens': { strings: words.map(([word]) => word) },
      'tokenizer.ggml.token_type': {
        int32s: words.map(([, id]) => (special.has(id) ? CONTROL : NORMAL)),
      },
      'tokenizer.ggml.merges': {
        strings: model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))),
      },
      'tokenizer.ggml.eos_token_id': u32(end),
    },
    tensors,
  )
}
