/**
 * Adapters ready to serve. Nothing of an adapter is used before it has been checked against the chain: registered, not
 * revoked, of this base; the manifest has the hash on chain, every file the hash in the manifest, the weights and
 * the configuration make the digest, the index has the root. An answer needs the weights first and the index when it
 * ends, so the two are held apart.
 */
import type { Adapter } from '#engine/adapter-pack.ts'
import type { LoraConfig } from '#engine/models/lora.ts'
import { areWithin, type TensorMap } from '#engine/tensor.ts'
import type { Hex } from '#protocol/bytes.ts'
import { adapterManifest, type AdapterManifest } from '#protocol/wire.ts'
import { openIndex, type LoadedIndex } from '../attribution/index-files.ts'
import type { SpanIndex } from '../attribution/span-index.ts'
import type { BaseModel } from '../base-model.ts'
import { EdgeError, sha256Of, type BlobStore } from '../blobs.ts'
import { log } from '../log.ts'
import { availableMemory } from '../training/memory.ts'
import { digestOfFiles, importPeft } from '../training/peft.ts'
import { byteCache, type CacheLoad } from './byte-cache.ts'
import type { AdapterOnChain, Chain } from './chain.ts'
import { readInThread } from './index-reader.ts'
import { ServingError } from './serving-error.ts'

/** An adapter that may generate. */
export type ServedAdapter = {
  digest: Hex
  adapter: Adapter
  /** Memory held, about. */
  bytes: number
}

/** What an adapter's answers are attributed with. */
export type ServedIndex = {
  digest: Hex
  /** The shape that gradients are taken of. */
  lora: LoraConfig
  index: LoadedIndex
  spans: SpanIndex
  bytes: number
}

/** An adapter by its digest and the hash of its manifest. */
export type AdapterRef = { digest: Hex; manifest: Hex }

/** Where an adapter came from: the local disk, or the edge's store because the disk lacked its weights. */
export type Tier = 'disk' | 'edge'

export type StoreLoad = { adapters: CacheLoad; indexes: CacheLoad }

export type AdapterStore = {
  /** What the chain says of an adapter now. Throws a ServingError unless it may be served. */
  check: (ref: AdapterRef) => Promise<AdapterOnChain>
  /** The adapter, from memory or verified anew. Throws a ServingError. */
  get: (digest: Hex, onChain: AdapterOnChain) => Promise<ServedAdapter>
  /**
   * Its indexes, from memory or verified anew. Apart from the adapter, because they are several times as large and no
   * token waits for them. Throws a ServingError.
   */
  index: (digest: Hex, onChain: AdapterOnChain) => Promise<ServedIndex>
  /** Keeps an adapter and its indexes in memory, there already or not, until the function that this answers is called. */
  pin: (digest: Hex) => () => void
  load: () => StoreLoad
}

export type AdapterStoreOptions = {
  base: BaseModel
  chain: Pick<Chain, 'adapter'>
  blobs: Blobs
  /** Memory for adapters, and for indexes; the longest unused that are not pinned go first. */
  mostBytes?: number
  onLoad?: (tier: Tier, seconds: number) => void
}
type Blobs = Pick<BlobStore, 'get'> & { has?: (sha256: Hex) => Promise<boolean> }

/** Of this machine's memory, for adapters and for indexes each. */
const MEMORY_SHARE = 1 / 8
/** No trained weight comes near this; products with it stay far from float32's overflow. */
const MOST_WEIGHT = 1e6
/** Adapters fetched at once: unpacking one blocks the thread that generates for some milliseconds. */
const MOST_LOADS = 4
/** Indexes fetched at once: one is read in its thread while the next one comes. */
const MOST_INDEX_LOADS = 2

/** Opens an empty store. Everything in it is keyed by digest. */
export function openAdapterStore({
  base,
  chain,
  blobs,
  mostBytes = Math.floor(MEMORY_SHARE * availableMemory()),
  onLoad = () => {},
}: AdapterStoreOptions): AdapterStore {
  const pins = new Map<Hex, number>()
  const adapters = byteCache<ServedAdapter>(mostBytes, (digest) => pins.has(digest))
  const indexes = byteCache<ServedIndex>(mostBytes, (digest) => pins.has(digest))
  const inTurn = limited(MOST_LOADS)
  const indexInTurn = limited(MOST_INDEX_LOADS)

  // No signal: another request may be waiting for the same adapter.
  const get: AdapterStore['get'] = (digest, onChain) =>
    adapters.get(digest, () =>
      inTurn(async () => {
        const startedAt = performance.now()
        const { tier, served } = await loadAdapter(digest, onChain, base, blobs)
        onLoad(tier, (performance.now() - startedAt) / 1000)
        return served
      }).catch((error: unknown) => {
        throw asServingError(digest, error)
      }),
    )
  return {
    check: async ({ digest, manifest }) => {
      const onChain = await chain.adapter(digest)
      if (!onChain) throw new ServingError('model/not-found', `adapter ${digest} is not on chain`)
      if (onChain.revoked) {
        if ([adapters, indexes].filter((cache) => cache.drop(digest)).length > 0)
          log('warn', 'revoked adapter dropped from memory', { adapter: digest })
        throw new ServingError('model/revoked', `adapter ${digest} was revoked`)
      }
      if (onChain.base !== base.digest)
        throw new ServingError('model/unavailable', `adapter ${digest} belongs to another base`)
      if (onChain.manifestHash !== manifest)
        throw new ServingError(
          'model/digest-mismatch',
          `adapter ${digest} has the manifest ${onChain.manifestHash} on chain, not ${manifest}`,
        )
      return onChain
    },
    get,
    index: async (digest, onChain) => {
      const load = async () => {
        const { adapter } = await get(digest, onChain)
        return indexInTurn(() =>
          loadIndex(digest, onChain, { base, lora: adapter.lora }, blobs),
        ).catch((error: unknown) => {
          throw asServingError(digest, error)
        })
      }
      return indexes.get(digest, load)
    },
    pin: (digest) => {
      pins.set(digest, (pins.get(digest) ?? 0) + 1)
      let pinned = true
      return () => {
        if (!pinned) return
        pinned = false
        const left = (pins.get(digest) ?? 1) - 1
        if (left > 0) pins.set(digest, left)
        else pins.delete(digest)
      }
    },
    load: () => ({ adapters: adapters.load(), indexes: indexes.load() }),
  }
}

/** Runs at most so many tasks at once; the others wait in order. */
function limited(most: number) {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(task: () => Promise<T>): Promise<T> => {
    if (running === most) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      return await task()
    } finally {
      const next = waiting.shift()
      if (next) next() // takes over this one's place
      else running--
    }
  }
}

async function loadAdapter(
  digest: Hex,
  onChain: AdapterOnChain,
  base: BaseModel,
  blobs: Blobs,
): Promise<{ tier: Tier; served: ServedAdapter }> {
  const { files } = await manifestOf(digest, onChain, blobs)
  const isLocal = await blobs.has?.(files['adapter_model.safetensors'].sha256)
  // The digest is made of both files' hashes: comparing it verifies them, and hashing a file again would cost a millisecond.
  const peft = {
    weights: await blobs.get(files['adapter_model.safetensors'].sha256),
    config: await blobs.get(files['adapter_config.json'].sha256),
  }
  const found = digestOfFiles(peft, base.digest)
  if (found !== digest) throw new MismatchError(`its files make the digest ${found}`)
  const adapter = importPeft(base.config, peft)
  // An overflow would answer every request of the adapter with noise: better to refuse it once.
  for (const [name, { data }] of adapter.tensors)
    if (!areWithin(data, MOST_WEIGHT))
      throw new MismatchError(`${name} has a weight beyond ±${MOST_WEIGHT}`)
  return {
    tier: isLocal ? 'disk' : 'edge',
    served: { digest, adapter, bytes: bytesOf(adapter.tensors) },
  }
}

async function loadIndex(
  digest: Hex,
  onChain: AdapterOnChain,
  { base, lora }: { base: BaseModel; lora: LoraConfig },
  blobs: Blobs,
): Promise<ServedIndex> {
  const { files } = await manifestOf(digest, onChain, blobs)
  const file = async (name: keyof AdapterManifest['files']) => {
    const { sha256 } = files[name]
    return { sha256, bytes: await blobs.get(sha256) }
  }
  const owner = { root: onChain.indexRoot, adapter: digest, config: base.config, lora }
  const { parts, spans, bytes } = await readInThread({
    files: {
      rows: await file('index/rows.json'),
      vectors: await file('index/vectors.i8'),
      landmarks: await file('index/landmarks.i8'),
      projection: await file('index/projection.safetensors'),
      spans: await file('index/spans.bin'),
    },
    owner,
  })
  return { digest, lora, index: openIndex(parts, owner), spans, bytes }
}

async function manifestOf(
  digest: Hex,
  { manifestHash, indexRoot }: AdapterOnChain,
  blobs: Blobs,
): Promise<AdapterManifest> {
  const bytes = await verified(blobs, manifestHash)
  const manifest = adapterManifest.parse(JSON.parse(new TextDecoder().decode(bytes)))
  if (manifest.digest !== digest || manifest.indexRoot !== indexRoot)
    throw new MismatchError('its manifest names another digest or index root')
  return manifest
}

const bytesOf = (tensors: TensorMap): number =>
  [...tensors.values()].reduce((n, { data }) => n + data.byteLength, 0)

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
