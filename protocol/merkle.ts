import { keccak_256 } from '@noble/hashes/sha3.js'
import { encodeAbiParameters, type AbiParameter } from 'viem'
import { concatBytes, fromHex, toHex, ZERO_HASH, type Hex } from './bytes.ts'

/**
 * The one Merkle tree of the system, equal to @openzeppelin/merkle-tree's StandardMerkleTree: a leaf is
 * keccak256(keccak256(abi.encode(values))), leaves are sorted by hash, siblings are hashed in sorted order,
 * and the tree is a complete binary tree in an array (root at 0, children of i at 2i+1 and 2i+2).
 */
export type MerkleTree = {
  root: Hex
  /** Sibling hashes from the leaf up to the root; throws when the leaf is not in the tree. */
  proof: (leaf: Hex) => Hex[]
}

/** Column types of every tree that goes on chain; the contracts hash the same columns. */
export const LEAF_TYPES = {
  /** A record of a contribution batch or of a Datanet version. */
  record: ['bytes32', 'bytes32', 'address'], // recordHash, cluster, contributor
  /** A row of an adapter's influence index; see protocol/influence-row.ts. */
  indexRow: ['bytes32', 'bytes32', 'address', 'bytes32', 'int16', 'int64', 'uint64', 'uint64'],
  /** A receipt of an epoch. */
  receipt: ['bytes32', 'bytes32'], // requestId, EIP-712 hash
  /** What an account may have claimed in all after an epoch. */
  payout: ['address', 'uint256'], // account, cumulative wei
} as const

export type LeafKind = keyof typeof LEAF_TYPES

const parameters = Object.fromEntries(
  Object.entries(LEAF_TYPES).map(([kind, types]) => [kind, types.map((type) => ({ type }))]),
) as unknown as Record<LeafKind, AbiParameter[]>

/** Hash of a leaf: keccak256(keccak256(abi.encode(values))). Hashing twice keeps leaves and nodes apart. */
export function leafHash(kind: LeafKind, values: readonly unknown[]): Hex {
  const encoded = encodeAbiParameters(parameters[kind], values as unknown[])
  return toHex(keccak_256(keccak_256(fromHex(encoded))))
}

/** Builds the tree over leaf hashes (any order, duplicates allowed). The empty tree has the zero root. */
export function merkleTree(leaves: readonly Hex[]): MerkleTree {
  if (leaves.length === 0) {
    return { root: ZERO_HASH, proof: () => raise('the tree is empty') }
  }
  const sorted = [...leaves].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const nodes = new Array<Uint8Array>(2 * sorted.length - 1)
  const position = new Map<Hex, number>()
  sorted.forEach((leaf, i) => {
    nodes[nodes.length - 1 - i] = fromHex(leaf)
    position.set(leaf, nodes.length - 1 - i)
  })
  for (let i = sorted.length - 2; i >= 0; i--)
    nodes[i] = hashPair(at(nodes, 2 * i + 1), at(nodes, 2 * i + 2))

  return {
    root: toHex(at(nodes, 0)),
    proof: (leaf) => {
      const siblings: Hex[] = []
      let index = position.get(leaf) ?? raise(`leaf ${leaf} is not in the tree`)
      for (; index > 0; index = (index - 1) >> 1)
        siblings.push(toHex(at(nodes, index % 2 === 0 ? index - 1 : index + 1)))
      return siblings
    },
  }
}

/** Whether the proof leads from the leaf to the root; the same walk as OpenZeppelin's MerkleProof.verify. */
export function verifyProof(root: Hex, leaf: Hex, proof: readonly Hex[]): boolean {
  return (
    proof.reduce((node, sibling) => toHex(hashPair(fromHex(node), fromHex(sibling))), leaf) === root
  )
}

function hashPair(a: Uint8Array, b: Uint8Array): Uint8Array {
  return keccak_256(isBefore(a, b) ? concatBytes(a, b) : concatBytes(b, a))
}

function isBefore(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return true
}

function at<T>(items: readonly T[], index: number): T {
  return items[index] ?? raise(`no node ${index}`)
}

function raise(message: string): never {
  throw new Error(`merkle: ${message}`)
}
