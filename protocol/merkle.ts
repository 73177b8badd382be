import { keccak_256 } from '@noble/hashes/sha3.js'
import { encodeAbiParameters, type AbiParameter } from 'viem'
import { concatBytes, fromHex, toHex, ZERO_HASH, type Hex } from './bytes.ts'

/**
 * Two Merkle trees of one shape, a complete binary tree in an array (root at 0, children of i at 2i+1 and 2i+2, leaf
 * i of n at 2n-2-i), and of leaves that are hashed twice:
 *
 *   set      equal to @openzeppelin/merkle-tree's StandardMerkleTree: leaves sorted by hash, siblings hashed in sorted
 *            order. Proves that something is in it.
 *   ordered  leaves in the given order, siblings hashed left before right. Proves what stands at a position, of which
 *            there are as many as the count that is committed beside the root: so also that something is not in
 *            it (two neighbours in an order it would stand between), and nothing can hide in it.
 */
export type MerkleTree = {
  root: Hex
  /** Sibling hashes from the leaf up to the root; throws when the leaf is not in the tree. */
  proof: (leaf: Hex) => Hex[]
}

export type OrderedTree = {
  root: Hex
  /** Sibling hashes from the leaf at a position up to the root; throws outside the tree. */
  proof: (index: number) => Hex[]
}

/** Column types of every tree that goes on chain; the contracts hash the same columns. */
export const LEAF_TYPES = {
  /** Set: a record of a contribution batch or of a Datanet version. */
  record: ['bytes32', 'bytes32', 'address'], // recordHash, cluster, contributor
  /** Set: a row of an adapter's influence index; see protocol/influence-row.ts. */
  indexRow: [
    'bytes32',
    'bytes32',
    'address',
    'bytes32',
    'int16',
    'int64',
    'uint64',
    'uint64',
    'bytes32',
    'uint32',
  ],
  /** Ordered by payer, then request: a receipt of an epoch. */
  receipt: ['bytes32', 'bytes32', 'uint256'], // requestId, EIP-712 hash, wei of its payer up to and with it
  /** Ordered by account, receipt and part: what a receipt pays an account. */
  credit: ['address', 'uint32', 'uint32', 'uint256', 'uint256'], // account, receipt, part, wei, cumulative wei
  /** Ordered by account: what it may have claimed in all after an epoch. */
  payout: ['address', 'uint256'], // account, cumulative wei
} as const

export type LeafKind = keyof typeof LEAF_TYPES

const parameters = Object.fromEntries(
  Object.entries(LEAF_TYPES).map(([kind, types]) => [kind, types.map((type) => ({ type }))]),
) as unknown as Record<LeafKind, AbiParameter[]>

/** Hash of a leaf: keccak256(keccak256(abi.encode(values))). Hashing twice keeps leaves and nodes apart. */
export const leafHash = (kind: LeafKind, values: readonly unknown[]): Hex =>
  hashTwice(fromHex(encodeAbiParameters(parameters[kind], values as unknown[])))

/** keccak256(keccak256(bytes)): a leaf that is bytes. */
export const hashTwice = (bytes: Uint8Array): Hex => toHex(keccak_256(keccak_256(bytes)))

/** Builds the set tree over leaf hashes (any order, duplicates allowed). The empty tree has the zero root. */
export function merkleTree(leaves: readonly Hex[]): MerkleTree {
  const sorted = [...leaves].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const nodes = hashUp(sorted, (a, b) => hashSorted(a, b))
  const position = new Map(sorted.map((leaf, i) => [leaf, i]))
  return {
    root: rootOf(nodes),
    proof: (leaf) =>
      siblings(nodes, position.get(leaf) ?? raise(`leaf ${leaf} is not in the tree`)),
  }
}

/** Builds the ordered tree over leaf hashes. The empty tree has the zero root. */
export function orderedTree(leaves: readonly Hex[]): OrderedTree {
  const nodes = hashUp(leaves, hashPair)
  return {
    root: rootOf(nodes),
    proof: (index) =>
      index in leaves ? siblings(nodes, index) : raise(`leaf ${index} of ${leaves.length}`),
  }
}

/** Whether the proof leads from the leaf to the root of a set; the same walk as OpenZeppelin's MerkleProof.verify. */
export const verifyProof = (root: Hex, leaf: Hex, proof: readonly Hex[]): boolean =>
  toHex(proof.reduce((node, sibling) => hashSorted(node, fromHex(sibling)), fromHex(leaf))) === root

/** Whether the leaf stands at a position of the ordered tree of `count` leaves; the same walk as OrderedTree.sol's. */
export function verifyOrdered(
  root: Hex,
  leaf: Hex,
  { index, count, proof }: { index: number; count: number; proof: readonly Hex[] },
): boolean {
  if (index >= count) return false
  let node = fromHex(leaf)
  let at = 2 * count - 2 - index
  for (const sibling of proof.map(fromHex)) {
    if (at === 0) return false
    node = at % 2 === 1 ? hashPair(node, sibling) : hashPair(sibling, node)
    at = (at - 1) >> 1
  }
  return at === 0 && toHex(node) === root
}

function hashUp(
  leaves: readonly Hex[],
  hash: (left: Uint8Array, right: Uint8Array) => Uint8Array,
): Uint8Array[] {
  if (leaves.length === 0) return []
  const nodes = new Array<Uint8Array>(2 * leaves.length - 1)
  leaves.forEach((leaf, i) => (nodes[nodes.length - 1 - i] = fromHex(leaf)))
  for (let i = leaves.length - 2; i >= 0; i--)
    nodes[i] = hash(at(nodes, 2 * i + 1), at(nodes, 2 * i + 2))
  return nodes
}

const rootOf = ([root]: readonly Uint8Array[]): Hex => (root ? toHex(root) : ZERO_HASH)

function siblings(nodes: readonly Uint8Array[], leaf: number): Hex[] {
  const found: Hex[] = []
  for (let index = nodes.length - 1 - leaf; index > 0; index = (index - 1) >> 1)
    found.push(toHex(at(nodes, index % 2 === 0 ? index - 1 : index + 1)))
  return found
}

const hashPair = (a: Uint8Array, b: Uint8Array): Uint8Array => keccak_256(concatBytes(a, b))
const hashSorted = (a: Uint8Array, b: Uint8Array): Uint8Array =>
  isBefore(a, b) ? hashPair(a, b) : hashPair(b, a)

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
