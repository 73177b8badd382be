import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { Ctx } from '../context.ts'
import { cached, chainClient, readChain } from './client.ts'
import { readParameters } from './parameters.ts'

const TTL_MS = 3_000

/**
 * Whether an address has `staking.minimum` at stake: who attests, and so may see what running receipts again takes, and who
 * signs receipts, and would lose it by signing two for one request. Throws `chain/unavailable`.
 */
export const hasStake = ({ settings }: Pick<Ctx, 'settings'>, address: Hex): Promise<boolean> =>
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
