import { keccak_256 } from '@noble/hashes/sha3.js'
import { concatBytes, fromHex, toHex, ZERO_HASH, type Hex } from './bytes.ts'
import { encodeWords } from './typed-data.ts'

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

/** Hash of a leaf: keccak256(keccak256(abi.encode(values))). Hashing twice keeps leaves and nodes apart. */
export const leafHash = (kind: LeafKind, values: readonly unknown[]): Hex =>
  hashTwice(encodeWords(LEAF_TYPES[kind], values))

/** keccak256(keccak256(bytes)): a leaf that is bytes. */
export const hashTwice = (bytes: Uint8Array): Hex => toHex(keccak_256(keccak_256(bytes)))

/** Builds the set tree over leaf hashes (any order, duplicates allowed). The empty tree has the zero root. */
export function merkleTree(leaves: readonly Hex[]): MerkleTree {
  const sorted = [...leaves].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const nodes = hashUp(joinHashes(sorted), hashSorted)
  const position = new Map(sorted.map((leaf, i) => [leaf, i]))
  return {
    root: rootOf(nodes),
    proof: (leaf) =>
      siblings(nodes, position.get(leaf) ?? raise(`leaf ${leaf} is not in the tree`)),
  }
}

/** Builds the ordered tree over leaf hashes, given one after the other. The empty tree has the zero root. */
export function orderedTree(leaves: readonly Hex[] | Uint8Array): OrderedTree {
  const hashes = leaves instanceof Uint8Array ? leaves : joinHashes(leaves)
  const count = hashes.length / HASH
  const nodes = hashUp(hashes, keccak_256)
  return {
    root: rootOf(nodes),
    proof: (index) =>
      index >= 0 && index < count ? siblings(nodes, index) : raise(`leaf ${index} of ${count}`),
  }
}

/** Whether the proof leads from the leaf to the root of a set; the same walk as OpenZeppelin's MerkleProof.verify. */
export const verifyProof = (root: Hex, leaf: Hex, proof: readonly Hex[]): boolean =>
  toHex(
    proof.reduce((node, sibling) => hashSorted(concatBytes(node, fromHex(sibling))), fromHex(leaf)),
  ) === root

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

const HASH = 32

/** Hashes one after the other. */
function joinHashes(hashes: readonly Hex[]): Uint8Array {
  const joined = new Uint8Array(HASH * hashes.length)
  hashes.forEach((hash, i) => joined.set(fromHex(hash), HASH * i))
  return joined
}

/** All nodes of a tree, one after the other, of which siblings are neighbours: `hash` is given both. */
function hashUp(leaves: Uint8Array, hash: (pair: Uint8Array) => Uint8Array): Uint8Array {
  const count = leaves.length / HASH
  if (count === 0) return new Uint8Array()
  const nodes = new Uint8Array(HASH * (2 * count - 1))
  for (let i = 0; i < count; i++)
    nodes.set(leaves.subarray(HASH * i, HASH * (i + 1)), nodes.length - HASH * (i + 1))
  for (let i = count - 2; i >= 0; i--)
    nodes.set(hash(nodes.subarray(HASH * (2 * i + 1), HASH * (2 * i + 3))), HASH * i)
  return nodes
}

const nodeAt = (nodes: Uint8Array, index: number): Hex =>
  toHex(nodes.subarray(HASH * index, HASH * (index + 1)))

const rootOf = (nodes: Uint8Array): Hex => (nodes.length > 0 ? nodeAt(nodes, 0) : ZERO_HASH)

function siblings(nodes: Uint8Array, leaf: number): Hex[] {
  const found: Hex[] = []
  for (let index = nodes.length / HASH - 1 - leaf; index > 0; index = (index - 1) >> 1)
    found.push(nodeAt(nodes, index % 2 === 0 ? index - 1 : index + 1))
  return found
}

const hashPair = (a: Uint8Array, b: Uint8Array): Uint8Array => keccak_256(concatBytes(a, b))

function hashSorted(pair: Uint8Array): Uint8Array {
  const [a, b] = [pair.subarray(0, HASH), pair.subarray(HASH)]
  return isBefore(a, b) ? keccak_256(pair) : hashPair(b, a)
}

function isBefore(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return true
}

function raise(message: string): never {
  throw new Error(`merkle: ${message}`)
}
