import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import test from 'node:test'
import { keccak, type Hex } from './bytes.ts'
import { buildEpoch, MAX_RECEIPTS, type EpochFile } from './epoch.ts'
import { epochRoots } from './ledgers.ts'
import { encodeQuery, receiptHash, type Receipt, type SignedReceipt } from './receipt.ts'
import {
  decodeManifest,
  decodeSegment,
  encodeEpoch,
  encodeItem,
  encodeManifest,
  encodeSegment,
  MAX_SEGMENT_BYTES,
  readEpoch,
  type Segment,
} from './segments.ts'

/** A generator of whole numbers below a bound (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const domain = { chainId: 901612, settlement: address('settlement') }

function address(name: string): Hex {
  return `0x${keccak(name).slice(2, 42)}`
}

/** A receipt of any shape that the schema allows: every list may be empty, every number at its border. */
function anyReceipt(seed: number): SignedReceipt {
  const random = numbers(seed)
  const hash = () => keccak(String(random(1_000_000)))
  const who = () => address(`account ${random(20)}`)
  const wei = () => [0n, 1n, 10n ** 15n, 2n ** 96n - 1n][random(4)]!
  const signed64 = () => [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)][random(4)]!
  const list = <T>(most: number, make: () => T) => Array.from({ length: random(most + 1) }, make)
  const uint32 = () => [0, 1, 0xffff_ffff][random(3)]!
  const receipt: Receipt = {
    requestId: keccak(`request ${seed}`),
    payer: who(),
    base: hash(),
    adapter: hash(),
    indexRoot: hash(),
    datanets: list(3, () => keccak(`version ${random(3)}`)),
    paramsHash: keccak('parameters'),
    methodVersion: 1,
    promptHash: hash(),
    outputHash: hash(),
    outputRoot: hash(),
    outputTokens: uint32(),
    queryHash: hash(),
    promptTokens: uint32(),
    completionTokens: uint32(),
    fee: wei(),
    platform: wei(),
    model: wei(),
    stakers: wei(),
    retrieval: wei(),
    modelOwner: who(),
    covered: wei() % 2n ** 64n,
    total: wei() % 2n ** 64n,
    floor: wei() % 2n ** 63n,
    rows: list(20, () => ({
      cluster: hash(),
      record: hash(),
      contributor: who(),
      influence: signed64(),
      significance: signed64(),
      text: wei() % 2n ** 64n,
      spans: list(3, () => ({ outputStart: uint32(), recordStart: uint32(), length: uint32() })),
      amount: wei(),
    })),
    unattributed: wei(),
    citations: list(4, () => ({
      cluster: hash(),
      record: hash(),
      contributor: who(),
      datanet: hash(),
      amount: wei(),
    })),
    stored: random(2) === 0,
    worker: who(),
    time: 1_790_000_000n,
  }
  const query = encodeQuery(Int8Array.from({ length: random(2_000) }, () => random(256) - 128))
  return { receipt, signature: `0x${'5a'.repeat(65)}`, query }
}

const epochOf = (count: number, seed = 0): EpochFile =>
  buildEpoch(new Map([[address('earlier'), 5n]]), {
    ...domain,
    epoch: 1,
    treasuries: { platform: address('platform'), stakers: address('stakers') },
    receipts: Array.from({ length: count }, (_, i) => anyReceipt(1_000 * seed + i)),
    presence: ['version 0', 'version 1', 'version 2'].map((version) => ({
      root: keccak(version),
      clusters: [
        { contributor: address('alice'), count: 3 },
        { contributor: address('bob'), count: 1 },
      ],
    })),
  })

/** What an epoch publishes: bytes by hash, and the manifest. */
async function publish(file: EpochFile, maxBytes?: number) {
  const parts = new Map<Hex, Uint8Array>()
  const segments: Segment[] = []
  for await (const { bytes, ...segment } of encodeEpoch(file, maxBytes)) {
    parts.set(segment.hash, bytes)
    segments.push({ ...segment, commitment: `0x01${segment.hash.slice(2)}` })
  }
  const manifest = encodeManifest({ ...file, segments })
  return { parts, segments, manifest, dataHash: keccak(manifest) }
}

const segmentOf = async (count: number) => {
  const items = Array.from({ length: count }, (_, i) => encodeItem(anyReceipt(i)))
  return encodeSegment('receipts', items)
}
/** A segment of any bytes, honestly named. */
const named = (bytes: Uint8Array, count = 1) => ({
  segment: { kind: 'receipts' as const, count, hash: keccak(bytes) },
  bytes,
})
const gzip = (text: string) => named(gzipSync(text))

test('an epoch comes back from its segments to the bit, however small they are', async () => {
  for (let seed = 0; seed < 6; seed++) {
    const file = epochOf(seed * 4, seed)
    for (const maxBytes of [1, 20_000, MAX_SEGMENT_BYTES]) {
      const { parts, segments, manifest, dataHash } = await publish(file, maxBytes)
      const read = await readEpoch(decodeManifest(manifest, dataHash), async ({ hash }) =>
        parts.get(hash)!,
      )
      assert.deepEqual(read, file)
      assert.deepEqual(epochRoots(read), epochRoots(file))
      for (const [i, { receipt }] of read.receipts.entries())
        assert.equal(receiptHash(receipt, domain), receiptHash(file.receipts[i]!.receipt, domain))
      const lists = segments.filter(({ kind }) => kind === 'receipts').length
      if (maxBytes === 1) assert.equal(lists, file.receipts.length)
      if (maxBytes === MAX_SEGMENT_BYTES) assert.equal(lists, file.receipts.length > 0 ? 1 : 0)
    }
  }
})

test('a segment is cut where the next item would make it too long', async () => {
  const file = epochOf(40)
  for await (const { kind, count, hash, bytes } of encodeEpoch(file, 20_000)) {
    const items = await decodeSegment({ kind, count, hash }, bytes)
    const length = `[${items.map(encodeItem).join()}]`.length
    assert.ok(length <= 20_000 || count === 1, `${count} ${kind} of ${length} bytes`)
  }
})

test('segments that are malformed are refused, and it is said why', async () => {
  const { bytes, ...segment } = await segmentOf(3)
  const refused = (message: RegExp, given: ReturnType<typeof named>) =>
    assert.rejects(decodeSegment(given.segment, given.bytes), message)
  const honest = { kind: 'receipts', count: 3, hash: segment.hash } as const
  assert.equal((await decodeSegment(honest, bytes)).length, 3)

  const flipped = bytes.with(bytes.length >> 1, bytes[bytes.length >> 1]! ^ 1)
  await refused(/has other bytes: their hash is 0x/, { segment: honest, bytes: flipped })
  await refused(/has other bytes/, { segment: honest, bytes: bytes.subarray(0, -1) })
  await refused(/has other bytes/, { segment: honest, bytes: new Uint8Array() })

  await refused(/cannot be unpacked/, named(bytes.slice(0, -20), 3)) // truncated, and honestly named so
  await refused(/cannot be unpacked/, named(flipped, 3))
  await refused(/cannot be unpacked/, named(new TextEncoder().encode('[]')))
  await refused(/longer than 4194304 bytes/, gzip(' '.repeat(MAX_SEGMENT_BYTES + 1)))

  await refused(/cannot be read/, gzip('[{"receipt":'))
  await refused(/cannot be read/, gzip('{}'))
  await refused(/cannot be read/, gzip('[{}]'))
  await refused(/cannot be read/, gzip('[{"account":"0x00","amount":"1"}]')) // of another kind
  const [text] = [encodeItem(anyReceipt(1))]
  await refused(/not in canonical form/, gzip(`[ ${text}]`))
  await refused(/not in canonical form/, gzip(`[${text.replace('{', '{"more":1,')}]`))
  const shouted = text.replace(
    /"payer":"0x([0-9a-f]+)"/,
    (_, hex: string) => `"payer":"0x${hex.toUpperCase()}"`,
  )
  await refused(/not in canonical form/, gzip(`[${shouted}]`))

  for (const count of [1, 2, 4]) await refused(/has 3 receipts, not/, named(bytes, count))
})

const read = (bytes: Uint8Array) => () => decodeManifest(bytes, keccak(bytes))

test('a manifest that is malformed, repeats a segment or lists too many receipts is refused', async () => {
  const { segments, manifest, dataHash } = await publish(epochOf(4), 20_000)
  assert.throws(() => decodeManifest(manifest, keccak('other')), /has other bytes/)
  assert.throws(() => decodeManifest(manifest.subarray(1), dataHash), /has other bytes/)
  const changed = (change: (segments: Segment[]) => Segment[]) =>
    read(encodeManifest({ ...epochOf(4), segments: change(segments) }))
  changed((same) => same)()
  assert.throws(read(new TextEncoder().encode('{"format":[[[[')), /cannot be read/)
  const json = new TextDecoder().decode(manifest)
  assert.throws(read(new TextEncoder().encode(`${json}\n`)), /not in canonical form/)
  const old = json.replace('openledger-epoch-2', 'openledger-epoch-1')
  assert.throws(read(new TextEncoder().encode(old)), /cannot be read/)
  assert.throws(
    changed((all) => [...all, all[0]!]),
    /a segment is listed twice/,
  )
  assert.throws(
    changed((all) => [{ ...all[0]!, count: 0 }]),
    /cannot be read/,
  )
  assert.throws(
    changed(() => [
      { kind: 'receipts', count: MAX_RECEIPTS + 1, hash: keccak('x'), commitment: '0x' },
    ]),
    /more than 10000 receipts/,
  )
})

test('an epoch with a segment left out or out of place is another epoch', async () => {
  const file = epochOf(6)
  const { parts, segments, manifest, dataHash } = await publish(file, 10_000)
  const honest = decodeManifest(manifest, dataHash)
  const receipts = segments.filter(({ kind }) => kind === 'receipts')
  assert.ok(receipts.length > 2)
  const read = async ({ hash }: Segment) => parts.get(hash)!
  const { receiptsRoot } = epochRoots(file)
  for (const others of [
    segments.filter((segment) => segment !== receipts[1]),
    segments.toSpliced(segments.indexOf(receipts[0]!), 2, receipts[1]!, receipts[0]!),
  ])
    assert.notEqual(
      epochRoots(await readEpoch({ ...honest, segments: others }, read)).receiptsRoot,
      receiptsRoot,
    )
  await assert.rejects(
    readEpoch(honest, async (segment) => {
      if (segment.hash === receipts[1]!.hash) throw new Error('nowhere')
      return read(segment)
    }),
    /nowhere/,
  )
})
