import assert from 'node:assert/strict'
import test from 'node:test'
import { canonicalJson, keccak, type Hex } from '#protocol/bytes.ts'
import { memoryBlobs, publishDatanet, shardOf, versionRowOf } from '../testing/datanet.ts'
import { canonicalRows, loadRows } from './dataset.ts'

const contributor = (n: number): Hex => `0x${n.toString(16).padStart(40, '0')}`
const record = (n: number) => ({
  fields: { prompt: `Question ${n}?`, completion: `Answer ${n}.` },
  contributor: contributor(n),
})
const records = Array.from({ length: 7 }, (_, n) => record(n + 1))

test('rows come out of the Parquet shards in order, with their contributors', async () => {
  const blobs = memoryBlobs()
  const rows = await loadRows(blobs, [await publishDatanet(blobs, records)])
  assert.deepEqual(
    rows.map(({ fields, contributor }) => ({ fields, contributor })),
    records,
  )
  assert.equal(rows[0]!.record, keccak(canonicalJson(records[0]!.fields)))
})

test('rows that do not have the root on chain are refused', async () => {
  const blobs = memoryBlobs()
  const published = await publishDatanet(blobs, records)
  const manifest = JSON.parse(new TextDecoder().decode(blobs.held.get(published.manifest)))
  const forged = await blobs.put(
    shardOf([versionRowOf({ ...record(1), contributor: contributor(99) })]),
  )
  manifest.shards[0] = { ...forged, records: 1 }
  const stored = await blobs.put(new TextEncoder().encode(JSON.stringify(manifest)))
  await assert.rejects(
    loadRows(blobs, [{ ...published, manifest: stored.sha256 }]),
    /do not have the root that is on chain/,
  )
})

test('a manifest of another root and a record with the content of another are refused', async () => {
  const blobs = memoryBlobs()
  const published = await publishDatanet(blobs, records)
  await assert.rejects(
    loadRows(blobs, [{ ...published, root: keccak('other') }]),
    /manifest is of another root/,
  )
  const swapped = await publishDatanet(blobs, records)
  const manifest = JSON.parse(new TextDecoder().decode(blobs.held.get(swapped.manifest)))
  const rows = records.map(versionRowOf)
  rows[2] = { ...rows[2]!, fields: canonicalJson({ text: 'something else' }) }
  manifest.shards = [{ ...(await blobs.put(shardOf(rows))), records: rows.length }]
  const stored = await blobs.put(new TextEncoder().encode(JSON.stringify(manifest)))
  await assert.rejects(
    loadRows(blobs, [{ ...swapped, manifest: stored.sha256 }]),
    /has the content of another/,
  )
})

test('a cluster is represented by the record it is named after, in the place of its first row', () => {
  const [a, b, c] = records.map((r) => ({ ...versionRowOf(r), fields: r.fields }))
  const named = { ...a!, cluster: b!.record }
  assert.deepEqual(canonicalRows([named, b!, c!]), [b, c])
  const anonymous = { ...a!, cluster: keccak('x') }
  assert.deepEqual(canonicalRows([anonymous, { ...b!, cluster: keccak('x') }]), [anonymous])
})
