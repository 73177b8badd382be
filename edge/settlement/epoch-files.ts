import { keccak, sha256Hex, type Hex } from '#protocol/bytes.ts'
import { decodeEpoch, type EpochFile, type Presence } from '#protocol/epoch.ts'
import { datanetManifest } from '#protocol/wire.ts'
import { getData, type DaUrls } from './da.ts'

/** Our own copy of epoch files, by the hash that is on chain: the data-availability layer forgets after weeks. */
export const epochKey = (dataHash: Hex) => `epochs/${dataHash.slice(2)}`

/** Keeps an epoch file. Idempotent: its name is its hash. */
export async function keepEpochFile(blobs: R2Bucket, dataHash: Hex, bytes: Uint8Array) {
  if (await blobs.head(epochKey(dataHash))) return // R2 takes one write per second and key
  await blobs.put(epochKey(dataHash), bytes, {
    httpMetadata: { contentType: 'application/json' },
  })
}

/** Bytes of an epoch file; throws when they are missing or do not have the hash. */
export async function epochBytes(blobs: R2Bucket, dataHash: Hex): Promise<Uint8Array> {
  const object = await blobs.get(epochKey(dataHash))
  if (!object) throw new Error(`epoch file ${dataHash} is missing`)
  const bytes = new Uint8Array(await object.arrayBuffer())
  if (keccak(bytes) !== dataHash) throw new Error(`epoch file ${dataHash} has other bytes`)
  return bytes
}

/** An epoch file that is on chain, from our own copy or else from where its commitment says; throws when both fail. */
export async function findEpochFile(
  { BLOBS }: { BLOBS: R2Bucket },
  { DA_URL }: { DA_URL: DaUrls },
  dataHash: Hex,
  commitment: Hex,
): Promise<EpochFile> {
  if (!(await BLOBS.head(epochKey(dataHash)))) {
    const bytes = await getData(DA_URL, commitment)
    if (keccak(bytes) !== dataHash) throw new Error(`DA get: not the epoch file ${dataHash}`)
    await keepEpochFile(BLOBS, dataHash, bytes)
  }
  return readEpochFile(BLOBS, dataHash)
}

const decoded = new Map<Hex, EpochFile>()
const MAX_DECODED = 4

/** A parsed epoch file; the last few stay in the isolate, because files under a hash never change. */
export async function readEpochFile(blobs: R2Bucket, dataHash: Hex): Promise<EpochFile> {
  const known = decoded.get(dataHash)
  if (known) return known
  const file = decodeEpoch(await epochBytes(blobs, dataHash))
  const [oldest] = decoded.keys()
  if (oldest && decoded.size >= MAX_DECODED) decoded.delete(oldest)
  decoded.set(dataHash, file)
  return file
}

/** Clusters per contributor of a Datanet version, from its manifest; throws when it is missing or another's. */
export async function readPresence(blobs: R2Bucket, root: Hex, manifest: Hex): Promise<Presence> {
  const object = await blobs.get(`sha256/${manifest.slice(2)}`)
  if (!object) throw new Error(`manifest ${manifest} of Datanet version ${root} is missing`)
  const bytes = new Uint8Array(await object.arrayBuffer())
  if (sha256Hex(bytes) !== manifest) throw new Error(`manifest ${manifest} has other bytes`)
  const version = datanetManifest.parse(JSON.parse(new TextDecoder().decode(bytes)))
  if (version.root !== root)
    throw new Error(`manifest ${manifest} is not of Datanet version ${root}`)
  return {
    root,
    clusters: version.contributors
      .filter(({ clusters }) => clusters > 0)
      .map(({ contributor, clusters }) => ({ contributor, count: clusters })),
  }
}
