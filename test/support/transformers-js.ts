/** The embedded base as the ONNX model that transformers.js runs, for comparisons with it. */
import { mkdir, copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AutoModelForCausalLM, env, Tensor } from '@huggingface/transformers'
import { linear } from '#engine/autodiff/ops.ts'
import { Tape } from '#engine/autodiff/tape.ts'
import { llama, outputEmbedding } from '#engine/models/llama.ts'
import { Graph } from '#engine/onnx/graph.ts'
import { requireTensor } from '#engine/tensor.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'

/**
 * The decoder with the inputs that transformers.js feeds every Llama, weights inside. Its cache is an output that grows
 * by concatenation, which is the form that Hugging Face's exporter gives it.
 */
function decoderOnnx({ config, parameters }: BaseModel): Uint8Array {
  const g = new Graph('decoder')
  const tape = new Tape(g)
  const { headDim, heads, kvHeads } = config
  const tokens = g.input('input_ids', 'int64', ['B', 'T'])
  g.input('attention_mask', 'int64', ['B', 'P+T'])
  const positions = g.input('position_ids', 'int64', ['B', 'T'])
  const past = Array.from({ length: config.layers }, (_, layer) => ({
    keys: g.input(`past_key_values.${layer}.key`, 'float32', ['B', kvHeads, 'P', headDim]),
    values: g.input(`past_key_values.${layer}.value`, 'float32', ['B', kvHeads, 'P', headDim]),
  }))
  const held = new Map<string, ReturnType<Graph['constant']>>()
  const parameter = (name: string) => {
    const { data, dims } = requireTensor(parameters, name)
    if (!(data instanceof Float32Array)) throw new Error(`${name} is not float32`)
    const value = held.get(name) ?? g.constant(data, dims)
    held.set(name, value)
    return value
  }
  // All rows of a batch are as long as each other here, so that only the future is masked.
  const at = g.add(g.range('T'), g.sizeOf('P'))
  const seen = g.lessOrEqual(
    g.reshape(g.concat([g.range('P'), at], 0), [1, 'P+T']),
    g.reshape(at, ['T', 1]),
  )
  const mask = g.tile(g.where(seen, g.scalar(0), g.scalar(-1e9)), 0, heads / kvHeads) // [G*T, P+T]

  const hidden = llama(
    tape,
    config,
    { tokens: g.cast(tokens, 'int32'), positions: g.cast(positions, 'int32') },
    {
      parameter,
      product: (module, x, plus) => linear(tape, x, parameter(`${module}.weight`), { plus }),
      adapt: (_module, _x, base) => base,
      attend: (layer, { q, k, v }) => {
        const before = past[layer]
        if (!before) throw new Error(`there is no layer ${layer}`)
        const keys = g.concat([before.keys, k], 2)
        const values = g.concat([before.values, v], 2)
        g.output(`present.${layer}.key`, keys)
        g.output(`present.${layer}.value`, values)
        const scaled = g.mul(q, g.scalar(1 / Math.sqrt(headDim)))
        const scores = g.add(g.matMul(scaled, g.matrixTranspose(keys)), mask)
        return g.matMul(g.softmax(scores), values)
      },
    },
  )
  const logits = linear(tape, hidden, parameter(outputEmbedding(config)))
  g.output('logits', g.reshape(logits, ['B', 'T', config.vocab]))
  return g.encode()
}

export type TransformersJs = {
  /** Greedily continues prompts of one length by so many tokens each, all in one batch. */
  generate: (prompts: readonly (readonly number[])[], count: number) => Promise<number[][]>
  close: () => Promise<void>
}

/** Writes the model under `directory` and opens it on CPU. */
export async function openTransformersJs(
  base: BaseModel,
  directory: string,
  threads: number,
): Promise<TransformersJs> {
  await mkdir(join(directory, 'onnx'), { recursive: true })
  await writeFile(join(directory, 'onnx', 'model.onnx'), decoderOnnx(base))
  for (const name of ['config.json', 'generation_config.json'])
    await copyFile(join(base.directory, name), join(directory, name))
  env.allowRemoteModels = false
  const model = await AutoModelForCausalLM.from_pretrained(directory, {
    local_files_only: true,
    dtype: 'fp32',
    device: 'cpu',
    session_options: { intraOpNumThreads: threads },
  })
  return {
    generate: async (prompts, count) => {
      const [first = []] = prompts
      const dims = [prompts.length, first.length]
      const ids = BigInt64Array.from(prompts.flat(), BigInt)
      const out = (await model.generate({
        input_ids: new Tensor('int64', ids, dims),
        attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), dims),
        do_sample: false,
        min_new_tokens: count,
        max_new_tokens: count,
      } as never)) as Tensor
      const rows = out.tolist() as bigint[][]
      return rows.map((row) => row.slice(first.length).map(Number))
    },
    close: async () => {
      await model.dispose()
    },
  }
}
