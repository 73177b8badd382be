import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { Hex } from '#protocol/bytes.ts'
import { ADAPTER_FILES } from '#protocol/wire.ts'
import { EdgeError, sha256Of, type BlobStore } from '../blobs.ts'
import { fixedChain, registered, tinyWorkplace, trainTiny } from '../testing/trained.ts'
import { digestOfFiles, exportPeft, importPeft } from '../training/peft.ts'
import { openAdapterStore, type Tier } from './adapter-store.ts'
import { diskBlobs } from './disk-blobs.ts'
import { pinAdapters } from './pinned-adapters.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const place = await tinyWorkplace()
const job = { ...place.job, method: { ...place.job.method, epochs: 2 } }
const { manifest, blob } = await trainTiny({ ...place, job })
const ref = { digest: manifest.digest, manifest: blob.sha256 }
const { chain, state } = fixedChain(
  place.base.digest,
  manifest.digest,
  registered(job, manifest, blob),
)
const code = (code: string) => (error: { code?: string }) => error.code === code

const names = (...hashes: Hex[]) => hashes.map((sha256) => sha256.slice(2)).toSorted()

/** The store over blobs of which some are replaced. */
function storeWith(replaced: Record<Hex, Uint8Array> = {}, mostBytes?: number) {
  const asked: Hex[] = []
  const blobs: Pick<BlobStore, 'get'> = {
    get: async (sha256) => {
      asked.push(sha256)
      return replaced[sha256] ?? place.blobs.get(sha256)
    },
  }
  const tiers: Tier[] = []
  const opened = openAdapterStore({
    base: place.base,
    chain,
    blobs,
    onLoad: (tier) => tiers.push(tier),
    ...(mostBytes && { mostBytes }),
  })
  const get = async (asked: typeof ref) => opened.get(asked.digest, await opened.check(asked))
  const index = async (asked: typeof ref) => opened.index(asked.digest, await opened.check(asked))
  return { store: { ...opened, get, index }, asked, tiers }
}

const WEIGHT_FILES: readonly string[] = ['adapter_model.safetensors', 'adapter_config.json']

test('an adapter and its indexes are loaded once, shared by simultaneous requests, and kept', async () => {
  const { store, asked } = storeWith()
  const [a, b] = await Promise.all([store.get(ref), store.get(ref)])
  assert.equal(a, b)
  assert.equal(await store.get(ref), a)
  assert.equal(asked.length, 1 + WEIGHT_FILES.length)
  assert.deepEqual(store.load().adapters.resident, [manifest.digest])
  const [c, d] = await Promise.all([store.index(ref), store.index(ref)])
  assert.equal(c, d)
  assert.equal(await store.index(ref), c)
  assert.equal(asked.length, 2 + ADAPTER_FILES.length)
  assert.equal(await store.get(ref), a)
})

for (const name of ADAPTER_FILES)
  test(`one changed byte in ${name} keeps the adapter from being used`, async () => {
    const { sha256 } = manifest.files[name]
    const original = place.blobs.held.get(sha256)!
    for (const place of [original.length - 1, original.length >> 1]) {
      const tampered = Uint8Array.from(original)
      tampered[place]! ^= 1
      const { store } = storeWith({ [sha256]: tampered })
      await assert.rejects(store.index(ref), code('model/digest-mismatch'))
      if (!WEIGHT_FILES.includes(name)) continue
      await assert.rejects(store.get(ref), code('model/digest-mismatch'))
      assert.deepEqual(store.load().adapters.resident, [])
    }
  })

test('an index with another root than the chain’s is refused, whatever the manifest says', async () => {
  const registeredRoot = state.adapter.indexRoot
  state.adapter = { ...state.adapter, indexRoot: `0x${'12'.repeat(32)}` }
  await assert.rejects(storeWith().store.get(ref), code('model/digest-mismatch'))
  state.adapter = { ...state.adapter, indexRoot: registeredRoot }
})

test('a revoked adapter leaves memory at once', async () => {
  const { store } = storeWith()
  await store.get(ref)
  state.adapter = { ...state.adapter, revoked: true }
  await assert.rejects(store.get(ref), code('model/revoked'))
  state.adapter = { ...state.adapter, revoked: false }
  assert.deepEqual(store.load().adapters.resident, [])
})

test('the disk keeps what was fetched; a damaged copy is fetched anew, a damaged source is refused', async () => {
  const directory = scratchFolder()
  let fetched = 0
  const upstream: BlobStore = {
    ...place.blobs,
    get: async (sha256) => {
      fetched++
      return place.blobs.get(sha256)
    },
  }
  const { sha256 } = manifest.files['adapter_model.safetensors']
  const disk = diskBlobs(directory, upstream)
  const first = await disk.get(sha256)
  assert.deepEqual(await disk.get(sha256), Buffer.from(first))
  assert.equal(fetched, 1)

  const path = join(directory, sha256.slice(2))
  const damaged = await readFile(path)
  damaged[100]! ^= 1
  await writeFile(path, damaged)
  assert.equal(sha256Of(await disk.get(sha256)), sha256)
  assert.equal(fetched, 2)
  assert.equal(sha256Of(await readFile(path)), sha256)
  assert.deepEqual(await readdir(directory), [sha256.slice(2)])
})

test('memory is bounded in bytes: the longest unused goes, a pinned one stays until it is let go', async () => {
  const single = storeWith()
  const { bytes } = await single.store.get(ref)
  const twin = { digest: `0x${'77'.repeat(32)}` as Hex, manifest: blob.sha256 }
  const chainWithTwin = { adapter: async () => state.adapter }
  // Another digest of the same bytes is refused, so the second adapter is trained with another seed.
  const other = await trainTiny({
    ...place,
    job: { ...job, method: { ...job.method, seed: 9 } },
  })
  const otherRef = { digest: other.manifest.digest, manifest: other.blob.sha256 }
  const onChainOf = (m: typeof manifest, b: typeof blob) => registered(job, m, b)
  const store = openAdapterStore({
    base: place.base,
    chain: chainWithTwin,
    blobs: place.blobs,
    mostBytes: Math.ceil(1.5 * bytes),
  })
  await assert.rejects(store.get(twin.digest, state.adapter), code('model/digest-mismatch'))
  const first = () => store.get(ref.digest, onChainOf(manifest, blob))
  const second = () => store.get(otherRef.digest, onChainOf(other.manifest, other.blob))
  const unpin = store.pin(ref.digest)
  await first()
  await second()
  assert.deepEqual(store.load().adapters.resident, [ref.digest, otherRef.digest])
  unpin()
  unpin() // letting go twice is letting go once
  await second()
  assert.deepEqual(store.load().adapters.resident, [otherRef.digest])
  await first()
  const { resident, residentBytes, hits, misses, evictions } = store.load().adapters
  assert.deepEqual(resident, [ref.digest])
  assert.equal(residentBytes, bytes)
  assert.deepEqual({ hits, misses, evictions }, { hits: 1, misses: 4, evictions: 2 })
})

test('a pinned adapter is loaded with its index once the edge answers, and stays whatever comes after it', async () => {
  let failures = 2
  const blobs: Pick<BlobStore, 'get'> = {
    get: async (sha256) => {
      if (failures-- > 0) throw new EdgeError(503, 'not now')
      return place.blobs.get(sha256)
    },
  }
  const store = openAdapterStore({ base: place.base, chain, blobs, mostBytes: 1 })
  await pinAdapters([ref.digest], { store, chain, againAfterMs: 1 })
  const other = await trainTiny({ ...place, job: { ...job, method: { ...job.method, seed: 9 } } })
  await store.get(other.manifest.digest, registered(job, other.manifest, other.blob))
  const { adapters, indexes } = store.load()
  assert.deepEqual(adapters.resident, [ref.digest, other.manifest.digest])
  assert.deepEqual(indexes.resident, [ref.digest])
  assert.ok(indexes.residentBytes > indexes.budgetBytes)
})

test('a pinned adapter that is revoked leaves memory with its index, though nobody asks for it', async () => {
  const onChain = { ...state.adapter }
  const own = { adapter: async () => onChain }
  const store = openAdapterStore({ base: place.base, chain: own, blobs: place.blobs })
  await pinAdapters([ref.digest], { store, chain: own, againAfterMs: 5 })
  const resident = () => [store.load().adapters.resident, store.load().indexes.resident]
  assert.deepEqual(resident(), [[ref.digest], [ref.digest]])
  await setTimeout(50)
  assert.deepEqual(resident(), [[ref.digest], [ref.digest]])
  onChain.revoked = true
  for (let i = 0; i < 1_000 && resident().flat().length > 0; i++) await setTimeout(5)
  assert.deepEqual(resident(), [[], []])
})

test('a pinned adapter that is not what the chain says, revoked or unknown is not loaded, and the next one is', async () => {
  const { sha256 } = manifest.files['adapter_model.safetensors']
  const tampered = Uint8Array.from(place.blobs.held.get(sha256)!)
  tampered[tampered.length - 1]! ^= 1
  const blobs = {
    get: async (asked: Hex) => (asked === sha256 ? tampered : place.blobs.get(asked)),
  }
  const sound = await trainTiny({ ...place, job: { ...job, method: { ...job.method, seed: 9 } } })
  const [unknown, revoked]: Hex[] = [`0x${'77'.repeat(32)}`, `0x${'78'.repeat(32)}`]
  const known = new Map([
    [ref.digest, state.adapter],
    [revoked, { ...state.adapter, revoked: true }],
    [sound.manifest.digest, registered(job, sound.manifest, sound.blob)],
  ])
  const wider = { adapter: async (digest: Hex) => known.get(digest) ?? null }
  const store = openAdapterStore({ base: place.base, chain: wider, blobs })
  const pinned = [unknown!, revoked!, ref.digest, sound.manifest.digest]
  await pinAdapters(pinned, { store, chain: wider })
  assert.deepEqual(store.load().adapters.resident, [sound.manifest.digest])
})

test('loads are told by tier: the edge first, then the disk', async () => {
  const directory = scratchFolder()
  const tiers: Tier[] = []
  for (let i = 0; i < 2; i++) {
    const store = openAdapterStore({
      base: place.base,
      chain,
      blobs: diskBlobs(directory, place.blobs),
      onLoad: (tier, seconds) => tiers.push(tier) && assert.ok(seconds > 0),
    })
    await store.get(ref.digest, await store.check(ref))
  }
  assert.deepEqual(tiers, ['edge', 'disk'])
})

test('the disk is bounded in bytes: the longest unused goes, also after a restart; half-written files go', async () => {
  const directory = scratchFolder()
  const contents = Array.from({ length: 4 }, (_, i) => new Uint8Array(100).fill(i))
  const [a, b, c, d] = contents.map(sha256Of) as [Hex, Hex, Hex, Hex]
  const upstream = { get: async (sha256: Hex) => contents[[a, b, c, d].indexOf(sha256)]! }
  const disk = diskBlobs(directory, upstream, 250)
  await disk.get(a)
  await disk.get(b)
  await disk.get(a)
  await disk.get(c)
  assert.deepEqual((await readdir(directory)).toSorted(), names(a, c))
  assert.deepEqual([await disk.has(a), await disk.has(b)], [true, false])

  await writeFile(join(directory, 'left.partial'), 'half')
  const again = diskBlobs(directory, upstream, 250)
  await again.get(d)
  assert.deepEqual((await readdir(directory)).toSorted(), names(c, d))
})

test('an adapter whose weights could overflow is refused', async () => {
  for (const weight of [NaN, Infinity, 1e30]) {
    const files = {
      weights: await place.blobs.get(manifest.files['adapter_model.safetensors'].sha256),
      config: await place.blobs.get(manifest.files['adapter_config.json'].sha256),
    }
    const adapter = importPeft(place.base.config, files)
    const [first] = adapter.tensors.values()
    first!.data[3] = weight
    const poisoned = exportPeft(adapter, place.base.name)
    const digest = digestOfFiles(poisoned, place.base.digest)
    const written = {
      ...manifest,
      digest,
      files: {
        ...manifest.files,
        'adapter_model.safetensors': await place.blobs.put(poisoned.weights),
        'adapter_config.json': await place.blobs.put(poisoned.config),
      },
    }
    const stored = await place.blobs.put(new TextEncoder().encode(JSON.stringify(written)))
    const onChain = registered(job, written, stored)
    const store = openAdapterStore({
      base: place.base,
      chain: { adapter: async () => onChain },
      blobs: place.blobs,
    })
    await assert.rejects(store.get(digest, onChain), /a weight beyond/)
  }
})
