import assert from 'node:assert/strict'
import test from 'node:test'
import { createDeduplicator, type DedupDecision } from './dedup.ts'
import { createMemoryIndex, LOOKUP, type DedupIndex, type MemoryIndex } from './dedup-index.ts'
import { bandKeys, fmix32, intersect, MH1, sharedWords, signature, sketch, WN1 } from './minhash.ts'
import { simplify } from './normalize.ts'
import { DEFAULT_PROFILE } from './profile.ts'
import { recordHash } from './record.ts'
import type { RecordFields } from '#protocol/wire.ts'

let seed = 1
const random = (n: number): number =>
  ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 8) % n
/** Words that never repeat: `count` of them, different on every call. */
let nextWord = 0
const words = (count: number): string[] =>
  Array.from({ length: count }, () => `w${(nextWord++).toString(36)}`)

async function decide(
  texts: (string | RecordFields)[],
  index: DedupIndex = createMemoryIndex(),
  contributor = 'ann',
): Promise<DedupDecision[]> {
  const decisions: DedupDecision[] = []
  const records = texts.map((text) => (typeof text === 'string' ? { text } : text))
  await createDeduplicator(
    index,
    contributor,
    DEFAULT_PROFILE,
  )(records, (_at, decision) => {
    decisions.push(decision)
    return decision.reason !== 'DUPLICATE_EXACT' && decision.reason !== 'DUPLICATE_NEAR'
  })
  return decisions
}

async function indexOf(texts: string[], contributor: string): Promise<MemoryIndex> {
  const index = createMemoryIndex('old:')
  for (const { entry } of await decide(texts, createMemoryIndex(), contributor)) index.add(entry)
  return index
}

/** The index as another Datanet sees it. */
const elsewhere = (index: MemoryIndex): DedupIndex => ({
  ...index,
  lookupKeys: () => [],
  lookupBands: () => [],
  fetchRecords: (refs) =>
    index.fetchRecords(refs).map((record) => ({ ...record, sameDatanet: false })),
})

test('simplified text ignores case, accents, punctuation, width and white space, and keeps digits', () => {
  assert.equal(simplify(' The  “Café”,\n№ 12—3! '), 'the cafe no 12 3')
  assert.equal(simplify('Ｆｕｌｌ ﬁrst'), 'full first')
  assert.equal(simplify('漢字 kana かな'), '漢 字 kana か な')
  assert.equal(simplify('—!?'), '')
})

test('simplifying is idempotent on random text', () => {
  const parts = ['A', 'é', ' ', '-', 'ß', 'İ', 'Ⅷ', '℡', '漢', '\u0301', '１', 'ﬁ', '\n', 'ς', '🦊']
  for (let round = 0; round < 2000; round++) {
    const once = simplify(Array.from({ length: 8 }, () => parts[random(parts.length)]).join(''))
    assert.equal(simplify(once), once)
  }
})

test('fmix32 is MurmurHash3’s finalizer', () => {
  // Known answers of MurmurHash3_x86_32's fmix.
  assert.equal(fmix32(0), 0)
  assert.equal(fmix32(1), 0x514e28b7)
  assert.equal(fmix32(0xffffffff), 0x81f16f39)
})

test('shared minima estimate Jaccard similarity without bias', () => {
  let estimated = 0
  let actual = 0
  for (let round = 0; round < 60; round++) {
    const shared = words(20 + random(80))
    const a = sketch([...shared, ...words(random(60))].join(' ')).shingles
    const b = sketch([...shared, ...words(random(60))].join(' ')).shingles
    const both = intersect(a, b)
    actual += both / (a.length + b.length - both)
    const [left, right] = [signature(a), signature(b)]
    estimated += left.filter((least, k) => least === right[k]).length / MH1.permutations
  }
  // The estimate's standard error over 60 pairs of 112 minima is at most 0.5 / sqrt(6720) = 0.0061.
  assert(Math.abs(estimated - actual) / 60 < 4 * 0.0061, `${estimated / 60} ${actual / 60}`)
})

test('pairs meet in a band as often as 1 - (1 - s^8)^14 says', () => {
  const rounds = 400
  let met = 0
  let expected = 0
  for (let round = 0; round < rounds; round++) {
    const shared = words(104)
    const a = sketch([...shared, ...words(12)].join(' ')).shingles
    const b = sketch([...shared, ...words(12)].join(' ')).shingles
    const both = intersect(a, b)
    const jaccard = both / (a.length + b.length - both)
    expected += 1 - (1 - jaccard ** MH1.rows) ** MH1.bands
    const keys = new Set(bandKeys(a))
    if (bandKeys(b).some((key) => keys.has(key))) met++
  }
  assert(Math.abs(met - expected) < 4 * Math.sqrt(rounds / 4), `${met} of ${expected}`)
})

test('keys fit a double exactly and one window in eight is a fingerprint', () => {
  const { shingles, windows, fingerprints } = sketch(words(20_000).join(' '))
  assert.equal(shingles.length, 20_000 - MH1.shingleWords + 1) // all distinct: no 32-bit accident here
  assert.equal(windows.length, 20_000 - WN1.windowWords + 1)
  // Schleimer et al.: a density of 2 / (windows + 1) on random text.
  assert(Math.abs(fingerprints.length / windows.length - 1 / 8) < 0.01)
  for (const key of [...bandKeys(shingles), ...fingerprints])
    assert(Number.isSafeInteger(key) && key >= 0 && key < 2 ** 52)
})

test('any 27 words that two texts share have a fingerprint in common', () => {
  for (let round = 0; round < 300; round++) {
    const shared = words(WN1.windowWords + WN1.windows - 1)
    const within = (before: number, after: number) =>
      new Set(sketch([...words(before), ...shared, ...words(after)].join(' ')).fingerprints)
    const long = within(random(200), random(200))
    const other = within(random(40), random(40))
    assert([...sketch(shared.join(' ')).fingerprints].some((key) => long.has(key)))
    assert([...other].some((key) => long.has(key)))
  }
})

test('the share of words in common 5-grams forgives scattered changes and nothing else', () => {
  const text = words(100)
  const shared = (other: string[]) => sharedWords(sketch(other.join(' ')), sketch(text.join(' ')))
  assert.equal(shared(text), 1)
  assert.equal(shared(text.map((word, i) => (i % 20 === 7 ? 'changed' : word))), 0.95)
  assert.equal(shared(text.map((word, i) => (i % 4 === 3 ? 'changed' : word))), 0)
  assert.equal(shared([...text.slice(0, 50), ...words(50)]), 0.5)
  assert.equal(shared(words(100)), 0)
  assert.equal(sharedWords(sketch('four words are few'), sketch('four words are few')), 0)
})

test('the same words again are an exact duplicate, by whomever, whatever the punctuation', async () => {
  const [first, again, dressed] = await decide([
    'The parties agree to this.',
    'The parties agree to this.',
    'THE PARTIES, agree to — this',
  ])
  assert.deepEqual([first?.reason, first?.novelty], [null, 1])
  assert.deepEqual(
    [again?.reason, again?.novelty, again?.evidence?.measure],
    ['DUPLICATE_EXACT', 0, 'exact'],
  )
  assert.equal(dressed?.evidence?.measure, 'normalized')
  assert.equal(dressed?.evidence?.duplicateOf, recordHash({ text: 'The parties agree to this.' }))
  assert.equal(dressed?.entry.cluster, first?.entry.recordHash)
})

test('records that differ in a number are different facts', async () => {
  const decisions = await decide([
    'Revenue was 12 million in 2018.',
    'Revenue was 13 million in 2019.',
  ])
  assert.deepEqual(
    decisions.map((decision) => decision.reason),
    [null, null],
  )
})

test('nearly the same words are a near duplicate of the earliest of its cluster', async () => {
  const base = words(100)
  const changed = (at: number): string => base.with(at, 'changed').join(' ')
  const index = await indexOf([base.join(' ')], 'bob')
  const [near, other] = await decide([changed(0), changed(99)], index)
  for (const decision of [near, other]) {
    assert.equal(decision?.reason, 'DUPLICATE_NEAR')
    assert.equal(decision?.entry.cluster, recordHash({ text: base.join(' ') }))
    assert.equal(decision?.evidence?.sameContributor, false)
  }
  assert.equal(near?.evidence?.similarity, 0.9794) // 95 of 97 shingles
})

test('a copy with a word changed here and there is of the cluster of its original, whoever hands it in', async () => {
  const text = words(120)
  const original = recordHash({ text: text.join(' ') })
  const copies = Array.from({ length: 5 }, () =>
    text.map((word, i) => (i % 24 === 6 ? (words(1)[0] ?? '') : word)).join(' '),
  )
  for (const contributor of ['ann', 'bob']) {
    const decisions = await decide(copies, await indexOf([text.join(' ')], 'ann'), contributor)
    for (const { reason, entry } of decisions)
      assert.deepEqual([reason, entry.cluster], ['PARTIAL_OVERLAP', original])
  }
  // A template filled with facts of its own stays a record of its own.
  const filled = text.map((word, i) => (i % 24 < 4 ? (words(1)[0] ?? '') : word)).join(' ')
  const [own] = await decide([filled], await indexOf([text.join(' ')], 'ann'))
  assert.deepEqual([own?.reason, own?.entry.cluster], ['PARTIAL_OVERLAP', own?.entry.recordHash])
})

test('a copied passage in a longer record of another contributor is suspected plagiarism', async () => {
  const passage = words(60).join(' ')
  const long = `${words(300).join(' ')} ${passage} ${words(300).join(' ')}`
  const [suspect] = await decide([passage], await indexOf([long], 'bob'))
  assert.equal(suspect?.reason, 'PLAGIARISM_SUSPECT')
  assert.deepEqual([suspect?.evidence?.measure, suspect?.evidence?.similarity], ['containment', 1])
  const [own] = await decide([passage], await indexOf([long], 'ann'))
  assert.deepEqual([own?.reason, own?.novelty], ['PARTIAL_OVERLAP', 0])
  assert.equal(own?.entry.cluster, recordHash({ text: long }))
})

test('a patchwork of several contributors’ records is suspected though each holds little', async () => {
  const parts = Array.from({ length: 5 }, () => words(60).join(' '))
  const index = await indexOf(
    parts.map((part) => `${words(200).join(' ')} ${part} ${words(200).join(' ')}`),
    'bob',
  )
  const [patchwork] = await decide([parts.join(' ')], index)
  assert.equal(patchwork?.reason, 'PLAGIARISM_SUSPECT') // 240 of 288 windows: those across seams are new
  assert.equal(patchwork?.evidence?.similarity, 0.8333)
})

test('a record that is new by half is accepted with half the novelty', async () => {
  const old = words(100)
  const [half] = await decide(
    [`${old.slice(0, 50).join(' ')} ${words(50).join(' ')}`],
    await indexOf([old.join(' ')], 'bob'),
  )
  assert.equal(half?.reason, 'PARTIAL_OVERLAP')
  assert.equal(half?.novelty, 0.5682) // 38 of 88 windows are held
  assert.equal(half?.entry.cluster, half?.entry.recordHash)
})

test('records of another Datanet count against copying, not against their own author', async () => {
  const text = words(80).join(' ')
  const [author] = await decide([text], elsewhere(await indexOf([text], 'ann')))
  assert.deepEqual([author?.reason, author?.novelty], [null, 1])
  const [copier] = await decide([text], elsewhere(await indexOf([text], 'bob')))
  assert.equal(copier?.reason, 'PLAGIARISM_SUSPECT')
  assert.equal(copier?.entry.cluster, copier?.entry.recordHash) // clusters stay within a Datanet
})

test('retained fields are those that the earlier record already has', async () => {
  const answer = words(60).join(' ')
  const [, second] = await decide([
    { prompt: 'What is it?', completion: answer },
    { prompt: 'What is this thing?', completion: answer },
  ])
  assert.equal(second?.reason, 'DUPLICATE_NEAR')
  assert.deepEqual(second?.evidence?.retainedFields, ['completion'])
})

test('short records compare by characters, and texts without words do not crash', async () => {
  const decisions = await decide(['Governing law', 'Governing laws', 'ok', '?!', ''])
  assert.deepEqual(
    decisions.map((decision) => decision.reason),
    [null, 'DUPLICATE_NEAR', null, null, 'DUPLICATE_EXACT'],
  )
})

test('lookups keep to their batch sizes and a full band is cut, and decisions do not change', async () => {
  const template = words(40)
  const texts = Array.from({ length: 1200 }, (_, i) =>
    [...template, ...words(30), `n${i}`].join(' '),
  )
  const inner = await indexOf(texts.slice(0, 600), 'bob')
  const sizes: Record<string, number> = {}
  const watched =
    <Key, Hit>(name: string, limit: number, call: (keys: Key[], perKey: number) => Hit[]) =>
    async (keys: Key[], perKey = 0): Promise<Hit[]> => {
      assert(keys.length > 0 && keys.length <= limit && new Set(keys).size === keys.length)
      sizes[name] = Math.max(sizes[name] ?? 0, keys.length)
      return call(keys, perKey)
    }
  const index: DedupIndex = {
    lookupKeys: watched('keys', LOOKUP.keysPerCall, inner.lookupKeys),
    lookupBands: watched('bands', LOOKUP.bandsPerCall, inner.lookupBands),
    lookupWindows: watched('windows', LOOKUP.windowsPerCall, inner.lookupWindows),
    lookupAnswers: watched('answers', LOOKUP.windowsPerCall, inner.lookupAnswers),
    fetchRecords: watched('records', LOOKUP.recordsPerCall, inner.fetchRecords),
  }
  const remote = await decide(texts.slice(500), index)
  assert.deepEqual(await decide(texts.slice(500), inner), remote)
  assert(remote.slice(0, 100).every((decision) => decision.reason === 'DUPLICATE_EXACT'))
  assert(remote.slice(100).every((decision) => decision.reason === 'PARTIAL_OVERLAP'))
  assert.equal(sizes.bands, LOOKUP.bandsPerCall)
})
