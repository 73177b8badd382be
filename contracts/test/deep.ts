import { concatBytes, fromHex, keccak, type Hex } from '#protocol/bytes.ts'

/** Parent of two nodes of an ordered tree, the left one first. */
export const hashPairOf = (left: Hex, right: Hex): Hex =>
  keccak(concatBytes(fromHex(left), fromHex(right)))

/** Parent of two nodes of a set tree. */
export const hashSortedPair = (a: Hex, b: Hex): Hex => (a < b ? hashPairOf(a, b) : hashPairOf(b, a))
