import { lowerCase, type Hex } from '#protocol/bytes.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import type { Settings } from '../env.ts'
import { cached, chainClient } from './client.ts'
import { unlessUnknown } from './revert.ts'

const TTL_MS = 3_000 // for how long a revoked model may still be served

export type BaseOnChain = {
  manifestHash: Hex
  owner: Hex
  pricePerToken: bigint
  revoked: boolean
}

export type AdapterOnChain = BaseOnChain & {
  base: Hex
  indexRoot: Hex
  /** Roots of the Datanet versions it was trained on, in the order of registration. */
  datanetRoots: Hex[]
}

/** A base model of the registry, at most three seconds old; null when it is not registered. */
export const baseOnChain = (settings: Settings, digest: Hex): Promise<BaseOnChain | null> =>
  cached(`base:${settings.CONTRACTS.modelRegistry}:${digest}`, TTL_MS, () =>
    unlessUnknown(async () => {
      const base = await chainClient(settings).readContract({
        address: settings.CONTRACTS.modelRegistry,
        abi: modelRegistryAbi,
        functionName: 'baseOf',
        args: [digest],
      })
      return { ...base, owner: lowerCase(base.owner), manifestHash: lowerCase(base.manifestHash) }
    }),
  )

/** An adapter of the registry, at most three seconds old; null when it is not registered. */
export const adapterOnChain = (settings: Settings, digest: Hex): Promise<AdapterOnChain | null> =>
  cached(`adapter:${settings.CONTRACTS.modelRegistry}:${digest}`, TTL_MS, () =>
    unlessUnknown(async () => {
      const adapter = await chainClient(settings).readContract({
        address: settings.CONTRACTS.modelRegistry,
        abi: modelRegistryAbi,
        functionName: 'adapterOf',
        args: [digest],
      })
      return {
        ...adapter,
        base: lowerCase(adapter.base),
        indexRoot: lowerCase(adapter.indexRoot),
        owner: lowerCase(adapter.owner),
        manifestHash: lowerCase(adapter.manifestHash),
        datanetRoots: adapter.datanetRoots.map(lowerCase),
      }
    }),
  )
