import assert from 'node:assert/strict'
import test from 'node:test'
import { loraConfig } from './lora.ts'
import type { LoraConfig } from './lora.ts'
import { exportGgufAdapter } from './export.ts'
import { randomAdapter, tinyConfig } from '../testing.ts'

type Info = { readonly ne: number[]; readonly data: Float32Array }

/** Reads what the format's description says, and no more than the writer uses. */
function readGguf(file: Uint8Array): {
  metadata: Map<string, unknown>
  tensors: Map<string, Info>
} {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  let at = 0
  const u32 = () => bytes.readUInt32LE((at += 4) - 4)
  const u64 = () => Number(bytes.readBigUInt64LE((at += 8) - 8))
  const text = () => {
    const length = u64()
    return bytes.toString('utf8', at, (at += length))
  }
  assert.equal(bytes.toString('latin1', 0, (at += 4)), 'GGUF')
  assert.equal(u32(), 3)
  const [tensorCount, metadataCount] = [u64(), u64()]
  const metadata = new Map<string, unknown>()
  for (let i = 0; i < metadataCount; i++) {
    const key = text()
    const type = u32()
    assert.ok(type === 8 || type === 6)
    metadata.set(key, type === 8 ? text() : bytes.readFloatLE((at += 4) - 4))
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text()
    const ne = Array.from({ length: u32() }, u64)
    assert.equal(u32(), 0) // float32
    return { name, ne, offset: u64() }
  })
  const start = Math.ceil(at / 32) * 32
  const tensors = new Map<string, Info>()
  let end = start
  for (const { name, ne, offset } of infos) {
    assert.equal(offset % 32, 0)
    const from = start + offset
    assert.ok(from >= end, `${name} overlaps`)
    end = from + 4 * ne.reduce((product, dim) => product * dim, 1)
    tensors.set(name, {
      ne,
      data: new Float32Array(new Uint8Array(file.subarray(from, end)).buffer),
    })
  }
  assert.equal(bytes.byteLength, Math.ceil(end / 32) * 32)
  return { metadata, tensors }
}

/** The scaled update B A [out, in] as llama.cpp would add it. */
function update(config: LoraConfig, a: Info, b: Info): number[][] {
  const [inDim = 0, rank = 0] = a.ne
  const [, outDim = 0] = b.ne
  assert.equal(b.ne[0], rank)
  return Array.from({ length: outDim }, (_, o) =>
    Array.from({ length: inDim }, (_, i) => {
      let sum = 0
      for (let r = 0; r < rank; r++) sum += b.data[o * rank + r]! * a.data[r * inDim + i]!
      return (config.alpha / rank) * sum
    }),
  )
}

const patterned: LoraConfig = {
  ...loraConfig(3, 4),
  ranks: { q_proj: 2 },
  alphas: { up_proj: 1 },
  rslora: true,
}

for (const [model, architecture] of [
  ['llama', 'llama'],
  ['mistral', 'llama'],
  ['qwen2', 'qwen2'],
  ['qwen3', 'qwen3'],
] as const) {
  test(`a GGUF adapter for ${model} adds what the adapter adds, q and k in llama.cpp's order`, () => {
    const config = tinyConfig({ model_type: model, num_key_value_heads: 2 })
    const { tensors } = randomAdapter(config, patterned, 1)
    const file = readGguf(exportGgufAdapter(config, { lora: patterned, tensors }))
    assert.deepEqual(Object.fromEntries(file.metadata), {
      'general.architecture': architecture,
      'general.type': 'adapter',
      'adapter.type': 'lora',
      'adapter.lora.alpha': 4,
    })
    assert.equal(file.tensors.size, tensors.size)
    const half = config.headDim / 2
    for (const [linear, theirs, rank, scale] of [
      ['self_attn.q_proj', 'attn_q', 2, 4 / Math.sqrt(2)],
      ['self_attn.k_proj', 'attn_k', 3, 4 / Math.sqrt(3)],
      ['self_attn.v_proj', 'attn_v', 3, 4 / Math.sqrt(3)],
      ['mlp.up_proj', 'ffn_up', 3, 1 / Math.sqrt(3)],
    ] as const) {
      const a = tensors.get(`model.layers.1.${linear}.lora_A`)!
      const b = tensors.get(`model.layers.1.${linear}.lora_B`)!
      const [, inDim = 0] = a.dims
      const [, outDim = 0] = b.dims
      const [storedA, storedB] = ['a', 'b'].map((factor) =>
        file.tensors.get(`blk.1.${theirs}.weight.lora_${factor}`),
      )
      assert.deepEqual(storedA!.ne, [inDim, rank])
      assert.deepEqual(storedB!.ne, [rank, outDim])
      const found = update(patterned, storedA!, storedB!)
      const isRotated = architecture === 'llama' && /[qk]_proj/.test(linear)
      for (let o = 0; o < outDim; o++) {
        // Row 2i + s of a head in llama.cpp is row s * half + i here.
        const head = o - (o % config.headDim)
        const [pair, second] = [Math.floor((o % config.headDim) / 2), o % 2]
        const own = isRotated ? head + second * half + pair : o
        for (let i = 0; i < inDim; i++) {
          let expected = 0
          for (let r = 0; r < rank; r++)
            expected += scale * b.data[r * outDim + own]! * a.data[r * inDim + i]!
          assert.ok(Math.abs(found[o]![i]! - expected) < 1e-5)
        }
      }
    }
  })
}
