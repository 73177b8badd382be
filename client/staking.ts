/** Stake in ValidatorStaking: what an account has there, when it is free, and what is due to it. */
import { encodeFunctionData } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import { DEBTORS } from '#gpu-worker/validator/attest.ts'
import { STATUS } from '#gpu-worker/validator/chain-facts.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { Network } from './settings.ts'

export type Stake = {
  account: Hex
  /** Wei that vote and attest. */
  staked: bigint
  /** Wei on their way out. */
  leaving: bigint
  /** Unix seconds from which they can be withdrawn; null when none are. */
  withdrawableAt: number | null
  /** Wei that contracts owe: for challenges won and demands answered. */
  owed: { contract: (typeof DEBTORS)[number]; wei: bigint }[]
  /** Wei for epochs that it approved and that are active. */
  rewards: { epoch: number; wei: bigint }[]
  /** Epochs that it approved and that are pending: what is staked is locked until they are active. */
  pending: number[]
}

/** Reads everything that an account has at stake and what is due to it. */
export async function readStake(
  { chain, contracts }: Pick<Network, 'chain' | 'contracts'>,
  account: Hex,
): Promise<Stake> {
  const staking = { address: contracts.validatorStaking, abi: validatorStakingAbi } as const
  const of = { args: { validator: account }, fromBlock: 0n } as const
  const [validator, owed, approved, collected] = await Promise.all([
    chain.readContract({ ...staking, functionName: 'validatorOf', args: [account] }),
    Promise.all(
      DEBTORS.map(async (contract) => ({
        contract,
        wei: await chain.readContract({
          address: contracts[contract],
          abi: validatorStakingAbi, // `owed` is the same in all
          functionName: 'owed',
          args: [account],
        }),
      })),
    ),
    chain.getContractEvents({ ...staking, eventName: 'Approved', ...of }),
    chain.getContractEvents({ ...staking, eventName: 'RewardCollected', ...of }),
  ])
  const done = new Set(collected.map(({ args }) => args.epoch))
  const open = [...new Set(approved.map(({ args }) => args.epoch))].filter(
    (epoch) => epoch !== undefined && !done.has(epoch),
  ) as bigint[]
  const epochs = await Promise.all(
    open.map(async (epoch) => {
      const status =
        STATUS[
          await chain.readContract({
            address: contracts.attributionSettlement,
            abi: attributionSettlementAbi,
            functionName: 'statusOf',
            args: [epoch],
          })
        ]
      const wei =
        status === 'active'
          ? await chain.readContract({
              ...staking,
              functionName: 'rewardOf',
              args: [epoch, account],
            })
          : 0n
      return { epoch: Number(epoch), status, wei }
    }),
  )
  return {
    account,
    staked: validator.stake,
    leaving: validator.leaving,
    withdrawableAt:
      validator.leaving === 0n ? null : Math.max(validator.leavesAt, validator.lockedUntil),
    owed: owed.filter(({ wei }) => wei > 0n),
    rewards: epochs.filter(({ wei }) => wei > 0n).map(({ epoch, wei }) => ({ epoch, wei })),
    pending: epochs.filter(({ status }) => status === 'pending').map(({ epoch }) => epoch),
  }
}

/** A call of ValidatorStaking as a transaction. */
export const stakingCall = (
  contracts: Network['contracts'],
  call:
    | { functionName: 'stake'; args: [account: Hex] }
    | { functionName: 'requestLeave'; args: [amountWei: bigint] }
    | { functionName: 'withdraw'; args: [to: Hex] }
    | { functionName: 'collect'; args: [epochs: bigint[], to: Hex] },
): { to: Hex; data: Hex } => ({
  to: contracts.validatorStaking,
  data: encodeFunctionData({ abi: validatorStakingAbi, ...call }),
})
