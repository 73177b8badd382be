import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import type { Hex } from '#protocol/bytes.ts'
import { ADAPTER_FILES } from '#protocol/wire.ts'
import { sha256Of, type BlobStore } from '../blobs.ts'
import { fixedChain, registered, tinyWorkplace, trainTiny } from '../testing/trained.ts'
import { openAdapterStore } from './adapter-store.ts'
import { diskBlobs } from './disk-blobs.ts'

const place = await tinyWorkplace()
after(place.remove)
const job = { ...place.job, method: { ...place.job.method, epochs: 2 } }
const { manifest, blob } = await trainTiny({ ...place, job })
const ref = { digest: manifest.digest, manifest: blob.sha256 }
const { chain, state } = fixedChain(
  place.base.digest,
  manifest.digest,
  registered(job, manifest, blob),
)
const code = (code: string) => (error: { code?: string }) => error.code === code

/** The store over blobs of which some are replaced. */
function storeWith(replaced: Record<Hex, Uint8Array> = {}, mostBytes?: number) {
  const asked: Hex[] = []
  const blobs: Pick<BlobStore, 'get'> = {
    get: async (sha256) => {
      asked.push(sha256)
      return replaced[sha256] ?? place.blobs.get(sha256)
    },
  }
  const store = openAdapterStore({
    base: place.base,
    chain,
    blobs,
    ...(mostBytes && { mostBytes }),
  })
  return { store, asked }
}

test('an adapter is loaded once, shared by simultaneous requests, and kept', async () => {
  const { store, asked } = storeWith()
  const [a, b] = await Promise.all([store.get(ref), store.get(ref)])
  assert.equal(a.served, b.served)
  assert.equal((await store.get(ref)).served, a.served)
  assert.equal(asked.length, 1 + ADAPTER_FILES.length)
  assert.deepEqual(store.resident(), [manifest.digest])
})

for (const name of ADAPTER_FILES)
  test(`one changed byte in ${name} keeps the adapter from being served`, async () => {
    const { sha256 } = manifest.files[name]
    const original = place.blobs.held.get(sha256)!
    for (const place of [original.length - 1, original.length >> 1]) {
      const tampered = Uint8Array.from(original)
      tampered[place]! ^= 1
      const { store } = storeWith({ [sha256]: tampered })
      await assert.rejects(store.get(ref), code('model/digest-mismatch'))
      assert.deepEqual(store.resident(), [])
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
  assert.deepEqual(store.resident(), [])
})

test('the disk keeps what was fetched; a damaged copy is fetched anew, a damaged source is refused', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'blobs-'))
  after(() => rm(directory, { recursive: true }))
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
