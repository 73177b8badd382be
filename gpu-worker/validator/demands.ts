/**
 * Demands to reveal (IEpochChallenges.sol) as a validator follows them: what nobody showed in time is resolved, which wins the
 * epoch; what is demanded of an honest epoch is shown, for which the bond is paid.
 */
import { readLogsFrom } from '#edge/chain/ranges.ts'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import type { Hex } from '#protocol/bytes.ts'
import { answerDemand, DEMANDS, type Demanded } from '#protocol/challenge.ts'
import type { EpochFile } from '#protocol/epoch.ts'
import { messageOf } from '#protocol/errors.ts'
import type { Action, Actor, Outcome } from './actor.ts'
import type { Validator } from './validator.ts'
import type { WatchState } from './watch-state.ts'

export type DemandsOptions = {
  actor: Actor
  state: Pick<WatchState, 'demands' | 'addDemand' | 'closeDemand'>
  validator: Pick<Validator, 'index'>
  /** File of an epoch that was checked and found right; null of any other. */
  honestFile: (epoch: number, dataHash: Hex) => Promise<EpochFile | null>
  /** What keeps it from following one demand; the others are followed, and this one is tried again. */
  onTrouble: (error: unknown) => void
}

/** Looks at every open demand, and at those made from `fromBlock` on. Idempotent: the chain says which are open. */
export async function followDemands(
  options: DemandsOptions,
  fromBlock: bigint,
): Promise<Outcome[]> {
  const { actor, state, onTrouble } = options
  const made = await readLogsFrom(actor.chain, fromBlock, (range) =>
    actor.chain.getContractEvents({
      address: actor.contracts.epochChallenges,
      abi: epochChallengesAbi,
      eventName: 'Demanded',
      strict: true,
      ...range,
    }),
  )
  for (const { args } of made) state.addDemand(args.id)
  const outcomes: Outcome[] = []
  for (const id of state.demands())
    try {
      const outcome = await follow(options, id)
      if (outcome) outcomes.push(outcome)
    } catch (error) {
      onTrouble(new Error(`demand ${id}: ${messageOf(error)}`, { cause: error }))
    }
  return outcomes
}

/** Does for a demand what there is to do; null when that is nothing. */
async function follow(options: DemandsOptions, id: Hex): Promise<Outcome | null> {
  const { actor, state } = options
  const asked = await actor.chain.readContract({
    address: actor.contracts.epochChallenges,
    abi: epochChallengesAbi,
    functionName: 'demandOf',
    args: [id],
  })
  if (asked.deadline === 0) {
    state.closeDemand(id)
    return null
  }
  const action = await actionFor(options, id, asked)
  if (!action || (await actor.refusal(action)) !== null) return null
  const outcome = await actor.act(`${action.functionName}:${id}`, Number(asked.epoch), action)
  return { ...outcome, detail: DETAILS[action.functionName] ?? outcome.detail }
}

type Asked = {
  challenger: Hex
  epoch: bigint
  kind: number
  index: number
  position: number
  deadline: number
  dataHash: Hex
}

const DETAILS: Record<string, string> = {
  resolve: 'what was demanded was not shown in time',
  reclaim: 'the bond of a demand comes back: its epoch is settled or disabled',
}

/** What there is to do: show it if we can; if it is ours, win it or take the bond back, whichever the chain allows. */
async function actionFor(
  { actor, validator, honestFile }: DemandsOptions,
  id: Hex,
  { challenger, epoch, kind, index, position, deadline, dataHash }: Asked,
): Promise<Action | null> {
  const { timestamp } = await actor.chain.getBlock()
  if (challenger.toLowerCase() === actor.account.toLowerCase()) {
    const resolve: Action = { contract: 'epochChallenges', functionName: 'resolve', args: [id] }
    if (timestamp > BigInt(deadline) && (await actor.refusal(resolve)) === null) return resolve
    return { contract: 'epochChallenges', functionName: 'reclaim', args: [id] }
  }
  const file = timestamp > BigInt(deadline) ? null : await honestFile(Number(epoch), dataHash)
  const named = DEMANDS[kind]
  if (!file || !named) return null
  const demanded: Demanded = { kind: named, index, position }
  const signed = named === 'indexRow' ? file.receipts[index] : undefined
  const opened = signed ? await validator.index(signed.receipt) : null
  return answerDemand(id, demanded, {
    file,
    rows: opened && !(opened instanceof Error) ? opened.rows : [],
  })
}
