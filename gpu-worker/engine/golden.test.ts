// Compares with PyTorch, transformers and PEFT: test/golden/engine/make.py wrote the vectors.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import { AdapterPack } from './adapter-pack.ts'
import type { Adapter } from './adapter-pack.ts'
import { packBatch, padBatch } from './batch.ts'
import type { Batch, Sequence } from './batch.ts'
import { KvCache } from './kv-cache.ts'
import { exportMerged } from './models/export.ts'
import { loadModel } from './models/files.ts'
import { fromPeft, toPeft } from './models/lora.ts'
import { importPeft, peftConfig } from './models/peft.ts'
import { prefillProgram } from './programs/generate.ts'
import { readSafetensors } from './safetensors.ts'
import { openSession } from './session.ts'
import type { TensorMap } from './tensor.ts'
import { relativeError } from './testing.ts'
import { openTrainer } from './trainer.ts'

const GOLDEN = new URL('../../test/golden/engine/', import.meta.url)
const TOLERANCE = 1e-5

for (const name of ['tied', 'untied', 'smollm2', 'mistral', 'qwen2', 'qwen3', 'patterns']) {
  const folder = new URL(`${name}/`, GOLDEN)
  const file = async (path: string) => readSafetensors(await readFile(new URL(path, folder)))
  const json = async (path: string) => JSON.parse(await readFile(new URL(path, folder), 'utf8'))

  const { config, parameters } = await loadModel(folder.pathname)
  const expected = await file('expected.safetensors')
  const { sequences, prompts } = await json('batch.json')
  const peftFile = await file('adapter_model.safetensors')
  const imported = importPeft(config, await json('adapter_config.json'), peftFile)
  assert.ok('adapter' in imported)
  const { lora, tensors: adapter } = imported.adapter

  const examples = sequences.map((tokens: number[], row: number): Sequence => ({
    tokens,
    targets: tokens.map((_, i) => i >= prompts[row]),
  }))
  const layouts: [string, Batch][] = [
    ['padded', padBatch(examples)],
    ['packed', packBatch(examples, 32)],
  ]

  for (const [layout, batch] of layouts) {
    test(`${name}: loss and parameter gradients of a ${layout} batch equal PyTorch's`, async () => {
      const trainer = await openTrainer(config, 'parameters')
      const { loss, gradients } = await trainer.gradients(batch, parameters)
      assert.ok(Math.abs(loss / expected.get('loss')!.data[0]! - 1) < TOLERANCE)
      assert.equal(
        gradients.size,
        [...expected.keys()].filter((key) => key.startsWith('gradient')).length,
      )
      for (const [key, { data }] of gradients) {
        assert.ok(relativeError(data, expected.get(`gradient/${key}`)!.data) < TOLERANCE, key)
      }
      await trainer.release()
    })

    test(`${name}: loss and adapter gradients of a ${layout} batch equal PEFT's`, async () => {
      const trainer = await openTrainer(config, lora, parameters)
      const { loss, gradients } = await trainer.gradients(batch, adapter)
      assert.ok(Math.abs(loss / expected.get('lora_loss')!.data[0]! - 1) < TOLERANCE)
      for (const [key, { data }] of toPeft(gradients)) {
        assert.ok(relativeError(data, expected.get(`lora_gradient/${key}`)!.data) < TOLERANCE, key)
      }
      await trainer.release()
    })
  }

  /** Logits of every real token of the batch, through `prefill`. */
  async function logitsOf(model: TensorMap, adapter: Adapter | null) {
    const session = await openSession(prefillProgram(config), model)
    const { tokens, positions } = padBatch(examples).feeds
    const [batch = 0, time = 0] = tokens!.dims
    const real = sequences.flatMap((row: number[], b: number) => row.map((_, t) => b * time + t))
    const cache = new KvCache(config)
    for (let row = 0; row < batch; row++) cache.add()
    const outputs = await session.run({
      tokens: tokens!,
      positions: positions!,
      rows: { dims: [real.length], data: Int32Array.from(real) },
      ...cache.feeds(),
      ...new AdapterPack(config).feeds(Array.from({ length: batch }, () => adapter)),
    })
    await session.release()
    return outputs.get('logits')!.data
  }

  test(`${name}: logits with and without the adapter, packed or merged, equal those of transformers and PEFT`, async () => {
    const packed = { lora, tensors: adapter }
    const plain = expected.get('logits')!.data
    const adapted = expected.get('lora_logits')!.data
    const file = exportMerged(config, parameters, packed, 'F32')
    const bytes = Buffer.concat([...file.parts])
    assert.equal(bytes.byteLength, file.bytes)
    const merged = readSafetensors(bytes)
    assert.ok(relativeError(await logitsOf(parameters, null), plain) < TOLERANCE)
    assert.ok(relativeError(await logitsOf(parameters, packed), adapted) < TOLERANCE)
    assert.ok(relativeError(await logitsOf(merged, null), adapted) < TOLERANCE)
  })

  test(`${name}: an adapter goes to PEFT's file and back unchanged`, () => {
    const written = toPeft(adapter)
    assert.deepEqual([...written.keys()].toSorted(), [...peftFile.keys()].toSorted())
    for (const [key, { dims, data }] of written) {
      assert.deepEqual([...dims], [...peftFile.get(key)!.dims])
      assert.deepEqual(data, peftFile.get(key)!.data)
    }
    const unknown = new Map([
      ...peftFile,
      ['base_model.model.lm_head.lora_A.weight', written.values().next().value!],
    ])
    assert.throws(() => fromPeft(config, lora, unknown), /unexpected tensor/)
    const wider = { ...lora, rank: lora.rank + 1 }
    assert.throws(() => fromPeft(config, wider, peftFile), /has dims/)
    const rewritten = importPeft(config, peftConfig(lora, 'base'), written)
    assert.deepEqual(rewritten, imported)
  })
}
