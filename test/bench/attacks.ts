import { loadBaseModel } from '#gpu-worker/base-model.ts'
import type { Response } from '#gpu-worker/attribution/attribute.ts'
import { loraOf } from '#gpu-worker/training/lora-training.ts'
import { defaultParameters } from '#protocol/parameters.ts'
import { ATTACKER, worldOf, type Attack, type World } from './attacks/attacks.ts'
import {
  accepted,
  ourPayouts,
  plainPayouts,
  unchecked,
  type Answered,
  type Inflation,
  type PayOut,
  type Payout,
  type Place,
  type Submission,
} from './attacks/world.ts'
import { addressOf } from './attribution/datasets.ts'
import { openSource } from './attribution/ours.ts'
import { METHOD } from './attribution/retraining.ts'
import { mean } from './attribution/statistics.ts'
import { benchFlags, figure, printReport, progress, type Figure } from './report.ts'

/**
 * What attacks on attribution earn: `npm run bench:attacks [-- --quick] [-- --json]`. Eight contributors hand in clauses of
 * real licences; one of them attacks. A multiplier is what the attacker is paid for the same answers with the attack over
 * without it, under the product's own pipeline, training and attribution, beside paying plain gradient dot products
 * without clusters. Money goes by the contributor pool alone; `with base pool` adds what presence pays. Worlds differ in
 * clauses, training seed and the attacker's choices; a figure is their mean, with the lowest and the highest beside it.
 */
const flags = benchFlags(process.argv.slice(2))
const WORLDS = flags.quick ? 1 : 3
const EACH = flags.quick ? 6 : 12
const QUICK_ATTACKS = 4

const base = await loadBaseModel('gpu-worker/models/openledger-5m')
const lora = loraOf(METHOD)
const source = await openSource(base, lora)

type Outcome = { goal: number | null; ours: Payout; plain: Payout }
/** One outcome per world. */
const outcomes = new Map<string, Outcome[]>()
const returned: number[] = []
try {
  for (let world = 0; world < WORLDS; world++)
    await measure(worldOf(base, { world, worlds: WORLDS, each: EACH }), world)
} finally {
  await source.release()
}
printReport(
  'attacks',
  [
    ...[...outcomes].flatMap(([name, found]) => multiplierFigures(name, found)),
    {
      ...overWorlds('wash inference: returned of every fee paid', returned),
      goal: 1,
    },
  ],
  flags,
)

async function measure(world: World, number: number): Promise<void> {
  const place = { base, source, lora, others: world.others, seed: number + 1 }
  const pay = payer(place, { after: world.honest.length, answers: world.answers })
  const without = async (isOurs: boolean, responses: readonly Response[]) =>
    total(await pay(world.honest, null, isOurs), [ATTACKER], responses)
  const multiplier = async (attack: Attack, isOurs: boolean): Promise<Payout> => {
    const { submissions, accounts = [ATTACKER], inflation = null } = attack
    const responses = attack.responses ?? world.answers
    const before = await without(isOurs, responses)
    const after = await total(await pay(submissions, inflation, isOurs), accounts, responses)
    return {
      attributed: after.attributed / before.attributed,
      withBasePool: after.withBasePool / before.withBasePool,
    }
  }
  for (const attack of flags.quick ? world.attacks.slice(0, QUICK_ATTACKS) : world.attacks) {
    const [ours, plain] = [await multiplier(attack, true), await multiplier(attack, false)]
    const before = outcomes.get(attack.name) ?? []
    outcomes.set(attack.name, [...before, { goal: attack.goal ?? null, ours, plain }])
    progress(
      `world ${number}, ${attack.name}: ${ours.attributed.toFixed(3)} (plain ${plain.attributed.toFixed(3)})`,
    )
  }
  // An attacker pays for answers that recite their own records: what comes back of each unit of fee.
  const back = await without(true, world.own)
  returned.push((contributorShare() * back.withBasePool) / world.own.length)
}

/** Trains once per set of rows. */
function payer(place: Place, answered: Answered) {
  const known = new Map<string, Promise<PayOut>>()
  return async (submissions: readonly Submission[], inflation: Inflation, isOurs: boolean) => {
    const rows = isOurs ? await accepted(submissions, answered) : unchecked(submissions)
    const key = JSON.stringify([isOurs, inflation, rows])
    const made = known.get(key) ?? (isOurs ? ourPayouts : plainPayouts)(rows, place, inflation)
    known.set(key, made)
    return made
  }
}

async function total(
  pay: PayOut,
  accounts: readonly string[],
  responses: readonly Response[],
): Promise<Payout> {
  const sum = { attributed: 0, withBasePool: 0 }
  for (const response of responses) {
    const payouts = await pay(response)
    for (const account of accounts) {
      const own = payouts.get(addressOf(account))
      sum.attributed += own?.attributed ?? 0
      sum.withBasePool += own?.withBasePool ?? 0
    }
  }
  return sum
}

function contributorShare(): number {
  const values = defaultParameters()
  const elsewhere = values['split.platform'] + values['split.model'] + values['split.stakers']
  return 1 - Number(elsewhere) / 1e6
}

function multiplierFigures(name: string, found: readonly Outcome[]): Figure[] {
  const reference = {
    value: mean(found.map(({ plain }) => plain.attributed)),
    name: 'plain dot product',
  }
  const of = (suffix: string, pick: (outcome: Outcome) => number, beside?: typeof reference) =>
    overWorlds(`payout multiplier, ${name}${suffix}`, found.map(pick), beside)
  return [
    { ...of('', ({ ours }) => ours.attributed, reference), goal: found[0]?.goal ?? null },
    of(', with base pool', ({ ours }) => ours.withBasePool),
  ]
}

/** The mean over worlds, with the lowest and the highest. */
function overWorlds(
  name: string,
  values: readonly number[],
  reference?: { value: number; name: string },
): Figure {
  const range = `[${Math.min(...values).toFixed(2)}, ${Math.max(...values).toFixed(2)}]`
  const named = { name: `${name} ${range}`, unit: 'x', better: 'lower' as const }
  return figure(named, mean(values), reference)
}
