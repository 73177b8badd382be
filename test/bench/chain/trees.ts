import { keccak, type Hex } from '#protocol/bytes.ts'

/** The trees of the two yardstick distributors; ours is protocol/merkle.ts. Odd nodes are paired with zero. */
export type Tree = { root: Hex; proof: (index: number) => Hex[] }

const ZERO: Hex = `0x${'00'.repeat(32)}`

/** A tree over leaves; `join` hashes a pair. */
export function treeOf(leaves: readonly Hex[], join: (left: Hex, right: Hex) => Hex): Tree {
  const levels: Hex[][] = [[...leaves]]
  for (let level = levels[0] ?? []; level.length > 1;) {
    const next: Hex[] = []
    for (let i = 0; i < level.length; i += 2)
      next.push(join(level[i] ?? ZERO, level[i + 1] ?? ZERO))
    levels.push(next)
    level = next
  }
  return {
    root: levels.at(-1)?.[0] ?? ZERO,
    proof: (index) =>
      levels.slice(0, -1).map((level, depth) => level[(index >> depth) ^ 1] ?? ZERO),
  }
}

/** keccak256 of a pair in order, and of a pair sorted. */
export const ordered = (left: Hex, right: Hex): Hex => keccak(bytesOf(left + right.slice(2)))
export const sorted = (left: Hex, right: Hex): Hex =>
  left < right ? ordered(left, right) : ordered(right, left)

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.slice(2), 'hex'))
