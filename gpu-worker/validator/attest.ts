/** What a staked validator says of epochs that it found right, and how it is paid for it and for what it won. */
import type { Hex } from '#protocol/bytes.ts'
import type { Action, ActedOn, Actor, Outcome } from './actor.ts'
import type { Submission } from './chain-facts.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'

/** Approves an epoch; nothing without enough stake, or when it is approved already. */
export async function approve(actor: Actor, { epoch, dataHash }: Submission): Promise<Outcome[]> {
  const call: Action = {
    contract: 'validatorStaking',
    functionName: 'approve',
    args: [BigInt(epoch)],
  }
  if ((await actor.refusal(call)) !== null) return []
  const outcome = await actor.act(`approve:${epoch}:${dataHash}`, epoch, call)
  return [{ ...outcome, detail: 'every check holds' }]
}

/** Contracts that owe challengers; all have `owed` and `withdrawOwed`. */
export const DEBTORS = [
  'attributionSettlement',
  'epochChallenges',
  'validatorStaking',
] as const satisfies readonly ActedOn[]

/** Has what the chain owes us paid out. */
export async function withdrawOwed(actor: Actor): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const contract of DEBTORS) {
    const owed = await owedBy(actor, contract)
    if (owed === 0n || actor.isDry) continue
    const call: Action = { contract, functionName: 'withdrawOwed', args: [actor.account] }
    const { number } = await actor.chain.getBlock()
    const outcome = await actor.act(`withdrawOwed:${contract}:${number}`, 0, call)
    outcomes.push({ ...outcome, detail: `${owed} wei are paid out` })
  }
  return outcomes
}

const owedBy = (actor: Actor, contract: ActedOn): Promise<bigint> =>
  actor.chain.readContract({
    address: actor.contracts[contract],
    abi: attributionSettlementAbi,
    functionName: 'owed',
    args: [actor.account as Hex],
  })
