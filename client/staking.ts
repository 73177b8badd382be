/** Stake in ValidatorStaking: what an account has there, when it is free, and what is due to it. */
import { encodeFunctionData } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import { readLogs } from '#edge/chain/ranges.ts'
import { DEBTORS } from '#gpu-worker/validator/attest.ts'
import { STATUS, type Status } from '#gpu-worker/validator/chain-facts.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { Network } from './settings.ts'

type Reading = Pick<Network, 'chain' | 'contracts'>

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
export async function readStake(network: Reading, account: Hex): Promise<Stake> {
  const { chain, contracts } = network
  const [validator, owed, epochs] = await Promise.all([
    chain.readContract({
      address: contracts.validatorStaking,
      abi: validatorStakingAbi,
      functionName: 'validatorOf',
      args: [account],
    }),
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
    readApproved(network, account),
  ])
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

/** Epochs that an account approved and has not collected for, with what each gives it now. */
async function readApproved(
  { chain, contracts }: Reading,
  validator: Hex,
): Promise<{ epoch: number; status: Status | undefined; wei: bigint }[]> {
  const staking = { address: contracts.validatorStaking, abi: validatorStakingAbi } as const
  const settlement = {
    address: contracts.attributionSettlement,
    abi: attributionSettlementAbi,
  } as const
  const toBlock = await chain.getBlockNumber()
  const epochsIn = (eventName: 'Approved' | 'RewardCollected'): Promise<bigint[]> =>
    readLogs({ fromBlock: 0n, toBlock }, async (range) => {
      const logs = await chain.getContractEvents({
        ...staking,
        eventName,
        args: { validator },
        strict: true,
        ...range,
      })
      return logs.map(({ args }) => args.epoch)
    })
  const [approved, collected] = await Promise.all([
    epochsIn('Approved'),
    epochsIn('RewardCollected'),
  ])
  const done = new Set(collected)
  const open = new Set(approved.filter((epoch) => !done.has(epoch)))
  return Promise.all(
    [...open].map(async (epoch) => {
      const status =
        STATUS[await chain.readContract({ ...settlement, functionName: 'statusOf', args: [epoch] })]
      const wei =
        status === 'active'
          ? await chain.readContract({
              ...staking,
              functionName: 'rewardOf',
              args: [epoch, validator],
            })
          : 0n
      return { epoch: Number(epoch), status, wei }
    }),
  )
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
