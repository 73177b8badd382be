/** Whoever acts on what was found: tries a call for nothing, and sends it when it goes through. */
import { encodeFunctionData, parseEventLogs, type Abi, type PublicClient } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import { receiptChallengesAbi } from '#contracts/receipt-challenges.ts'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import { revertReason } from '#edge/chain/revert.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { Call } from '#protocol/challenge.ts'
import type { Outbox } from './outbox.ts'

const ABIS = {
  attributionSettlement: attributionSettlementAbi,
  receiptChallenges: receiptChallengesAbi,
  epochChallenges: epochChallengesAbi,
  validatorStaking: validatorStakingAbi,
} as const satisfies Record<string, Abi>
export type ActedOn = keyof typeof ABIS

/** A call of any contract that a validator acts on. */
export type Action = Omit<Call, 'contract'> & { contract: ActedOn }

/** What came of an action. */
export type Outcome = {
  epoch: number
  /** The function that was called. */
  action: string
  /** sent: it took effect. dry-run: it would. reverted: somebody else was first, or the chain moved on. */
  status: 'sent' | 'dry-run' | 'reverted'
  transaction: Hex | null
  /** Wei that it made the chain owe us. */
  reward: bigint
  detail: string
}

export type Actor = {
  account: Hex
  chain: PublicClient
  contracts: Record<ActedOn, Hex>
  /** Whether something would be sent. */
  isDry: boolean
  /** Why the chain would refuse a call now; null when it would not. */
  refusal: (action: Action) => Promise<string | null>
  /** Sends a call that was tried. `key` names the intent: what is under it is sent once. */
  act: (key: string, epoch: number, action: Action) => Promise<Outcome>
}

/** Puts an actor together; without an outbox it only says what it would do. */
export function openActor({
  chain,
  contracts,
  account,
  outbox,
}: {
  chain: PublicClient
  contracts: Record<ActedOn, Hex>
  account: Hex
  outbox: Outbox | null
}): Actor {
  const encode = ({ contract, functionName, args, value = 0n }: Action) => ({
    to: contracts[contract],
    data: encodeFunctionData({ abi: ABIS[contract] as Abi, functionName, args }),
    value,
  })

  const refusal = async (action: Action): Promise<string | null> => {
    const { to, data, value } = encode(action)
    try {
      await chain.call({ account, to, data, value })
      return null
    } catch (error) {
      const reason = revertReason(error)
      if (reason === null) throw error
      return reason
    }
  }

  return {
    account,
    chain,
    contracts,
    isDry: outbox === null,
    refusal,
    act: async (key, epoch, action) => {
      const outcome = { epoch, action: action.functionName, reward: 0n }
      if (!outbox)
        return { ...outcome, status: 'dry-run', transaction: null, detail: 'nothing was sent' }
      const { status, transactionHash, logs } = await outbox(key, encode(action))
      return {
        ...outcome,
        status: status === 'success' ? 'sent' : 'reverted',
        transaction: transactionHash,
        reward: rewardIn(logs, account),
        detail: status === 'success' ? 'it took effect' : 'somebody else was first',
      }
    },
  }
}

type Logs = Parameters<typeof parseEventLogs>[0]['logs']

/** What the logs of a transaction say a challenger is owed now. */
function rewardIn(logs: Logs, account: Hex): bigint {
  const isOurs = ({ args }: { args: { challenger: Hex } }) =>
    args.challenger.toLowerCase() === account.toLowerCase()
  const bonds = parseEventLogs({
    abi: attributionSettlementAbi,
    eventName: 'SubmitterSlashed',
    logs,
  }).filter(isOurs)
  const stakes = parseEventLogs({ abi: validatorStakingAbi, eventName: 'Slashed', logs }).filter(
    isOurs,
  )
  return [
    ...bonds.map(({ args }) => args.reward),
    ...stakes.map(({ args }) => args.amount / 2n),
  ].reduce((sum, wei) => sum + wei, 0n)
}
