import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import type { Hex } from '#protocol/bytes.ts'
import { cached, chainClient, readChain } from '../chain/client.ts'
import { readParameters } from '../chain/parameters.ts'
import type { Ctx } from '../context.ts'

const TTL_MS = 3_000

/**
 * Whether an address may see what validators need to run receipts again: it has the stake that it takes to attest. Throws
 * `chain/unavailable`.
 */
export const isValidator = ({ settings }: Ctx, address: Hex): Promise<boolean> =>
  readChain(async () => {
    const { validatorStaking } = settings.CONTRACTS
    const { values } = await readParameters(settings)
    const { stake } = await cached(`stake:${validatorStaking}:${address}`, TTL_MS, () =>
      chainClient(settings).readContract({
        address: validatorStaking,
        abi: validatorStakingAbi,
        functionName: 'validatorOf',
        args: [address],
      }),
    )
    return stake > 0n && stake >= values['staking.minimum']
  })
