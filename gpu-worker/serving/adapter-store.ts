/**
 * Adapters ready to serve. Nothing of an adapter is used before it has been checked against the chain: registered, not
 * revoked, of this base; the manifest has the hash on chain, every file the hash in the manifest, the weights and
 * the configuration make the digest, the index has the root.
 */
import type { Adapter } from '#engine/adapter-pack.ts'
import type { TensorMap } from '#engine/tensor.ts'
import type { Hex } from '#protocol/bytes.ts'
import { adapterManifest, type AdapterManifest } from '#protocol/wire.ts'
import { projectionsOf } from '../attribution/gradients.ts'
import { decodeIndex, type LoadedIndex } from '../attribution/index-files.ts'
import { decodeSpanIndex, type SpanIndex } from '../attribution/span-index.ts'
import type { BaseModel } from '../base-model.ts'
import { EdgeError, sha256Of, type BlobStore } from '../blobs.ts'
import { digestOfFiles, importPeft } from '../training/peft.ts'
import type { AdapterOnChain, Chain } from './chain.ts'
import { ServingError } from './serving-error.ts'

export type ServedAdapter = {
  digest: Hex
  adapter: Adapter
  index: LoadedIndex
  projections: TensorMap
  spans: SpanIndex
  /** Memory held, about. */
  bytes: number
}

export type AdapterStore = {
  /** The adapter and what the chain says of it now. Throws a ServingError. */
  get: (
    ref: { digest: Hex; manifest: Hex },
    signal?: AbortSignal,
  ) => Promise<{ served: ServedAdapter; onChain: AdapterOnChain }>
  /** Digests in memory, the longest unused first. */
  resident: () => Hex[]
}

export type AdapterStoreOptions = {
  base: BaseModel
  chain: Pick<Chain, 'adapter'>
  blobs: Pick<BlobStore, 'get'>
  /** Memory for adapters; the longest unused go first. */
  mostBytes?: number
}

const MOST_BYTES = 2 ** 30

/** Opens an empty store. */
export function openAdapterStore({
  base,
  chain,
  blobs,
  mostBytes = MOST_BYTES,
}: AdapterStoreOptions): AdapterStore {
  const held = new Map<Hex, ServedAdapter>() // in order of last use
  const loading = new Map<Hex, Promise<ServedAdapter>>()

  const load = (digest: Hex, onChain: AdapterOnChain): Promise<ServedAdapter> => {
    const underWay = loading.get(digest)
    if (underWay) return underWay
    // No signal: another request may be waiting for the same adapter.
    const started = loadVerified(digest, onChain, base, blobs)
      .catch((error: unknown) => {
        throw asServingError(digest, error)
      })
      .finally(() => loading.delete(digest))
    loading.set(digest, started)
    return started
  }
  const keep = (served: ServedAdapter): void => {
    held.delete(served.digest)
    held.set(served.digest, served)
    let total = [...held.values()].reduce((n, { bytes }) => n + bytes, 0)
    for (const [digest, { bytes }] of held) {
      if (total <= mostBytes || digest === served.digest) break
      held.delete(digest)
      total -= bytes
    }
  }
  return {
    get: async ({ digest, manifest }, signal) => {
      const onChain = await chain.adapter(digest)
      if (!onChain) throw new ServingError('model/not-found', `adapter ${digest} is not on chain`)
      if (onChain.revoked) {
        held.delete(digest)
        throw new ServingError('model/revoked', `adapter ${digest} was revoked`)
      }
      if (onChain.base !== base.digest)
        throw new ServingError('model/unavailable', `adapter ${digest} belongs to another base`)
      if (onChain.manifestHash !== manifest)
        throw new ServingError(
          'model/digest-mismatch',
          `adapter ${digest} has the manifest ${onChain.manifestHash} on chain, not ${manifest}`,
        )
      const served = held.get(digest) ?? (await load(digest, onChain))
      signal?.throwIfAborted()
      keep(served)
      return { served, onChain }
    },
    resident: () => [...held.keys()],
  }
}

async function loadVerified(
  digest: Hex,
  onChain: AdapterOnChain,
  base: BaseModel,
  blobs: Pick<BlobStore, 'get'>,
): Promise<ServedAdapter> {
  const manifest = adapterManifest.parse(
    JSON.parse(new TextDecoder().decode(await verified(blobs, onChain.manifestHash))),
  )
  if (manifest.digest !== digest || manifest.indexRoot !== onChain.indexRoot)
    throw new MismatchError('its manifest names another digest or index root')
  const file = (name: keyof AdapterManifest['files']) =>
    verified(blobs, manifest.files[name].sha256)
  const peft = {
    weights: await file('adapter_model.safetensors'),
    config: await file('adapter_config.json'),
  }
  const found = digestOfFiles(peft, base.digest)
  if (found !== digest) throw new MismatchError(`its files make the digest ${found}`)
  const adapter = importPeft(base.config, peft)
  const indexFiles = {
    rows: await file('index/rows.json'),
    vectors: await file('index/vectors.i8'),
    projection: await file('index/projection.safetensors'),
  }
  const expected = {
    root: onChain.indexRoot,
    adapter: digest,
    config: base.config,
    lora: adapter.lora,
  }
  const index = decodeIndex(indexFiles, expected)
  const spanBytes = await file('index/spans.bin')
  const spans = decodeSpanIndex(spanBytes)
  if (spans.rowStart.length !== index.index.rows.length)
    throw new MismatchError('its two indexes have different numbers of rows')
  return {
    digest,
    adapter,
    index,
    projections: projectionsOf(index.blocks, digest),
    spans,
    bytes: Object.values(manifest.files).reduce((n, { bytes }) => n + bytes, 0),
  }
}

/** A blob, whose hash is checked here too: this is the last place before its bytes are used. */
async function verified(blobs: Pick<BlobStore, 'get'>, sha256: Hex): Promise<Uint8Array> {
  const bytes = await blobs.get(sha256)
  const found = sha256Of(bytes)
  if (found !== sha256) throw new MismatchError(`a file has the hash ${found}, not ${sha256}`)
  return bytes
}

/** The bytes of an adapter are not those that the chain knows. */
class MismatchError extends Error {
  override readonly name = 'MismatchError'
}

function asServingError(digest: Hex, cause: unknown): ServingError {
  if (cause instanceof ServingError) return cause
  if (cause instanceof EdgeError)
    return new ServingError('model/unavailable', `adapter ${digest} cannot be fetched now`, {
      cause,
    })
  // Other bytes under a hash, or bytes that do not parse: never serve them.
  const why = cause instanceof Error ? cause.message : String(cause)
  return new ServingError(
    'model/digest-mismatch',
    `adapter ${digest} is not what the chain says: ${why}`,
    {
      cause,
    },
  )
}
