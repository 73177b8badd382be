import { decodeFunctionData, encodeFunctionData, hexToString, type Abi } from 'viem'
import type { Hex } from '#protocol/bytes.ts'
import { PARAMETERS, parameterKey, type ParameterName } from '#protocol/parameters.ts'
import { openGovernorAbi } from '#contracts/open-governor.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { chainClient, readChain, readInTurns } from '../chain/client.ts'
import { WATCHED, type ContractName } from '../chain/logs.ts'
import type { Ctx } from '../context.ts'
import { findLogs, type Certainty, type LogView } from '../db/chain-index.ts'
import { readLedger } from '../db/ledger.ts'
import { Problem } from '../problem.ts'

/** States of OpenZeppelin's IGovernor.ProposalState, in its order. */
export const PROPOSAL_STATES = [
  'pending',
  'active',
  'canceled',
  'defeated',
  'succeeded',
  'queued',
  'expired',
  'executed',
] as const
export type ProposalState = (typeof PROPOSAL_STATES)[number]

/** A transaction for anyone's wallet to send. */
export type Call = { to: Hex; data: Hex }

/** What one of a proposal's calls would do. */
export type Action = {
  target: Hex
  /** Name in the deployment; null for a contract that is not ours. */
  contract: ContractName | null
  /** `name(arguments)`; null when it cannot be decoded. */
  call: string | null
  /** The governed number that it moves. */
  change: { parameter: ParameterName; value: bigint } | null
}

export type Proposal = {
  id: string
  proposer: Hex
  description: string
  state: ProposalState
  /** How sure the block of its creation is. */
  certainty: Certainty
  actions: Action[]
  votes: { for: bigint; against: bigint; abstain: bigint; quorum: bigint }
  /** Unix seconds; `executableAt` once it is queued. */
  voteStart: number
  voteEnd: number
  executableAt: number | null
  createdAt: number
  txHash: Hex
  /** What can be sent now. */
  calls: { voteFor?: Call; voteAgainst?: Call; abstain?: Call; queue?: Call; execute?: Call }
}

const MAX_LIVE = 100

/** Proposals, newest first. Throws `chain/unavailable` or `ledger/unavailable`. */
export async function listProposals(
  ctx: Ctx,
  page: { limit: number; before?: { block: number; logIndex: number } },
): Promise<(Proposal & { place: LogView })[]> {
  const logs = await readLedger(ctx.env, (tx) =>
    findLogs(tx, { contract: 'openGovernor', event: 'ProposalCreated', ...page }),
  )
  return readInTurns(logs, async (log) => ({ ...(await readProposal(ctx, log)), place: log }))
}

/** A proposal by its id; throws `proposal/not-found`. */
export async function findProposal(ctx: Ctx, id: string): Promise<Proposal> {
  const [log] = await readLedger(ctx.env, (tx) =>
    findLogs(tx, {
      contract: 'openGovernor',
      event: 'ProposalCreated',
      args: { proposalId: id },
      limit: 1,
    }),
  )
  if (!log) throw new Problem('proposal/not-found', { detail: `No proposal has the id ${id}.` })
  return readProposal(ctx, log)
}

/** Changes of governed numbers that are proposed and neither executed nor refused, newest first. */
export async function proposedChanges(ctx: Ctx): Promise<ProposedChange[]> {
  const proposals = await listProposals(ctx, { limit: MAX_LIVE })
  return proposals
    .filter(({ state }) => LIVE.has(state))
    .flatMap(({ id, state, actions, executableAt }) =>
      actions.flatMap(({ change }) =>
        change ? [{ ...change, proposal: id, state, executableAt }] : [],
      ),
    )
}

const LIVE = new Set<ProposalState>(['pending', 'active', 'succeeded', 'queued'])

export type ProposedChange = {
  parameter: ParameterName
  value: bigint
  proposal: string
  state: ProposalState
  executableAt: number | null
}

/**
 * The transaction that proposes to move governed numbers. Throws `request/invalid` for a number that is unknown or out
 * of the bounds that nobody can move.
 */
export function proposeChanges(
  { settings }: Pick<Ctx, 'settings'>,
  changes: readonly { parameter: string; value: bigint }[],
  description: string,
): Call {
  const { parameters, openGovernor } = settings.CONTRACTS
  const calldatas = changes.map(({ parameter, value }, i) => {
    if (!isParameter(parameter)) throw invalid(i, `There is no governed number ${parameter}.`)
    const { min, max } = PARAMETERS[parameter]
    if (value < min || value > max)
      throw invalid(i, `${parameter} stays between ${min} and ${max}.`)
    return encodeFunctionData({
      abi: parametersAbi,
      functionName: 'set',
      args: [parameterKey(parameter), value],
    })
  })
  return {
    to: openGovernor,
    data: encodeFunctionData({
      abi: openGovernorAbi,
      functionName: 'propose',
      args: [calldatas.map(() => parameters), calldatas.map(() => 0n), calldatas, description],
    }),
  }
}

const isParameter = (name: string): name is ParameterName => Object.hasOwn(PARAMETERS, name)

const invalid = (i: number, detail: string) =>
  new Problem('request/invalid', { param: 'changes', errors: [{ row: i + 1, detail }], detail })

/** Arguments of ProposalCreated, as the index keeps them. */
type Created = {
  proposalId: string
  proposer: Hex
  targets: Hex[]
  calldatas: Hex[]
  voteStart: string
  voteEnd: string
  description: string
}

async function readProposal(ctx: Ctx, log: LogView): Promise<Proposal> {
  const created = log.args as unknown as Created
  const id = BigInt(created.proposalId)
  const governor = {
    address: ctx.settings.CONTRACTS.openGovernor,
    abi: openGovernorAbi,
  } as const
  const client = chainClient(ctx.settings)
  const [state, [against, inFavour, abstain], deadline, eta, quorum] = await readChain(() =>
    Promise.all([
      client.readContract({ ...governor, functionName: 'state', args: [id] }),
      client.readContract({ ...governor, functionName: 'proposalVotes', args: [id] }),
      client.readContract({ ...governor, functionName: 'proposalDeadline', args: [id] }),
      client.readContract({ ...governor, functionName: 'proposalEta', args: [id] }),
      quorumAt(ctx, BigInt(created.voteStart)),
    ]),
  )
  const name = PROPOSAL_STATES[state] ?? 'pending'
  return {
    id: created.proposalId,
    proposer: created.proposer,
    description: created.description,
    state: name,
    certainty: log.certainty,
    actions: created.targets.map((target, i) =>
      actionOf(ctx, target, created.calldatas[i] ?? '0x'),
    ),
    votes: { for: inFavour, against, abstain, quorum },
    voteStart: Number(created.voteStart),
    voteEnd: Number(deadline),
    executableAt: eta > 0n ? Number(eta) : null,
    createdAt: log.time,
    txHash: log.txHash,
    calls: callsFor(governor.address, id, name),
  }
}

/** Votes that have to take part; of a vote that has not begun, those that would have to now. */
async function quorumAt({ settings }: Ctx, timepoint: bigint): Promise<bigint> {
  const client = chainClient(settings)
  const governor = { address: settings.CONTRACTS.openGovernor, abi: openGovernorAbi } as const
  const clock = BigInt(await client.readContract({ ...governor, functionName: 'clock' }))
  const at = timepoint < clock ? timepoint : clock - 1n
  return client.readContract({ ...governor, functionName: 'quorum', args: [at] })
}

function callsFor(to: Hex, id: bigint, state: ProposalState): Proposal['calls'] {
  const call = (functionName: 'queue' | 'execute'): Call => ({
    to,
    data: encodeFunctionData({ abi: openGovernorAbi, functionName, args: [id] }),
  })
  const vote = (support: number): Call => ({
    to,
    data: encodeFunctionData({
      abi: openGovernorAbi,
      functionName: 'castVote',
      args: [id, support],
    }),
  })
  switch (state) {
    case 'active':
      return { voteAgainst: vote(0), voteFor: vote(1), abstain: vote(2) }
    case 'succeeded':
      return { queue: call('queue') }
    case 'queued':
      return { execute: call('execute') }
    default:
      return {}
  }
}

function actionOf({ settings }: Ctx, target: Hex, data: Hex): Action {
  const contract =
    (Object.keys(WATCHED) as ContractName[]).find((name) => settings.CONTRACTS[name] === target) ??
    null
  const decoded = contract && decode(WATCHED[contract], data)
  if (!decoded) return { target, contract, call: null, change: null }
  const { functionName, args = [] } = decoded
  return {
    target,
    contract,
    call: `${functionName}(${args.map(String).join(', ')})`,
    change: contract === 'parameters' && functionName === 'set' ? changeOf(args) : null,
  }
}

function changeOf(args: readonly unknown[]): Action['change'] {
  const parameter = hexToString(args[0] as Hex, { size: 32 })
  return isParameter(parameter) ? { parameter, value: args[1] as bigint } : null
}

function decode(abi: Abi, data: Hex): { functionName: string; args?: readonly unknown[] } | null {
  try {
    return decodeFunctionData({ abi, data }) as { functionName: string; args?: readonly unknown[] }
  } catch {
    return null // a function that this build does not know
  }
}
