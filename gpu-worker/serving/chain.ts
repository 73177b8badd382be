/** What the worker reads from the L2: models, prices and governed numbers, at most a few seconds old. */
import { BaseError, ContractFunctionRevertedError, createPublicClient, http } from 'viem'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { lowerCase, type Hex } from '#protocol/bytes.ts'
import { parametersOf, paramsHash, type ParameterValues } from '#protocol/parameters.ts'
import { ServingError } from './serving-error.ts'

export type ModelOnChain = {
  owner: Hex
  pricePerToken: bigint
  revoked: boolean
  manifestHash: Hex
}
export type AdapterOnChain = ModelOnChain & { base: Hex; indexRoot: Hex; datanetRoots: Hex[] }
export type Parameters = { values: ParameterValues; hash: Hex }

/** Each call throws a ServingError `chain/unavailable` when the chain cannot be read. */
export type Chain = {
  /** Null when the digest is not registered. */
  base: (digest: Hex) => Promise<ModelOnChain | null>
  adapter: (digest: Hex) => Promise<AdapterOnChain | null>
  parameters: () => Promise<Parameters>
}

export type ChainSettings = {
  rpcUrl: string
  contracts: { parameters: Hex; modelRegistry: Hex }
}

/** For so long a revoked model may still be served, or an old price asked. */
const TTL_MS = 3_000
const RPC_TIMEOUT_MS = 5_000
const MOST_ENTRIES = 10_000

/** Opens a reader of the chain; nothing is read yet. */
export function openChain({ rpcUrl, contracts }: ChainSettings): Chain {
  const client = createPublicClient({
    transport: http(rpcUrl, { timeout: RPC_TIMEOUT_MS, retryCount: 1 }),
  })
  const registry = { address: contracts.modelRegistry, abi: modelRegistryAbi } as const
  const cached = cache()
  return {
    base: (digest) =>
      cached(`base ${digest}`, () =>
        unlessUnknown(async () =>
          model(await client.readContract({ ...registry, functionName: 'baseOf', args: [digest] })),
        ),
      ),
    adapter: (digest) =>
      cached(`adapter ${digest}`, () =>
        unlessUnknown(async () => {
          const found = await client.readContract({
            ...registry,
            functionName: 'adapterOf',
            args: [digest],
          })
          return {
            ...model(found),
            base: lowerCase(found.base),
            indexRoot: lowerCase(found.indexRoot),
            datanetRoots: found.datanetRoots.map(lowerCase),
          }
        }),
      ),
    parameters: () =>
      cached('parameters', async () => {
        const values = parametersOf(
          await client.readContract({
            address: contracts.parameters,
            abi: parametersAbi,
            functionName: 'all',
          }),
        )
        return { values, hash: paramsHash(values) }
      }),
  }
}

const model = (found: ModelOnChain): ModelOnChain => ({
  owner: lowerCase(found.owner),
  pricePerToken: found.pricePerToken,
  revoked: found.revoked,
  manifestHash: lowerCase(found.manifestHash),
})

async function unlessUnknown<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read()
  } catch (error) {
    const revert =
      error instanceof BaseError
        ? error.walk((cause) => cause instanceof ContractFunctionRevertedError)
        : null
    const isUnknown =
      revert instanceof ContractFunctionRevertedError && revert.data?.errorName === 'UnknownModel'
    if (isUnknown) return null
    throw error
  }
}

/** Keeps values for TTL_MS; requests at the same time share one read. Failures are not kept. */
function cache() {
  const entries = new Map<string, { until: number; value: Promise<unknown> }>()
  return <T>(key: string, read: () => Promise<T>): Promise<T> => {
    const found = entries.get(key)
    if (found && found.until > Date.now()) return found.value as Promise<T>
    if (entries.size >= MOST_ENTRIES) entries.clear()
    const value = read().catch((cause: unknown) => {
      entries.delete(key)
      throw new ServingError('chain/unavailable', 'the chain cannot be read', { cause })
    })
    entries.set(key, { until: Date.now() + TTL_MS, value })
    return value
  }
}
