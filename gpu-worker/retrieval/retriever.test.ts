import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { sampleContributors } from '#stack/sample/licences.ts'
import { memoryBlobs, publishDatanet, versionRowOf, type TestRecord } from '../testing/datanet.ts'
import type { Embedder } from './embedder.ts'
import { openRetriever } from './retriever.ts'

const contributor = (n: number): Hex => `0x${n.toString(16).padStart(40, '0')}`
const record = (text: string, n = 1, cluster?: Hex): TestRecord => ({
  fields: { prompt: `About ${n}`, completion: text },
  contributor: contributor(n),
  ...(cluster && { cluster }),
})
const records = [
  record('The licence grants a patent right.', 1),
  record('A warranty is not given for the software.', 2),
  record('The licence grants a copyright and a patent.', 3, keccak('shared')),
  record('The licence grants a copyright and a patent!', 4, keccak('shared')),
  record('Copies carry this notice.', 5),
]
const hashOf = (n: number) => versionRowOf(records[n]!).record

async function library(embedder: Embedder | null = null) {
  const blobs = memoryBlobs()
  const version = await publishDatanet(blobs, records)
  let reads = 0
  const counted = {
    ...blobs,
    get: (sha256: Hex) => {
      reads++
      return blobs.get(sha256)
    },
  }
  return { version, retriever: openRetriever(counted, embedder), reads: () => reads, blobs }
}

const top = (topK: number) => ({ topK, isRevoked: () => false })

test('the records with the question’s words are found, a cluster once, with who wrote them', async () => {
  const { retriever, version } = await library()
  const found = await retriever.retrieve('grants patent licence?', [version], top(5))
  assert.deepEqual(
    found.map((one) => one.record),
    [hashOf(0), hashOf(2)],
  )
  assert.deepEqual(found[0], {
    datanet: version.id,
    version: 1,
    root: version.root,
    record: hashOf(0),
    cluster: hashOf(0),
    contributor: contributor(1),
    text: 'About 1\nThe licence grants a patent right.',
  })
  assert.deepEqual(await retriever.retrieve('patent', [version, version], top(1)), [found[0]])
  assert.deepEqual(await retriever.retrieve('zebra', [version], top(5)), [])
})

test('a revoked record is not found, nor another one of its cluster in its place', async () => {
  const { retriever, version } = await library()
  const isRevoked = ({ record }: { record: Hex }) => record === hashOf(0)
  const found = await retriever.retrieve('grants patent licence?', [version], {
    topK: 5,
    isRevoked,
  })
  assert.deepEqual(
    found.map((one) => one.record),
    [hashOf(2)],
  )
})

test('however many records are revoked, those that are not are found', async () => {
  const many = Array.from({ length: 60 }, (_, n) => record(`The licence grants right ${n}.`, n))
  const last = versionRowOf(many[59]!).record
  const blobs = memoryBlobs()
  const version = await publishDatanet(blobs, many)
  const found = await openRetriever(blobs, null).retrieve('licence grants', [version], {
    topK: 5,
    isRevoked: (row) => row.record !== last,
  })
  assert.deepEqual(
    found.map((one) => one.record),
    [last],
  )
})

test('records are told to be of the version that was asked for, though another has the same ones', async () => {
  const { retriever, version } = await library()
  for (const asked of [version, { ...version, id: 'dn_other' }, { ...version, version: 2 }]) {
    const [first] = await retriever.retrieve('patent', [asked], top(1))
    assert.deepEqual([first?.datanet, first?.version], [asked.id, asked.version])
  }
})

test('a version is fetched and verified once, also by questions at the same time', async () => {
  const { retriever, version, reads } = await library()
  await Promise.all(
    ['patent', 'warranty'].map((word) => retriever.retrieve(word, [version], top(1))),
  )
  await retriever.retrieve('notice', [version], top(1))
  assert.equal(reads(), 3) // the manifest and two shards
})

test('a version of another root or with other bytes is refused, and asked for again later', async () => {
  const { retriever, version } = await library()
  const other = { ...version, root: keccak('another root') }
  await assert.rejects(retriever.retrieve('patent', [other], top(1)), /another root/)
  const { retriever: broken, version: lost, blobs } = await library()
  const manifest = blobs.held.get(lost.manifest)!
  blobs.held.delete(lost.manifest)
  await assert.rejects(broken.retrieve('patent', [lost], top(1)), /no blob/)
  blobs.held.set(lost.manifest, manifest)
  assert.equal((await broken.retrieve('patent', [lost], top(1))).length, 1)
})

test('meaning moves a record up, and is computed once per record', async () => {
  const asked: string[] = []
  // A vector says whether a text is about copyright.
  const embedder: Embedder = {
    name: 'test',
    embed: async (texts) => {
      asked.push(...texts)
      return texts.map((text) => Float32Array.of(/copyright|author/.test(text) ? 1 : 0, 1))
    },
    release: async () => undefined,
  }
  const { retriever, version } = await library(embedder)
  const question = 'Which licence grants author rights?'
  const lexical = await (await library()).retriever.retrieve(question, [version], top(1))
  assert.equal(lexical[0]?.record, hashOf(0))
  const [first] = await retriever.retrieve(question, [version], top(1))
  assert.equal(first?.record, hashOf(2))
  const before = asked.length
  await retriever.retrieve(question, [version], top(1))
  assert.deepEqual(asked.slice(before), [question])
})

test('a question in other words finds its clause among real licence texts, mostly in the first places', async (t) => {
  const clauses = sampleContributors(40).flatMap((family) => family.records)
  const blobs = memoryBlobs()
  const given = clauses.map((fields, n) => ({ fields, contributor: contributor(n) }))
  const version = await publishDatanet(blobs, given)
  const retriever = openRetriever(blobs, null)
  const places: number[] = []
  for (const { fields } of given) {
    const [, licence, topic] = /^What does the (.+) say about (.+)\?$/.exec(fields.prompt) ?? []
    if (!licence || !topic) continue
    // Records that were asked for by the same question answer it as well.
    const right = given.filter((one) => one.fields.prompt === fields.prompt)
    const hashes = new Set(right.map((one) => versionRowOf(one).record))
    const question = `How is ${topic} treated under ${licence}, please?`
    const found = await retriever.retrieve(question, [version], top(10))
    places.push(found.findIndex(({ record }) => hashes.has(record)))
  }
  const meanOf = (of: (place: number) => number) =>
    places.reduce((sum, place) => sum + of(place), 0) / places.length
  const reciprocal = meanOf((place) => (place < 0 ? 0 : 1 / (place + 1)))
  const recall = meanOf((place) => Number(place >= 0))
  t.diagnostic(`MRR ${reciprocal.toFixed(3)}, recall at 10 ${recall.toFixed(3)}`)
  assert.ok(places.length > 50)
  assert.ok(reciprocal > 0.7 && recall > 0.9)
})
