import assert from 'node:assert/strict'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { before } from 'node:test'
import { Graph } from '#engine/onnx/graph.ts'
import { randomSource } from '#engine/random.ts'
import { loadBaseModel, type BaseModel } from '../base-model.ts'
import { writeTinyModel } from '../testing/tiny-model.ts'
import { cosine, openEmbedder } from './embedder.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const scratch = scratchFolder()
let base: BaseModel
before(async () => {
  base = await loadBaseModel(await writeTinyModel(scratch))
})

const near = (a: Float32Array, b: Float32Array) =>
  a.length === b.length && a.every((x, i) => Math.abs(x - b[i]!) < 1e-5)

test('a vector has length 1, and does not depend on the texts beside it', async () => {
  const embedder = (await openEmbedder('base', base, { threads: 1 }))!
  const texts = [
    'Rule 1: alder birch.',
    'Rule',
    '',
    ...Array.from({ length: 9 }, (_, i) => `oak ${i}`),
  ]
  const together = await embedder.embed(texts)
  for (const [i, text] of texts.entries()) {
    const [alone] = await embedder.embed([text])
    assert.ok(near(together[i]!, alone!), text)
    assert.ok(Math.abs(cosine(alone!, alone!) - 1) < 1e-5)
  }
  assert.ok(!near(together[0]!, together[1]!))
  assert.deepEqual(await embedder.embed([]), [])
  await embedder.release()
})

test('a feature-extraction model in a directory is used without asking the network', async () => {
  // A model whose hidden state of a token is its row of a table, so that the mean is known.
  const [vocab, width] = [base.config.vocab, 8]
  const random = randomSource(3)
  const table = Float32Array.from({ length: vocab * width }, () => random() - 0.5)
  const graph = new Graph('table')
  const ids = graph.input('input_ids', 'int64', ['B', 'T'])
  graph.output('last_hidden_state', graph.gather(graph.constant(table, [vocab, width]), ids))
  const directory = join(scratch, 'features')
  await mkdir(join(directory, 'onnx'), { recursive: true })
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    await cp(join(base.directory, name), join(directory, name))
  await writeFile(join(directory, 'config.json'), JSON.stringify({ model_type: 'bert' }))
  await writeFile(join(directory, 'onnx/model.onnx'), graph.encode())

  const embedder = (await openEmbedder(directory, base, { threads: 1 }))!
  const texts = ['Rule 1: alder birch.', 'oak']
  const vectors = await embedder.embed(texts)
  for (const [i, text] of texts.entries()) {
    const tokens = base.tokenizer.encodePrompt({ prompt: text })
    const mean = Float32Array.from({ length: width }, (_, k) =>
      tokens.reduce((sum, token) => sum + table[token * width + k]!, 0),
    )
    const norm = Math.sqrt(cosine(mean, mean))
    assert.ok(
      near(
        vectors[i]!,
        mean.map((x) => x / norm),
      ),
      text,
    )
  }
  assert.deepEqual(await embedder.embed([]), [])
  await embedder.release()
  await assert.rejects(openEmbedder(join(scratch, 'missing'), base, {}))
  assert.equal(await openEmbedder('off', base, {}), null)
})
