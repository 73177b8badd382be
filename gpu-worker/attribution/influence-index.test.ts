import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { requireTensor } from '#engine/tensor.ts'
import { openTrainer } from '#engine/trainer.ts'
import { padBatch } from '#engine/batch.ts'
import { keccak } from '#protocol/bytes.ts'
import { merkleTree, verifyProof } from '#protocol/merkle.ts'
import { influenceRowLeaf } from '#protocol/influence-row.ts'
import { dotInt8, RELATIVE_ONE } from '#protocol/score.ts'
import { canonicalRows, loadRows } from '../training/dataset.ts'
import { toExamples } from '../training/examples.ts'
import { initialState, loraOf, trainLora } from '../training/lora-training.ts'
import { tinyWorkplace } from '../testing/trained.ts'
import { openGradients, projectionsOf } from './gradients.ts'
import { decodeIndex, encodeIndex } from './index-files.ts'
import { buildInfluenceIndex, queryVector, scoreRows, vectorOf } from './influence-index.ts'

const place = await tinyWorkplace()
after(place.remove)
const { config, parameters, tokenizer } = place.base
const method = { ...place.job.method, epochs: 6 }
const rows = canonicalRows(await loadRows(place.blobs, place.job.datanets))
const { examples } = toExamples(rows, tokenizer, method.sequenceLength)
const state = initialState(config, method)
const session = { threads: 1 }
const setup = { config, parameters, method, train: examples, validation: [], session }
for await (const _ of trainLora(setup, state)) continue

const lora = loraOf(method)
const digest = keccak('adapter')
const projected = 6
const source = await openGradients({ config, parameters, lora, projected, session })
after(source.release)
const adapter = { tensors: state.adapter, projections: projectionsOf(source.blocks, digest) }
const unrelated = ['The sky is blue.', 'Rain falls on stone.', 'A cat sleeps all day.'].map(
  (text) => ({
    sequence: { tokens: tokenizer.encodePrompt({ prompt: text }) },
    cluster: null,
  }),
)
const index = await buildInfluenceIndex({
  source,
  adapter,
  records: examples.map((example) => ({
    ...example.row,
    sequence: example,
    tokens: example.tokens,
  })),
  nullQueries: unrelated,
  onProgress: () => {},
})
const gradientOf = async (tokens: number[], targets?: Uint8Array) =>
  (await source.gradients(adapter, [{ tokens, ...(targets && { targets }) }]))[0]!

test('every record’s own gradient finds its row with a relative score of one', async () => {
  for (const [i, { tokens, targets }] of examples.entries()) {
    const scores = scoreRows(index, queryVector(index, await gradientOf(tokens, targets)))
    const best = scores.toSorted((a, b) => Number(b.influence - a.influence))[0]!
    assert.equal(best.row, i)
    const relative = best.influence + index.rows[i]!.nullMean
    assert.ok(relative > (RELATIVE_ONE * 99n) / 100n && relative <= RELATIVE_ONE)
    assert.ok(best.significance > 5_000n)
  }
})

test('a score is the integer dot product over the norms, calibrated by the row’s null', async () => {
  const query = queryVector(index, await gradientOf(examples[2]!.tokens.slice(0, 14)))
  for (const { row, influence, significance } of scoreRows(index, query)) {
    const { self, nullMean, nullDeviation } = index.rows[row]!
    const relative =
      dotInt8(vectorOf(index, row), query.values) / Math.sqrt(Number(self) * query.self)
    const inUnits = relative * Number(RELATIVE_ONE)
    assert.ok(Math.abs(Number(influence + nullMean) - inUnits) < 2)
    const deviations = (inUnits - Number(nullMean)) / Number(nullDeviation)
    assert.ok(Math.abs(Number(significance) / 1000 - deviations) < 0.01)
  }
})

test('a positive score means: training more on the record lowers the loss of the query', async () => {
  // The query is the beginning of record 4; a small step along a record's gradient is "training more on it".
  const query = { tokens: examples[4]!.tokens.slice(0, -3), targets: examples[4]!.targets }
  const scores = scoreRows(index, queryVector(index, await gradientOf(query.tokens, query.targets)))
  const proponent = scores.toSorted((a, b) => Number(b.influence - a.influence))[0]!
  const trainer = await openTrainer(config, lora, parameters, session)
  const { gradients } = await trainer.gradients(padBatch([examples[proponent.row]!]), state.adapter)
  const stepped = (rate: number) =>
    new Map(
      [...state.adapter].map(([name, { dims, data }]) => {
        const gradient = requireTensor(gradients, name).data
        return [name, { dims, data: data.map((x, i) => x - rate * gradient[i]!) }]
      }),
    )
  const lossAt = async (rate: number) =>
    (await trainer.gradients(padBatch([query]), stepped(rate))).loss
  const [less, now, more] = [await lossAt(-1e-3), await lossAt(0), await lossAt(1e-3)]
  await trainer.release()
  assert.ok(more < now && now < less, `${less} ${now} ${more}`)
})

test('louder text earns no more: a relative score ignores the length of the gradient', async () => {
  const gradient = await gradientOf(examples[3]!.tokens)
  const quiet = scoreRows(index, queryVector(index, gradient))
  const loud = scoreRows(
    index,
    queryVector(
      index,
      gradient.map((x) => x * 30),
    ),
  )
  quiet.forEach(({ influence }, i) => {
    assert.ok(Math.abs(Number(influence - loud[i]!.influence)) < Number(RELATIVE_ONE) / 200)
  })
})

test('each row is provable against the root', () => {
  const leaves = index.rows.map(influenceRowLeaf)
  const tree = merkleTree(leaves)
  assert.equal(tree.root, index.root)
  for (const leaf of leaves) assert.ok(verifyProof(index.root, leaf, tree.proof(leaf)))
})

const flipped = (bytes: Uint8Array, at: number) =>
  bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))

test('the files give the index back, and nothing else under its root', () => {
  const files = encodeIndex(index, source.blocks, { adapter: digest, projected })
  const expected = { root: index.root, adapter: digest, config, lora }
  const loaded = decodeIndex(files, expected)
  assert.deepEqual(loaded.index, index)
  assert.equal(loaded.projected, projected)
  assert.deepEqual(encodeIndex(loaded.index, loaded.blocks, loaded), files)

  const vectors = flipped(files.vectors, 5)
  assert.throws(() => decodeIndex({ ...files, vectors }, expected), /vector 0 is not the one/)
  const short = files.vectors.subarray(1)
  assert.throws(() => decodeIndex({ ...files, vectors: short }, expected), /does not hold/)
  const rows = new TextEncoder().encode(
    new TextDecoder().decode(files.rows).replace('"exponent":-', '"exponent":-1'),
  )
  assert.throws(() => decodeIndex({ ...files, rows }, expected), /has the root/)
  const other = { ...expected, adapter: keccak('other') }
  assert.throws(() => decodeIndex(files, other), /another adapter/)
})

test('another adapter has other projections', () => {
  const [name, { data }] = [...adapter.projections][0]!
  const other = projectionsOf(source.blocks, keccak('other'))
  assert.notDeepEqual(requireTensor(other, name).data, data)
})
