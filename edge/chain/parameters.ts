import type { Hex } from '#protocol/bytes.ts'
import { parametersOf, paramsHash, type ParameterValues } from '#protocol/parameters.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import type { Settings } from '../env.ts'
import { cached, chainClient } from './client.ts'

const TTL_MS = 3_000

export type Parameters = { values: ParameterValues; paramsHash: Hex }

/**
 * Every governed number in force, and the hash receipts name. At most three seconds old. Throws a viem error when
 * the chain cannot be reached, an Error when the contract governs other parameters than this build knows.
 */
export const readParameters = (settings: Settings): Promise<Parameters> =>
  cached(`parameters:${settings.CONTRACTS.parameters}`, TTL_MS, () => freshParameters(settings))

/** `readParameters` without the three seconds. */
export async function freshParameters(settings: Settings): Promise<Parameters> {
  const values = parametersOf(
    await chainClient(settings).readContract({
      address: settings.CONTRACTS.parameters,
      abi: parametersAbi,
      functionName: 'all',
    }),
  )
  return { values, paramsHash: paramsHash(values) }
}
