import type { Hex } from './bytes.ts'
import { leafHash } from './merkle.ts'

/** Entries of a vector, at most: with more, showing a wrong score would not fit the gas of one challenge. */
export const MAX_DIMENSIONS = 2_048

/** One row of an adapter's influence index as committed on chain; the int8 vector itself stays in a file. */
export type InfluenceRow = {
  record: Hex
  cluster: Hex
  contributor: Hex
  /** keccak256 of the int8 vector's bytes. */
  vectorHash: Hex
  /** The vector's value is int8 * 2^exponent. */
  exponent: number
  /** Null mean and deviation of the row's relative score, in units of score.RELATIVE_ONE. */
  nullMean: bigint
  nullDeviation: bigint
  /** Squared norm of the int8 vector. */
  self: bigint
  /** protocol/tokens.ts over the record's trained tokens, segments divided by SEGMENT_END. */
  tokensRoot: Hex
  /** How many they are, the dividers included. */
  tokens: number
}

/** Leaf of `indexRoot`. */
export const influenceRowLeaf = (row: InfluenceRow): Hex =>
  leafHash('indexRow', [
    row.record,
    row.cluster,
    row.contributor,
    row.vectorHash,
    row.exponent,
    row.nullMean,
    row.nullDeviation,
    row.self,
    row.tokensRoot,
    row.tokens,
  ])
