import { encodeFunctionData } from 'viem'
import { lowerCase, type Hex } from '#protocol/bytes.ts'
import { openGovernorAbi } from '#contracts/open-governor.ts'
import { votingOpenAbi } from '#contracts/voting-open.ts'
import { chainClient, readChain } from '../chain/client.ts'
import type { Ctx } from '../context.ts'
import type { Call } from './proposals.ts'

export type Voter = {
  account: Hex
  /** Wei that vote for the account now: its own and those of who delegated to it. */
  votes: bigint
  wrapped: bigint
  staked: bigint
  /** Who votes with its wei. */
  delegate: Hex
  /** Votes that a proposal takes. */
  threshold: bigint
  /** Wraps the wei that are sent along; an account votes for itself until it delegates. */
  wrap: Call
  delegateToSelf: Call
}

/** How much an address can vote. Throws `chain/unavailable`. */
export async function readVoter({ settings }: Ctx, account: Hex): Promise<Voter> {
  const { votingOpen, openGovernor } = settings.CONTRACTS
  const client = chainClient(settings)
  const token = { address: votingOpen, abi: votingOpenAbi } as const
  const [votes, wrapped, staked, delegate, threshold] = await readChain(() =>
    Promise.all([
      client.readContract({ ...token, functionName: 'getVotes', args: [account] }),
      client.readContract({ ...token, functionName: 'balanceOf', args: [account] }),
      client.readContract({ ...token, functionName: 'stakeOf', args: [account] }),
      client.readContract({ ...token, functionName: 'delegates', args: [account] }),
      client.readContract({
        address: openGovernor,
        abi: openGovernorAbi,
        functionName: 'proposalThreshold',
      }),
    ]),
  )
  return {
    account,
    votes,
    wrapped,
    staked,
    delegate: lowerCase(delegate),
    threshold,
    wrap: {
      to: votingOpen,
      data: encodeFunctionData({ abi: votingOpenAbi, functionName: 'deposit' }),
    },
    delegateToSelf: {
      to: votingOpen,
      data: encodeFunctionData({ abi: votingOpenAbi, functionName: 'delegate', args: [account] }),
    },
  }
}
