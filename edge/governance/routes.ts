import { createRoute, z } from '@hono/zod-openapi'
import { PARAMETER_NAMES, PARAMETERS, type ParameterName } from '#protocol/parameters.ts'
import { address, bytes32 } from '#protocol/wire.ts'
import { readChain } from '../chain/client.ts'
import { readParameters, type Parameters } from '../chain/parameters.ts'
import { eventId, eventPlace } from '../chain/routes.ts'
import type { Ctx } from '../context.ts'
import { listQuery, listSchema, page } from '../http/list.ts'
import { newApp } from '../http/new-app.ts'
import { answers, jsonBody } from '../http/openapi.ts'
import { Problem } from '../problem.ts'
import {
  findProposal,
  listProposals,
  PROPOSAL_STATES,
  proposeChanges,
  proposedChanges,
  type Proposal,
  type ProposedChange,
} from './proposals.ts'
import { readVoter, type Voter } from './voter.ts'

const integer = z.string().openapi({ description: 'Decimal integer.' })
const proposalState = z.enum(PROPOSAL_STATES)
const call = z
  .object({ to: address, data: z.string().openapi({ description: '0x hex.' }) })
  .openapi({ description: 'A transaction for your wallet to send.' })

const parametersSchema = z
  .object({
    object: z.literal('parameters'),
    contract: address,
    params_hash: bytes32,
    values: z.record(
      z.string(),
      z.object({
        value: integer,
        min: integer,
        max: integer,
        default: integer,
        proposed: z
          .array(
            z.object({
              value: integer,
              proposal: z.string(),
              state: proposalState,
              executable_at: z.int().nullable(),
            }),
          )
          .openapi({ description: 'Changes that are being voted on or wait for execution.' }),
      }),
    ),
  })
  .openapi('Parameters')

const parametersView = (
  { values, paramsHash }: Parameters,
  proposed: readonly ProposedChange[],
  { settings }: Ctx,
) => ({
  object: 'parameters' as const,
  contract: settings.CONTRACTS.parameters,
  params_hash: paramsHash,
  values: Object.fromEntries(
    PARAMETER_NAMES.map((name) => [
      name,
      {
        value: values[name].toString(),
        min: PARAMETERS[name].min.toString(),
        max: PARAMETERS[name].max.toString(),
        default: PARAMETERS[name].value.toString(),
        proposed: changesOf(name, proposed),
      },
    ]),
  ),
})

const changesOf = (name: ParameterName, proposed: readonly ProposedChange[]) =>
  proposed
    .filter(({ parameter }) => parameter === name)
    .map(({ value, proposal, state, executableAt }) => ({
      value: value.toString(),
      proposal,
      state,
      executable_at: executableAt,
    }))

const parametersRoute = createRoute({
  method: 'get',
  path: '/v1/parameters',
  summary: 'Every governed number in force, and the changes that are under way',
  security: [],
  responses: answers(200, parametersSchema, 'Values with the bounds that nobody can move'),
})

const proposalSchema = z
  .object({
    object: z.literal('governance.proposal'),
    id: z.string(),
    proposer: address,
    description: z.string(),
    state: proposalState,
    status: z.enum(['pending', 'safe', 'final']).openapi({ description: 'Of its creation.' }),
    actions: z.array(
      z.object({
        target: address,
        contract: z.string().nullable(),
        call: z.string().nullable(),
        change: z.object({ parameter: z.string(), value: integer }).nullable(),
      }),
    ),
    votes: z.object({ for: integer, against: integer, abstain: integer, quorum: integer }),
    vote_start: z.int(),
    vote_end: z.int(),
    executable_at: z.int().nullable(),
    created_at: z.int(),
    tx_hash: bytes32,
    calls: z
      .object({
        vote_for: call,
        vote_against: call,
        abstain: call,
        queue: call,
        execute: call,
      })
      .partial()
      .openapi({ description: 'What can be sent now.' }),
  })
  .openapi('Proposal')

const proposalView = (proposal: Proposal) => ({
  object: 'governance.proposal' as const,
  id: proposal.id,
  proposer: proposal.proposer,
  description: proposal.description,
  state: proposal.state,
  status: proposal.certainty,
  actions: proposal.actions.map(({ change, ...action }) => ({
    ...action,
    change: change && { ...change, value: change.value.toString() },
  })),
  votes: {
    for: proposal.votes.for.toString(),
    against: proposal.votes.against.toString(),
    abstain: proposal.votes.abstain.toString(),
    quorum: proposal.votes.quorum.toString(),
  },
  vote_start: proposal.voteStart,
  vote_end: proposal.voteEnd,
  executable_at: proposal.executableAt,
  created_at: proposal.createdAt,
  tx_hash: proposal.txHash,
  calls: {
    vote_for: proposal.calls.voteFor,
    vote_against: proposal.calls.voteAgainst,
    abstain: proposal.calls.abstain,
    queue: proposal.calls.queue,
    execute: proposal.calls.execute,
  },
})

const listRoute = createRoute({
  method: 'get',
  path: '/v1/governance/proposals',
  summary: 'Proposals, newest first, with what can be done about each',
  security: [],
  request: { query: listQuery },
  responses: answers(200, listSchema(proposalSchema), 'Proposals'),
})

const proposalRoute = createRoute({
  method: 'get',
  path: '/v1/governance/proposals/{id}',
  summary: 'A proposal with its votes',
  security: [],
  request: { params: z.object({ id: z.string().regex(/^\d{1,78}$/) }) },
  responses: answers(200, proposalSchema, 'The proposal'),
})

const MAX_CHANGES = 20
const proposeRoute = createRoute({
  method: 'post',
  path: '/v1/governance/proposals',
  summary: 'Make the transaction that proposes to move governed numbers',
  security: [],
  request: jsonBody(
    z.strictObject({
      description: z.string().min(1).max(10_000),
      changes: z
        .array(z.strictObject({ parameter: z.string(), value: z.string().regex(/^\d{1,78}$/) }))
        .min(1)
        .max(MAX_CHANGES),
    }),
  ),
  responses: answers(
    200,
    z.object({ object: z.literal('governance.proposal.draft'), propose: call }),
    'The transaction; who sends it needs the votes that a proposal takes',
  ),
})

const voterSchema = z
  .object({
    object: z.literal('governance.voter'),
    account: address,
    votes: integer.openapi({ description: 'Wei that vote for this account now.' }),
    wrapped: integer,
    staked: integer,
    delegate: address,
    threshold: integer.openapi({ description: 'Votes that a proposal takes.' }),
    calls: z.object({ wrap: call, delegate_to_self: call }),
  })
  .openapi('Voter')

const voterView = ({ wrap, delegateToSelf, ...voter }: Voter) => ({
  object: 'governance.voter' as const,
  account: voter.account,
  votes: voter.votes.toString(),
  wrapped: voter.wrapped.toString(),
  staked: voter.staked.toString(),
  delegate: voter.delegate,
  threshold: voter.threshold.toString(),
  calls: { wrap, delegate_to_self: delegateToSelf },
})

const voterRoute = createRoute({
  method: 'get',
  path: '/v1/governance/voters/{address}',
  summary: 'How much an address can vote, and how it gets to vote',
  security: [],
  request: { params: z.object({ address }) },
  responses: answers(200, voterSchema, 'Votes, and the transactions that make some'),
})

export const governanceRoutes = newApp()

governanceRoutes.openapi(parametersRoute, async (c) => {
  const ctx = c.get('ctx')
  const parameters = await readChain(() => readParameters(ctx.settings))
  return c.json(parametersView(parameters, await changesUnderWay(ctx), ctx), 200)
})
governanceRoutes.openapi(listRoute, async (c) => {
  const query = c.req.valid('query')
  const before = eventPlace(query)
  const proposals = await listProposals(c.get('ctx'), {
    limit: query.limit + 1,
    ...(before && { before }),
  })
  const { data, ...rest } = page(
    proposals.map((proposal) => ({ id: eventId(proposal.place), proposal })),
    query.limit,
  )
  return c.json({ ...rest, data: data.map(({ proposal }) => proposalView(proposal)) }, 200)
})
governanceRoutes.openapi(proposalRoute, async (c) =>
  c.json(proposalView(await findProposal(c.get('ctx'), c.req.valid('param').id)), 200),
)
governanceRoutes.openapi(proposeRoute, async (c) => {
  const { description, changes } = c.req.valid('json')
  const propose = proposeChanges(
    c.get('ctx'),
    changes.map(({ parameter, value }) => ({ parameter, value: BigInt(value) })),
    description,
  )
  return c.json({ object: 'governance.proposal.draft' as const, propose }, 200)
})
governanceRoutes.openapi(voterRoute, async (c) =>
  c.json(voterView(await readVoter(c.get('ctx'), c.req.valid('param').address)), 200),
)

/** What is proposed; nothing while the index cannot be read, because the values in force still can. */
async function changesUnderWay(ctx: Ctx): Promise<ProposedChange[]> {
  try {
    return await proposedChanges(ctx)
  } catch (error) {
    if (error instanceof Problem && error.type === 'ledger/unavailable') return []
    throw error
  }
}
