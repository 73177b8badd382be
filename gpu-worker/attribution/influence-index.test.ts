import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { randomSource } from '#engine/random.ts'
import { requireTensor } from '#engine/tensor.ts'
import { openTrainer } from '#engine/trainer.ts'
import { padBatch } from '#engine/batch.ts'
import { keccak } from '#protocol/bytes.ts'
import { merkleTree, verifyProof } from '#protocol/merkle.ts'
import { influenceRowLeaf } from '#protocol/influence-row.ts'
import { dotInt8, RELATIVE_ONE, relativeScore, significance } from '#protocol/score.ts'
import { canonicalRows, loadRows } from '../training/dataset.ts'
import { toExamples } from '../training/examples.ts'
import { initialState, loraOf, trainLora } from '../training/lora-training.ts'
import { tinyWorkplace } from '../testing/trained.ts'
import { openFeatures } from './features.ts'
import { openGradients, type GradientSource } from './gradients.ts'
import { decodeIndex, encodeIndex } from './index-files.ts'
import { scoreRows } from './index-rows.ts'
import {
  buildInfluenceIndex,
  queryVector,
  type InfluenceBuild,
  type InfluenceStage,
} from './influence-index.ts'

const place = await tinyWorkplace()
const { config, parameters, tokenizer } = place.base
const method = { ...place.job.method, epochs: 6 }
const rows = canonicalRows(await loadRows(place.blobs, place.job.datanets))
const { examples } = toExamples(rows, tokenizer, method.sequenceLength)
const state = initialState(config, method)
const session = { threads: 1 }
const setup = { ...place.base, method, train: examples, validation: [], session }
for await (const _ of trainLora(setup, state)) continue

const lora = loraOf(method)
const digest = keccak('adapter')
const source = await openGradients({ base: place.base, lora, session })
after(source.release)
const unrelated = ['The sky is blue.', 'Rain falls on stone.', 'A cat sleeps all day.'].map(
  (text) => ({
    sequence: { tokens: tokenizer.encodePrompt({ prompt: text }) },
    cluster: null,
  }),
)
const scratch = join(place.scratchDir, 'features')
const build: InfluenceBuild = {
  source,
  adapter: digest,
  snapshots: [state.adapter],
  records: examples.map((example) => ({
    ...example.row,
    sequence: example,
    tokens: example.tokens,
  })),
  nullQueries: unrelated,
  heldOut: [],
  scratch,
  onProgress: () => {},
}
const index = await buildInfluenceIndex(build)
const features = openFeatures(source.blocks, index.features)
const queryOf = (tokens: number[], targets?: Uint8Array) =>
  queryVector(index, features, source, { tokens, ...(targets && { targets }) })

test('every record’s own gradient finds its row with a relative score of one', async () => {
  for (const [i, { tokens, targets }] of examples.entries()) {
    const scores = scoreRows(index, await queryOf(tokens, targets))
    const best = scores.toSorted((a, b) => Number(b.influence - a.influence))[0]!
    assert.equal(best.row, i)
    const relative = best.influence + index.rows[i]!.nullMean
    assert.ok(relative > (RELATIVE_ONE * 99n) / 100n && relative <= RELATIVE_ONE)
    assert.ok(best.significance > 5_000n)
  }
})

test('the scan’s scores are the integers of the protocol', async () => {
  for (const length of [3, 8, 14]) {
    const query = await queryOf(examples[2]!.tokens.slice(0, length))
    const scores = scoreRows(index, query)
    assert.equal(scores.length, index.rows.length)
    for (const { row, influence, significance: found } of scores) {
      const { self, nullMean, nullDeviation } = index.rows[row]!
      const dot = BigInt(dotInt8(index.vectors.vector(row), query.values))
      const relative = relativeScore(dot, self, BigInt(query.self))
      assert.equal(influence, relative - nullMean)
      const expected = significance(relative, { mean: nullMean, deviation: nullDeviation })
      assert.equal(found, expected)
    }
  }
})

test('a positive score means: training more on the record lowers the loss of the query', async () => {
  // The query is the beginning of record 4; a small step along a record's gradient is "training more on it".
  const query = { tokens: examples[4]!.tokens.slice(0, -3), targets: examples[4]!.targets }
  const scores = scoreRows(index, await queryOf(query.tokens, query.targets))
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

/** The source with its gradients changed. */
const distorted = (change: (gradients: Float32Array) => Float32Array): GradientSource => ({
  ...source,
  gradients: async (adapter, sequences) => change(await source.gradients(adapter, sequences)),
})

test('louder text earns no more: a relative score ignores the length of the gradient', async () => {
  const loud = distorted((gradients) => gradients.map((x) => x * 30))
  const { tokens } = examples[3]!
  const quietly = scoreRows(index, await queryVector(index, features, source, { tokens }))
  const loudly = scoreRows(index, await queryVector(index, features, loud, { tokens }))
  quietly.forEach(({ influence }, i) => {
    assert.ok(Math.abs(Number(influence - loudly[i]!.influence)) < Number(RELATIVE_ONE) / 100)
  })
})

test('records of loud gradients do not decide what all are compared by', async () => {
  const loud = new Set<ArrayLike<number>>(examples.slice(0, 3).map(({ tokens }) => tokens))
  const shouting: GradientSource = {
    ...source,
    gradients: async (adapter, sequences) => {
      const gradients = await source.gradients(adapter, sequences)
      sequences.forEach(({ tokens }, i) => {
        const own = gradients.subarray(i * source.size, (i + 1) * source.size)
        if (loud.has(tokens)) own.forEach((x, at) => (own[at] = 30 * x))
      })
      return gradients
    },
  }
  const built = await buildInfluenceIndex({ ...build, source: shouting })
  const asked = openFeatures(source.blocks, built.features)
  for (const { tokens, targets } of examples.slice(3, 8)) {
    const quietly = scoreRows(index, await queryOf(tokens, targets))
    const loudly = scoreRows(built, await queryVector(built, asked, source, { tokens, targets }))
    for (const [i, { influence }] of loudly.entries()) {
      const by = Number(influence - quietly[i]!.influence) / Number(RELATIVE_ONE)
      assert.ok(Math.abs(by) < 0.02, `row ${i} moved by ${by}`) // 0.09 when they do
    }
  }
})

test('of more records than can be landmarks each is found by its own gradient', async () => {
  const random = randomSource(5)
  const records = Array.from({ length: 1_800 }, (_, i) => {
    const tokens = Array.from({ length: 12 }, () => 5 + Math.floor(random() * (config.vocab - 5)))
    const record = keccak(`record ${i}`)
    return { ...examples[0]!.row, record, cluster: record, sequence: { tokens }, tokens }
  })
  const built = await buildInfluenceIndex({ ...build, records })
  assert.equal(built.vectors.dims, 2_048)
  assert.equal(built.landmarks.table.count, 256)
  const asked = openFeatures(source.blocks, built.features)
  for (const i of [0, 250, 900, 1_400, 1_799]) {
    const scores = scoreRows(built, await queryVector(built, asked, source, records[i]!.sequence))
    const [best, second] = scores.toSorted((a, b) => Number(b.influence - a.influence))
    assert.equal(best!.row, i)
    assert.ok(
      best!.influence > (RELATIVE_ONE * 9n) / 10n && second!.influence < best!.influence / 2n,
    )
  }
})

test('a gradient that is not finite finds nobody', async () => {
  const broken = distorted((gradients) => gradients.fill(Number.NaN, 5, 6))
  const query = await queryVector(index, features, broken, { tokens: examples[0]!.tokens })
  assert.equal(query.self, 0)
  // A score of zero lies as far from each null mean as the mean from zero: no significance worth paying.
  for (const { significance: found } of scoreRows(index, query)) assert.ok(found < 4_000n)
})

test('a record whose gradient is not finite is a row of zeros among others that stay right', async () => {
  const bad = examples[1]!.tokens
  const broken: GradientSource = {
    ...source,
    gradients: async (adapter, sequences) => {
      const gradients = await source.gradients(adapter, sequences)
      sequences.forEach(({ tokens }, i) => {
        if (tokens === bad) gradients[i * source.size] = Number.POSITIVE_INFINITY
      })
      return gradients
    },
  }
  const built = await buildInfluenceIndex({ ...build, source: broken })
  assert.equal(built.rows[1]!.self, 0n)
  assert.ok(built.rows.every(({ self }, i) => i === 1 || self > 0n))
  const scores = scoreRows(built, await queryVector(built, features, source, examples[2]!))
  assert.equal(scores.toSorted((a, b) => Number(b.influence - a.influence))[0]!.row, 2)
})

/** The source, counting its runs. */
const calls = (counted: { runs: number }): GradientSource => ({
  ...source,
  gradients: (adapter, sequences) => {
    counted.runs++
    return source.gradients(adapter, sequences)
  },
})

test('a build that was interrupted goes on with the features it has, to the same root', async () => {
  let seen = 0
  const stop = new Error('killed')
  const half = async (stage: InfluenceStage) => {
    if (stage === 'gradients' && ++seen === 2) throw stop
  }
  // Enough sequences for several runs.
  const nullQueries = Array.from({ length: 150 }, () => unrelated).flat()
  const whole = { runs: 0 }
  const expected = await buildInfluenceIndex({ ...build, nullQueries, source: calls(whole) })
  await assert.rejects(buildInfluenceIndex({ ...build, nullQueries, onProgress: half }), stop)
  assert.ok(!existsSync(scratch), 'a build that ends in an error leaves nothing behind')
  // A killed process leaves its file, perhaps with half a row at the end.
  const kept = join(place.scratchDir, 'kept')
  await buildInfluenceIndex({
    ...build,
    nullQueries,
    scratch: kept,
    onProgress: async (stage) => {
      if (stage === 'gradients' && !existsSync(scratch)) await copyRows(kept, scratch)
    },
  })
  const resumed = { runs: 0 }
  const again = await buildInfluenceIndex({ ...build, nullQueries, source: calls(resumed) })
  assert.equal(again.root, expected.root)
  assert.ok(resumed.runs < whole.runs, `${resumed.runs} of ${whole.runs}`)
})

async function copyRows(from: string, to: string): Promise<void> {
  const bytes = await readFile(from)
  await writeFile(to, Buffer.concat([bytes, bytes.subarray(0, 1000)]))
}

test('progress is told by stage and never goes back', async () => {
  const told: { stage: InfluenceStage; done: number }[] = []
  await buildInfluenceIndex({
    ...build,
    onProgress: (stage, done) => void told.push({ stage, done }),
  })
  const stages = [...new Set(told.map(({ stage }) => stage))]
  assert.deepEqual(stages, ['fitting', 'gradients', 'comparing', 'rows'])
  for (const stage of stages) {
    const own = told.filter((it) => it.stage === stage).map(({ done }) => done)
    assert.deepEqual(
      own,
      own.toSorted((a, b) => a - b),
    )
    assert.ok(own.every((done) => done >= 0) && own.at(-1)! > 0.999 && own.at(-1)! < 1.001, stage)
  }
})

test('each row is provable against the root', () => {
  const leaves = index.rows.map(influenceRowLeaf)
  const tree = merkleTree(leaves)
  assert.equal(tree.root, index.root)
  for (const leaf of leaves) assert.ok(verifyProof(index.root, leaf, tree.proof(leaf)))
})

const flipped = (bytes: Uint8Array, at: number) =>
  bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))

test('the files give the index back, and nothing else under its root', async () => {
  const files = encodeIndex(index, {})
  const expected = { root: index.root, adapter: digest, config, lora }
  const loaded = decodeIndex(files, expected)
  assert.deepEqual(loaded.index.rows, index.rows)
  assert.deepEqual(encodeIndex(loaded.index, loaded), files)
  const { tokens } = examples[5]!
  assert.deepEqual(
    await queryVector(loaded.index, loaded.features, source, { tokens }),
    await queryOf(tokens),
  )

  const vectors = flipped(files.vectors, 5)
  assert.throws(() => decodeIndex({ ...files, vectors }, expected), /vector 0 is not the one/)
  const short = files.vectors.subarray(1)
  assert.throws(() => decodeIndex({ ...files, vectors: short }, expected), /does not hold/)
  const landmarks = files.landmarks.subarray(1)
  assert.throws(() => decodeIndex({ ...files, landmarks }, expected), /landmarks.i8 does not hold/)
  const other = { ...expected, adapter: keccak('other') }
  assert.throws(() => decodeIndex(files, other), /another adapter/)
  const changed = new TextEncoder().encode(
    new TextDecoder().decode(files.rows).replace('"exponent":-', '"exponent":-1'),
  )
  assert.throws(() => decodeIndex({ ...files, rows: changed }, expected), /has the root/)
})
