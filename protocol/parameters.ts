import { encodeAbiParameters, stringToHex } from 'viem'
import { fromHex, keccak, lowerCase, type Hex } from './bytes.ts'

export const PPM = 1_000_000n

/**
 * Every governed number, in the order in which `Parameters.sol` hashes them. `ppm` is parts per million.
 * The contract is deployed with these defaults and bounds; afterwards only governance moves them.
 */
export const PARAMETERS = {
  'attribution.significance': { value: 4_000n, min: 0n, max: 10_000n }, // thousandths of a null deviation
  'attribution.minShare': { value: 10_000n, min: 0n, max: 500_000n }, // ppm of the contributor pool
  'attribution.coverage': { value: 950_000n, min: 100_000n, max: 1_000_000n }, // ppm of the score mass
  'attribution.topK': { value: 16n, min: 1n, max: 50n }, // rows
  'attribution.textCap': { value: 500_000n, min: 0n, max: 1_000_000n }, // ppm
  'attribution.reliability': { value: 800_000n, min: 0n, max: 1_000_000n }, // ppm paid by score, rest by presence
  'settlement.rowCost': { value: 1_000_000_000n, min: 0n, max: 10n ** 18n }, // wei a paid row must be worth
  'settlement.window': { value: 86_400n, min: 1n, max: 1_209_600n }, // seconds
  'settlement.bond': { value: 10n ** 18n, min: 0n, max: 10n ** 24n }, // wei a submitter must have at stake, at least
  'settlement.bondRatio': { value: 1_000_000n, min: 0n, max: 10_000_000n }, // ppm of all pending totals, as much
  'challenge.bond': { value: 10n ** 16n, min: 0n, max: 10n ** 24n }, // wei that go with a demand to reveal
  'challenge.answerTime': { value: 21_600n, min: 1n, max: 604_800n }, // seconds to answer it
  'staking.unbondDelay': { value: 1_209_600n, min: 1n, max: 5_184_000n }, // seconds; longer than every window
  'staking.minimum': { value: 10n ** 18n, min: 0n, max: 10n ** 24n }, // wei at stake to attest
  'split.platform': { value: 100_000n, min: 0n, max: 300_000n }, // ppm of the fee
  'split.model': { value: 200_000n, min: 0n, max: 500_000n }, // ppm of the fee
  'split.stakers': { value: 200_000n, min: 0n, max: 500_000n }, // ppm of the fee
  'split.retrieval': { value: 100_000n, min: 0n, max: 300_000n }, // ppm of the fee, when records were retrieved
  'fee.datanet': { value: 10n ** 16n, min: 0n, max: 10n ** 24n }, // wei, registration of a Datanet
  'fee.model': { value: 10n ** 16n, min: 0n, max: 10n ** 24n }, // wei, registration of a base model or adapter
  'bond.contribution': { value: 10n ** 15n, min: 0n, max: 10n ** 24n }, // wei locked with a batch
  'vault.withdrawDelay': { value: 86_400n, min: 1n, max: 1_209_600n }, // seconds
  'curation.phase': { value: 86_400n, min: 1n, max: 604_800n }, // seconds to commit, to reveal, to appeal
  'curation.panel': { value: 3n, min: 1n, max: 15n }, // seats of the first panel; the next has 2n + 1
  'curation.rounds': { value: 3n, min: 1n, max: 4n }, // panels of a case
  'curation.reviewerBond': { value: 10n ** 18n, min: 0n, max: 10n ** 24n }, // wei to be drawn
  'curation.seatFee': { value: 10n ** 14n, min: 0n, max: 10n ** 24n }, // wei a challenge pays per seat
  'curation.majority': { value: 650_000n, min: 500_001n, max: 1_000_000n }, // ppm of the votes that decide
  'curation.missPenalty': { value: 1_000n, min: 0n, max: 500_000n }, // ppm of the reviewer's bond, like the next two
  'curation.hidePenalty': { value: 5_000n, min: 0n, max: 500_000n },
  'curation.minorityPenalty': { value: 1_000n, min: 0n, max: 500_000n },
  'curation.minAccuracy': { value: 700_000n, min: 0n, max: 1_000_000n }, // ppm of known cases
  'curation.accuracySample': { value: 30n, min: 1n, max: 1_000n }, // known cases before accuracy counts
  'curation.penaltyWeight': { value: 150_000n, min: 0n, max: 1_000_000n }, // ppm of the newest outcome
  'curation.challengerPart': { value: 500_000n, min: 0n, max: 600_000n }, // ppm of what is slashed
  'curation.panelPart': { value: 250_000n, min: 0n, max: 400_000n }, // ppm of what is slashed
  'slash.proven': { value: 500_000n, min: 0n, max: 1_000_000n }, // ppm of a batch's bond, and severity
  'slash.quality': { value: 200_000n, min: 0n, max: 1_000_000n },
  'slash.plagiarism': { value: 500_000n, min: 0n, max: 1_000_000n },
  'slash.adversarial': { value: 1_000_000n, min: 0n, max: 1_000_000n },
} as const satisfies Record<string, { value: bigint; min: bigint; max: bigint }>

const DAY = 86_400

/** How far and how fast a governed number may move; times are seconds. */
export type ParameterRule = {
  min: bigint
  max: bigint
  maxStep: bigint
  cooldown: number
  delay: number
}

/** Changes come into force when Unix time is a multiple of these seconds: epochs can end there. */
export const PARAMETER_BOUNDARY = 3_600

/**
 * The rule of a parameter: one change moves it by at most what it starts with (a number may double or go to zero, and
 * one that starts at zero may move by one), not twice within a day, and is known two days before it is in force.
 */
export const ruleOf = (name: ParameterName): ParameterRule => {
  const { value, min, max } = PARAMETERS[name]
  return { min, max, maxStep: value > 0n ? value : 1n, cooldown: DAY, delay: 2 * DAY }
}

export type ParameterName = keyof typeof PARAMETERS
export type ParameterValues = Record<ParameterName, bigint>

export const PARAMETER_NAMES = Object.keys(PARAMETERS) as ParameterName[]

/** The values a fresh deployment starts with. */
export const defaultParameters = (): ParameterValues =>
  Object.fromEntries(
    PARAMETER_NAMES.map((name) => [name, PARAMETERS[name].value]),
  ) as ParameterValues

/** A parameter's key on chain: its ASCII name, right-padded to 32 bytes. */
export const parameterKey = (name: ParameterName): Hex => stringToHex(name, { size: 32 })

/** The values by name of what `Parameters.all` answers. Throws when the contract governs others than this build knows. */
export function parametersOf([keys, numbers]: readonly [
  readonly Hex[],
  readonly bigint[],
]): ParameterValues {
  const byKey = new Map(keys.map((key, i) => [lowerCase(key), numbers[i]]))
  const values = PARAMETER_NAMES.map((name) => {
    const value = byKey.get(parameterKey(name))
    if (value === undefined) throw new Error(`the chain has no parameter ${name}`)
    return [name, value] as const
  })
  if (keys.length !== PARAMETER_NAMES.length)
    throw new Error(`the chain has ${keys.length} parameters, this build ${PARAMETER_NAMES.length}`)
  return Object.fromEntries(values) as ParameterValues
}

/** What a receipt names as the rules it was made under; equals `Parameters.paramsHash()`. */
export function paramsHash(values: ParameterValues): Hex {
  const encoded = encodeAbiParameters(
    [{ type: 'bytes32[]' }, { type: 'uint256[]' }],
    [PARAMETER_NAMES.map(parameterKey), PARAMETER_NAMES.map((name) => values[name])],
  )
  return keccak(fromHex(encoded))
}
