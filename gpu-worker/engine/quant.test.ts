import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import { AdapterPack } from './adapter-pack.ts'
import { packBatch, padBatch } from './batch.ts'
import { KvCache } from './kv-cache.ts'
import { loadModel } from './models/files.ts'
import { loraConfig } from './models/lora.ts'
import { initialParameters, modulesOf } from './models/parameters.ts'
import { prefillProgram } from './programs/generate.ts'
import { evaluateProgram } from './programs/train.ts'
import {
  QUANT_BLOCK,
  dequantizeMatrix,
  packedName,
  parameterBytes,
  quantizeMatrix,
  quantizeParameters,
  scalesName,
} from './quant.ts'
import type { QuantFormat } from './quant.ts'
import { gaussian, randomSource } from './random.ts'
import { readSafetensors } from './safetensors.ts'
import { openSession } from './session.ts'
import type { HostTensor } from './tensor.ts'
import { randomAdapter, randomTokens, relativeError, tinyConfig } from './testing.ts'
import { openTrainer } from './trainer.ts'

const config = tinyConfig({
  hidden_size: 64,
  num_attention_heads: 4,
  head_dim: 16,
  intermediate_size: 96,
})
const parameters = initialParameters(config, 1)
const lora = loraConfig(3)
const adapter = randomAdapter(config, lora, 4)
const sequences = [9, 14, 6].map((length, seed) => ({ tokens: randomTokens(length, seed) }))
const batch = packBatch(sequences, 16)

/** The float32 model that a quantized one stands for. */
function dequantized(format: QuantFormat): Map<string, HostTensor> {
  const model = new Map(parameters)
  for (const { name } of modulesOf(config)) {
    const weight = `${name}.weight`
    model.set(weight, dequantizeMatrix(quantizeMatrix(parameters.get(weight)!, format), format))
  }
  return model
}

for (const [format, tolerance] of [
  ['int4', 1 / 7],
  ['int8', 1 / 127],
] as const) {
  test(`${format}: numbers are within a step of the block's scale, its extreme exact, zeros stay zero`, () => {
    const data = new Float32Array(3 * 2 * QUANT_BLOCK)
    gaussian(randomSource(1), data, 1)
    data.fill(0, 0, QUANT_BLOCK)
    const matrix = { dims: [3, 2 * QUANT_BLOCK], data }
    const restored = dequantizeMatrix(quantizeMatrix(matrix, format), format)
    assert.deepEqual(restored.dims, matrix.dims)
    assert.ok(restored.data.subarray(0, QUANT_BLOCK).every((value) => value === 0))
    for (let start = QUANT_BLOCK; start < data.length; start += QUANT_BLOCK) {
      const block = data.subarray(start, start + QUANT_BLOCK)
      const largest = Math.max(...block.map(Math.abs))
      block.forEach((value, i) => {
        const difference = Math.abs(restored.data[start + i]! - value)
        assert.ok(difference <= largest * tolerance, `${difference} of ${largest}`)
        if (Math.abs(value) === largest) assert.ok(difference < 1e-6)
      })
    }
  })

  test(`${format}: losses and adapter gradients equal those of the dequantized float32 model`, async () => {
    const exact = await openTrainer(config, lora, dequantized(format))
    const expected = await exact.gradients(batch, adapter.tensors)
    await exact.release()
    const quantized = quantizeParameters(config, parameters, format)
    const trainer = await openTrainer(config, lora, quantized, { format })
    const { loss, gradients } = await trainer.gradients(batch, adapter.tensors)
    await trainer.release()
    assert.ok(Math.abs(loss / expected.loss - 1) < 1e-5)
    for (const [name, { data }] of expected.gradients) {
      assert.ok(relativeError(gradients.get(name)!.data, data) < 2e-5, name)
    }
    const evaluate = await openSession(evaluateProgram(config, lora, { format }), quantized)
    const outputs = await evaluate.run({ ...batch.feeds, ...Object.fromEntries(adapter.tensors) })
    assert.ok(Math.abs(outputs.get('loss')!.data[0]! / expected.loss - 1) < 1e-5)
    await evaluate.release()
  })

  test(`${format}: served logits equal those of the dequantized float32 model`, async () => {
    const { tokens, positions } = padBatch(sequences).feeds
    const cache = new KvCache(config)
    sequences.forEach(() => cache.add())
    const feeds = {
      tokens: tokens!,
      positions: positions!,
      rows: { dims: [3], data: Int32Array.of(8, 27, 33) },
      ...cache.feeds(),
      ...new AdapterPack(config).feeds([adapter, null, adapter]),
    }
    const reference = await openSession(prefillProgram(config), dequantized(format))
    const expected = (await reference.run(feeds)).get('logits')!.data
    await reference.release()
    const quantized = quantizeParameters(config, parameters, format)
    const session = await openSession(prefillProgram(config, { format }), quantized)
    const { data } = (await session.run(feeds)).get('logits')!
    await session.release()
    assert.ok(relativeError(data, expected) < 1e-5, `${relativeError(data, expected)}`)
  })
}

const GOLDEN = new URL('../../test/golden/engine/quantized/', import.meta.url)

for (const format of ['int8', 'int4'] as const)
  test(`${format}: logits with rounded activations equal those of another implementation of the same rounding`, async () => {
    const golden = await loadModel(GOLDEN.pathname)
    const expected = readSafetensors(await readFile(new URL('expected.safetensors', GOLDEN)))
    const { tokens } = JSON.parse(await readFile(new URL('batch.json', GOLDEN), 'utf8'))
    const count: number = tokens.length
    const order = Int32Array.from({ length: count }, (_, i) => i)
    const program = prefillProgram(golden.config, { format, activations: 'rounded' })
    const quantized = quantizeParameters(golden.config, golden.parameters, format)
    const session = await openSession(program, quantized, { threads: 1 })
    const cache = new KvCache(golden.config)
    cache.add()
    const outputs = await session.run({
      tokens: { dims: [1, count], data: Int32Array.from(tokens) },
      positions: { dims: [1, count], data: order },
      rows: { dims: [count], data: order },
      ...cache.feeds(),
      ...new AdapterPack(golden.config).feeds([null]),
    })
    await session.release()
    const { data } = outputs.get('logits')!
    const error = relativeError(data, expected.get(format)!.data)
    assert.ok(error < 1e-5, `${error}`)
    assert.ok(relativeError(data, expected.get('exact')!.data) > 1e-2) // the rounding is no small matter
  })

test('a quantized matrix takes 5 or 9 bits per number, and embeddings stay as they are', () => {
  const [first] = modulesOf(config)
  const weight = `${first!.name}.weight`
  const count = parameters.get(weight)!.data.length
  for (const [format, bits] of [
    ['int4', 5],
    ['int8', 9],
  ] as const) {
    const quantized = quantizeParameters(config, parameters, format)
    const bytes = [packedName(weight), scalesName(weight)].reduce(
      (sum, key) => sum + quantized.get(key)!.data.byteLength,
      0,
    )
    assert.equal((8 * bytes) / count, bits)
    assert.ok(!quantized.has(weight))
    const all = [...quantized.values()].reduce((sum, { data }) => sum + data.byteLength, 0)
    assert.equal(parameterBytes(config, format), all)
    assert.equal(
      quantized.get('model.embed_tokens.weight'),
      parameters.get('model.embed_tokens.weight'),
    )
  }
})

test('a layer whose inputs do not fill blocks is refused', () => {
  const narrow = tinyConfig()
  assert.throws(
    () => quantizeParameters(narrow, initialParameters(narrow, 1), 'int4'),
    /24 inputs cannot be quantized/,
  )
})
