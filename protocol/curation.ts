import { encodeAbiParameters } from 'viem'
import { fromHex, keccak, type Hex } from './bytes.ts'
import { PPM } from './parameters.ts'

/**
 * Penalty of a contributor after an outcome: an exponential moving average, 0 for a clean batch and the severity for
 * a rejected one. All in parts per million; the same integers as contracts/src/libraries/Penalty.sol.
 */
export const nextPenalty = (penalty: bigint, outcome: bigint, weight: bigint): bigint =>
  (penalty * (PPM - weight) + outcome * weight) / PPM

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
