/** Turns what a validator found into transactions: a proof, else a demand for what is missing, else a vote of its stake. */
import { randomInt } from 'node:crypto'
import { parametersAbi } from '#contracts/parameters.ts'
import type { Hex } from '#protocol/bytes.ts'
import { demand, type Call } from '#protocol/challenge.ts'
import { messageOf } from '#protocol/errors.ts'
import { parameterKey } from '#protocol/parameters.ts'
import type { Actor, Outcome } from './actor.ts'
import type { CheckName } from './checks.ts'
import { demandsOf, proofsOf, type Faulty } from './prove.ts'
import type { Finding } from './validator.ts'

/** Calls that are tried for one epoch in one round; a thousand findings need not each be shown. */
const MOST_TRIED = 64
/** Demands that are made for one epoch in one round: each costs its bond when it is answered. */
const MOST_DEMANDED = 4
/** Files may be on their way for so long, and an edge may be down, before they are demanded. */
const GRACE_SECONDS = 600n
/** One leaf of a kind is demanded at a time; a restart within it does not ask for another. */
const DEMAND_EVERY_SECONDS = 3_600n
const MOST_REASON_CHARS = 200

/** Findings that may be nothing but a network that is down; no stake votes on those. */
const MAY_PASS: ReadonlySet<CheckName> = new Set(['available', 'published', 'index'])

export type Challenger = (faulty: Faulty, onOutcome: (outcome: Outcome) => void) => Promise<void>

/**
 * Challenges epochs, and tells what came of it, which is nothing while there is nothing to be done. A way that fails, such as
 * a demand whose bond we lack, keeps from no other: it throws an Error that says which failed when all have been tried.
 */
export const openChallenger =
  (actor: Actor, parameters: Hex): Challenger =>
  async (faulty, onOutcome) => {
    const failed: string[] = []
    const attempt = async (way: string, act: () => Promise<Outcome[]>): Promise<Outcome[]> => {
      try {
        const outcomes = await act()
        for (const outcome of outcomes) onOutcome(outcome)
        return outcomes
      } catch (error) {
        failed.push(`${way}: ${messageOf(error)}`)
        return []
      }
    }
    const proven = await attempt('a proof', () => prove(actor, faulty))
    if (!proven.some(({ status }) => status !== 'reverted')) {
      await attempt('a demand', () => demandMissing(actor, parameters, faulty))
      await attempt('the vote', () => vote(actor, faulty))
    }
    if (failed.length > 0) throw new Error(failed.join('; '))
  }

const keyOf = ({ submission: { epoch, dataHash } }: Faulty, action: string) =>
  `${action}:${epoch}:${dataHash}`

/** One proof disables the epoch; after it a worker that signed twice can still lose its stake. */
async function prove(actor: Actor, faulty: Faulty): Promise<Outcome[]> {
  const { epoch } = faulty.submission
  const outcomes: Outcome[] = []
  let tried = 0
  for (const finding of oneOfEachFirst(faulty.findings)) {
    for (const proof of await proofsOf(finding, faulty)) {
      const call = built(proof)
      if (!call) continue
      const isForStake = call.functionName === 'challengeEquivocation'
      if (outcomes.length > 0 && !isForStake) continue
      if (tried++ >= MOST_TRIED) return outcomes
      if ((await actor.refusal(call)) !== null) continue
      const name = isForStake ? `${call.functionName}/${finding.requestId}` : call.functionName
      const outcome = await actor.act(keyOf(faulty, name), epoch, call)
      outcomes.push({ ...outcome, detail: `${finding.name}: ${finding.detail}` })
      if (isForStake) break
    }
  }
  return outcomes
}

/** Null when the file holds what no contract takes: then there is nothing to send. */
function built(proof: () => Call): Call | null {
  try {
    return proof()
  } catch {
    return null
  }
}

function oneOfEachFirst(findings: readonly Finding[]): Finding[] {
  const seen = new Map<CheckName, number>()
  return findings
    .map((finding) => {
      const turn = seen.get(finding.name) ?? 0
      seen.set(finding.name, turn + 1)
      return { finding, turn }
    })
    .toSorted((a, b) => a.turn - b.turn)
    .map(({ finding }) => finding)
}

async function demandMissing(actor: Actor, parameters: Hex, faulty: Faulty): Promise<Outcome[]> {
  const { epoch, block } = faulty.submission
  const [now, then] = await Promise.all([
    actor.chain.getBlock(),
    actor.chain.getBlock({ blockNumber: block }),
  ])
  if (now.timestamp < then.timestamp + GRACE_SECONDS) return []
  const bond = await actor.chain.readContract({
    address: parameters,
    abi: parametersAbi,
    functionName: 'get',
    args: [parameterKey('challenge.bond')],
  })
  const round = now.timestamp / DEMAND_EVERY_SECONDS
  const outcomes: Outcome[] = []
  // Nobody can know beforehand which leaf is asked for.
  for (const wanted of demandsOf(faulty, (count) => randomInt(count)).slice(0, MOST_DEMANDED)) {
    const call = demand(epoch, wanted, bond)
    if ((await actor.refusal(call)) !== null) continue // asked for already, or there is no time left to answer
    const outcome = await actor.act(keyOf(faulty, `demand ${wanted.kind} ${round}`), epoch, call)
    outcomes.push({
      ...outcome,
      detail: `a ${wanted.kind} is to be shown; the bond is ${bond} wei`,
    })
  }
  return outcomes
}

/** Says that the epoch is wrong with the stake there is; most of all stake disables it. */
async function vote(actor: Actor, faulty: Faulty): Promise<Outcome[]> {
  const { epoch } = faulty.submission
  const names = [...new Set(faulty.findings.map(({ name }) => name))].filter(
    (name) => !MAY_PASS.has(name),
  )
  if (names.length === 0) return []
  const reason = names.join(', ').slice(0, MOST_REASON_CHARS)
  const call = {
    contract: 'validatorStaking',
    functionName: 'reject',
    args: [BigInt(epoch), reason],
  } as const
  if ((await actor.refusal(call)) !== null) return [] // no stake, or its vote is given
  const outcome = await actor.act(keyOf(faulty, 'reject'), epoch, call)
  return [{ ...outcome, detail: `voted against it: ${reason}` }]
}
