import { concatBytes, type Hex } from './bytes.ts'
import { hashTwice, orderedTree } from './merkle.ts'

/**
 * Commitment to a sequence of token ids, of which one can be opened on chain: an ordered Merkle tree whose leaves are 32
 * tokens each (one keccak256 block), every id as 4 bytes, big endian. The number of tokens stands beside the root.
 */
export const TOKENS_PER_LEAF = 32

/** Between the segments of a record's trained tokens; no vocabulary has it, so no span crosses it. */
export const SEGMENT_END = 0xffff_ffff

/** Root over token ids, at most 32 bits each; the zero hash for none. */
export const tokensRoot = (tokens: readonly number[]): Hex => treeOf(tokens).root

/** The trained tokens of a record as they are committed to: its segments, divided by SEGMENT_END. */
export const joinSegments = (segments: readonly (readonly number[])[]): number[] =>
  segments.flatMap((segment, i) => (i === 0 ? segment : [SEGMENT_END, ...segment]))

export type TokenOpening = {
  /** All tokens of the leaf, 4 bytes each. */
  leaf: Uint8Array
  proof: Hex[]
}

/** Opens the leaf that holds a position; throws outside the sequence. */
export const openToken = (tokens: readonly number[], position: number): TokenOpening => ({
  leaf: encode(leavesOf(tokens)[Math.floor(position / TOKENS_PER_LEAF)] ?? []),
  proof: treeOf(tokens).proof(Math.floor(position / TOKENS_PER_LEAF)),
})

const treeOf = (tokens: readonly number[]) =>
  orderedTree(leavesOf(tokens).map((leaf) => hashTwice(encode(leaf))))

const leavesOf = (tokens: readonly number[]): (readonly number[])[] =>
  Array.from({ length: Math.ceil(tokens.length / TOKENS_PER_LEAF) }, (_, i) =>
    tokens.slice(i * TOKENS_PER_LEAF, (i + 1) * TOKENS_PER_LEAF),
  )

const encode = (tokens: readonly number[]): Uint8Array =>
  concatBytes(
    ...tokens.map((id) => Uint8Array.of(id >>> 24, (id >>> 16) & 255, (id >>> 8) & 255, id & 255)),
  )
