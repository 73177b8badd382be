import { encodeAbiParameters } from 'viem'
import { fromHex, keccak, type Hex } from './bytes.ts'
import { PPM } from './parameters.ts'

/**
 * Penalty of a contributor after an outcome: an exponential moving average, 0 for a clean batch and the severity for
 * a rejected one. All in parts per million; the same integers as contracts/src/libraries/Penalty.sol.
 */
export const nextPenalty = (penalty: bigint, outcome: bigint, weight: bigint): bigint =>
  (penalty * (PPM - weight) + outcome * weight) / PPM

/** max(0, 1 - penalty)^2.5, rounded down: parts per million of its share that a contributor's record is worth. */
export const rewardFactor = (penalty: bigint): bigint =>
  penalty >= PPM ? 0n : squareRoot((PPM - penalty) ** 5n) / 1_000_000_000n

/** Largest integer whose square is at most `value`; Newton's method from above. */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value
  let root = 1n << BigInt((value.toString(2).length + 1) >> 1)
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

/** Numbers of `ICuration.Verdict`. */
export const VERDICT = { none: 0, uphold: 1, dismiss: 2 } as const

export type Vote = {
  chainId: number
  curation: Hex
  caseId: bigint
  round: number
  reviewer: Hex
  verdict: number
  /** Hash of the list of records that the reviewer looked at. */
  evidence: Hex
  salt: Hex
}

const VOTE_TYPES = [
  'uint256',
  'address',
  'uint256',
  'uint8',
  'address',
  'uint8',
  'bytes32',
  'bytes32',
]

/** What a reviewer commits before revealing; equals `Curation.commitmentOf`. */
export const voteCommitment = (vote: Vote): Hex =>
  keccak(
    fromHex(
      encodeAbiParameters(
        VOTE_TYPES.map((type) => ({ type })),
        [
          BigInt(vote.chainId),
          vote.curation,
          vote.caseId,
          vote.round,
          vote.reviewer,
          vote.verdict,
          vote.evidence,
          vote.salt,
        ],
      ),
    ),
  )
