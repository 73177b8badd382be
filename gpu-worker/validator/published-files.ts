/** The published files behind the hashes on chain: epochs from the data-availability layer, adapters from an edge. */
import { getData } from '#edge/settlement/da.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import type { EpochFile, Payout } from '#protocol/epoch.ts'
import type { VersionLeaf } from '#protocol/presence.ts'
import { decodeManifest, readEpoch, readItems, type Segment } from '#protocol/segments.ts'
import { z } from 'zod'
import { adapterManifest, address, bytes32, type AdapterManifest } from '#protocol/wire.ts'
import { openRevocations } from '../serving/revocations.ts'
import { edgeFetch, fetchBlob } from '../blobs.ts'

export type PublishedFiles = ReturnType<typeof openPublishedFiles>

export type FileSources = {
  /** An EigenDA proxy. */
  daUrl: string
  /** Keeps epochs longer than the data-availability layer, and the files of adapters. */
  edgeUrl: string
  /** Of a validator's account, which may read weights. */
  apiKey?: string
}

/** Where an epoch was found: `edge` when any part of it was only there. */
export type Source = 'da' | 'edge'

/** What identifies an epoch's manifest on chain. */
export type Published = { dataHash: Hex; commitment: Hex }

/** Neither source has what a hash on chain stands for. */
export class NowhereError extends Error {}

const TIMEOUT_MS = 30_000
/** Of a large file on a slow line, and of all pages of a version: an edge must not keep a validator waiting for ever. */
const FILE_TIMEOUT_MS = 10 * 60_000
const VERSION_TIMEOUT_MS = 60 * 60_000

const rowsPage = z.object({
  data: z.array(z.object({ record: bytes32, cluster: bytes32, contributor: address })),
  has_more: z.boolean(),
  last_id: z.string().nullable(),
})
const PAGE = 100

/** Reads published files. Whatever comes back has the hash it was asked for by. */
export function openPublishedFiles({ daUrl, edgeUrl, apiKey }: FileSources) {
  const headers: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {}
  const { current } = openRevocations(edgeUrl)

  /** Bytes of a manifest or segment. */
  const part = async (
    hash: Hex,
    commitment: Hex,
  ): Promise<{ bytes: Uint8Array; source: Source }> => {
    try {
      return { bytes: await withHash(getData([daUrl], commitment), hash), source: 'da' }
    } catch (da) {
      try {
        return { bytes: await withHash(fromEdge(edgeUrl, hash), hash), source: 'edge' }
      } catch (edge) {
        const said = `DA: ${messageOf(da)}; edge: ${messageOf(edge)}`
        throw new NowhereError(`${hash} is nowhere: ${said}`, { cause: edge })
      }
    }
  }

  return {
    /** The log of revoked records, as it is now and continuing what was read before. */
    revocations: current,

    /**
     * A whole epoch, read segment by segment; throws a NowhereError when a part of it is nowhere, else an Error that says what
     * is malformed.
     */
    epoch: async (published: Published): Promise<{ file: EpochFile; source: Source }> => {
      let source: Source = 'da'
      const read = async (hash: Hex, commitment: Hex) => {
        const found = await part(hash, commitment)
        if (found.source === 'edge') source = 'edge'
        return found.bytes
      }
      const { dataHash, commitment } = published
      const manifest = decodeManifest(await read(dataHash, commitment), dataHash)
      const file = await readEpoch(manifest, (segment) => read(segment.hash, segment.commitment))
      return { file, source }
    },

    /** What accounts may claim after an epoch; throws like `epoch`. */
    payouts: async ({ dataHash, commitment }: Published): Promise<{ payouts: Payout[] }> => {
      const manifest = decodeManifest((await part(dataHash, commitment)).bytes, dataHash)
      const read = async (segment: Segment) => (await part(segment.hash, segment.commitment)).bytes
      return { payouts: await readItems(manifest, 'payouts', read) }
    },

    /** A file of a registered adapter by its hash. */
    adapterFile: (digest: Hex, sha256: Hex): Promise<Uint8Array> =>
      fetchBlob(`${edgeUrl}/v1/adapters/${digest}/files/${sha256}`, sha256, {
        headers,
        signal: AbortSignal.timeout(FILE_TIMEOUT_MS),
      }),

    /** The manifest of an adapter, which has the hash on chain. */
    async manifest(digest: Hex, manifestHash: Hex): Promise<AdapterManifest> {
      const bytes = await this.adapterFile(digest, manifestHash)
      return adapterManifest.parse(JSON.parse(new TextDecoder().decode(bytes)))
    },

    /** Every row of a published Datanet version; whether they make its root is for the caller to see. */
    versionRows: async (datanetId: string, version: number): Promise<VersionLeaf[]> => {
      const rows: VersionLeaf[] = []
      const whole = AbortSignal.timeout(VERSION_TIMEOUT_MS)
      for (let after = ''; ;) {
        const url = `${edgeUrl}/v1/datanets/${datanetId}/versions/${version}/rows?limit=${PAGE}${after}`
        const signal = AbortSignal.any([whole, AbortSignal.timeout(TIMEOUT_MS)])
        const page = rowsPage.parse(await (await edgeFetch(url, { signal })).json())
        rows.push(...page.data)
        if (!page.has_more || page.last_id === null) return rows
        after = `&after=${page.last_id}`
      }
    },
  }
}

async function fromEdge(edgeUrl: string, hash: Hex): Promise<Uint8Array> {
  const response = await fetch(`${edgeUrl}/v1/epoch-files/${hash}`, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (!response.ok) throw new Error(String(response.status))
  return new Uint8Array(await response.arrayBuffer())
}

async function withHash(read: Promise<Uint8Array>, hash: Hex): Promise<Uint8Array> {
  const bytes = await read
  const found = keccak(bytes)
  if (found !== hash) throw new Error(`the file there has the hash ${found}`)
  return bytes
}
