import { encodeFunctionData } from 'viem'
import type { Hex } from '#protocol/bytes.ts'
import type { Payout } from '#protocol/epoch.ts'
import { payoutsTree } from '#protocol/ledgers.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { chainClient, readChain } from '../chain/client.ts'
import type { Ctx } from '../context.ts'
import { epochOnChain } from './epoch-steps.ts'
import { payoutsOf } from './epoch-files.ts'
import { receiptBatcher } from './receipt-batcher.ts'

export type Rewards = {
  account: Hex
  /** Newest epoch that can be claimed against; 0 when there is none. */
  epoch: number
  /** Wei that epoch grants the account in all. */
  cumulative: bigint
  claimed: bigint
  claimable: bigint
  /** Wei of epochs that cannot be claimed against yet. */
  pending: bigint
  /** Position among that epoch's payouts, and its proof; empty when the account is not among them. */
  index: number
  proof: Hex[]
  /** The transaction that pays `claimable`, for anyone to send; null when nothing is claimable. */
  claim: { to: Hex; data: Hex } | null
}

/** What an address has earned, what it has claimed, and the transaction with which it claims the rest. */
export async function rewardsOf(ctx: Ctx, account: Hex): Promise<Rewards> {
  const { settings, env } = ctx
  const contract = {
    address: settings.CONTRACTS.attributionSettlement,
    abi: attributionSettlementAbi,
  } as const
  const client = chainClient(settings)
  const [active, claimed, credited] = await Promise.all([
    readChain(() => client.readContract({ ...contract, functionName: 'latestActive' })),
    readChain(() => client.readContract({ ...contract, functionName: 'claimed', args: [account] })),
    receiptBatcher(env).credited(account),
  ])
  const payout = active > 0n ? await payoutOf(ctx, Number(active), account) : null
  const { cumulative, index, proof } = payout ?? { cumulative: 0n, index: 0, proof: [] }
  const claimable = cumulative > claimed ? cumulative - claimed : 0n
  return {
    account,
    epoch: Number(active),
    cumulative,
    claimed,
    claimable,
    pending: credited > cumulative ? credited - cumulative : 0n,
    index,
    proof,
    claim:
      claimable > 0n
        ? {
            to: contract.address,
            data: encodeFunctionData({
              abi: contract.abi,
              functionName: 'claim',
              args: [account, cumulative, active, BigInt(index), proof],
            }),
          }
        : null,
  }
}

/** What an epoch grants an account in all (wei), and its proof; null when the account is not among its payouts. */
export async function payoutOf(
  ctx: Pick<Ctx, 'settings' | 'env'>,
  epoch: number,
  account: Hex,
): Promise<{ cumulative: bigint; index: number; proof: Hex[] } | null> {
  const paid = await payoutsIn(ctx, epoch)
  const index = paid?.payouts.findIndex((payout) => payout.account === account) ?? -1
  const payout = paid?.payouts[index]
  return paid && payout
    ? { cumulative: payout.amount, index, proof: payoutsTree(paid).proof(index) }
    : null
}

/** Payouts of an epoch as it stands on chain; null when the chain has no such epoch. */
async function payoutsIn(
  { settings, env }: Pick<Ctx, 'settings' | 'env'>,
  epoch: number,
): Promise<{ payouts: Payout[] } | null> {
  const record = await readChain(() => epochOnChain(settings, epoch))
  return record && payoutsAt({ env }, record, epoch)
}

/** Payouts of an epoch's record on chain; throws when they are not those of the root on chain. */
export async function payoutsAt(
  { env }: Pick<Ctx, 'env'>,
  record: { dataHash: Hex; payoutsRoot: Hex },
  epoch: number,
): Promise<{ payouts: Payout[] }> {
  const paid = await payoutsOf(env, { hash: record.dataHash })
  if (payoutsTree(paid).root !== record.payoutsRoot)
    throw new Error(`epoch ${epoch}: the published payouts are not those of the chain`)
  return paid
}
