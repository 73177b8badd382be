import assert from 'node:assert/strict'
import test from 'node:test'
import { StandardMerkleTree } from '@openzeppelin/merkle-tree'
import { keccak, ZERO_HASH, type Hex } from './bytes.ts'
import {
  LEAF_TYPES,
  leafHash,
  merkleTree,
  orderedTree,
  verifyOrdered,
  verifyProof,
} from './merkle.ts'

const account = (i: number): Hex => `0x${i.toString(16).padStart(40, '0')}`

test('the tree, its leaves and its proofs equal OpenZeppelin StandardMerkleTree', () => {
  for (const size of [1, 2, 3, 5, 8, 13, 100]) {
    const values = Array.from(
      { length: size },
      (_, i) => [account(i * 7 + 1), BigInt(i) ** 5n] as const,
    )
    const theirs = StandardMerkleTree.of(
      values.map(([a, b]) => [a, b.toString()]),
      [...LEAF_TYPES.payout],
    )
    const leaves = values.map((value) => leafHash('payout', value))
    const ours = merkleTree(leaves)
    assert.equal(ours.root, theirs.root)
    values.forEach(([a, b], i) => {
      const leaf = leaves[i]!
      assert.equal(leaf, theirs.leafHash([a, b.toString()]))
      assert.deepEqual(ours.proof(leaf), theirs.getProof(i))
      assert.ok(verifyProof(ours.root, leaf, ours.proof(leaf)))
    })
  }
})

test('a foreign leaf, a changed proof and a foreign root do not verify', () => {
  const leaves = ['a', 'b', 'c', 'd', 'e'].map((text) => keccak(text))
  const tree = merkleTree(leaves)
  const proof = tree.proof(leaves[0]!)
  assert.ok(!verifyProof(tree.root, keccak('z'), proof))
  assert.ok(!verifyProof(tree.root, leaves[0]!, [...proof].toReversed()))
  assert.ok(!verifyProof(keccak('z'), leaves[0]!, proof))
  assert.throws(() => tree.proof(keccak('z')), /not in the tree/)
})

test('the empty tree has the zero root and no proofs', () => {
  const tree = merkleTree([])
  assert.equal(tree.root, ZERO_HASH)
  assert.throws(() => tree.proof(ZERO_HASH), /not in the tree/)
})

test('the order of the leaves does not change the root', () => {
  const leaves = ['a', 'b', 'c', 'd'].map((text) => keccak(text))
  assert.equal(merkleTree(leaves).root, merkleTree([...leaves].toReversed()).root)
})

test('an ordered tree proves what stands at a position and nothing else', () => {
  for (const size of [1, 2, 3, 5, 8, 13]) {
    const leaves = Array.from({ length: size }, (_, i) => keccak(`leaf ${i}`))
    const tree = orderedTree(leaves)
    for (const [index, leaf] of leaves.entries()) {
      const place = { index, count: size, proof: tree.proof(index) }
      assert.ok(verifyOrdered(tree.root, leaf, place))
      for (let other = 0; other < size + 2; other++)
        assert.equal(verifyOrdered(tree.root, leaf, { ...place, index: other }), other === index)
      assert.ok(!verifyOrdered(tree.root, keccak('z'), place))
      assert.ok(!verifyOrdered(tree.root, leaf, { ...place, proof: [...place.proof, leaf] }))
    }
    if (size > 1) assert.notEqual(tree.root, orderedTree(leaves.toReversed()).root)
    assert.throws(() => tree.proof(size), /leaf/)
  }
  assert.equal(orderedTree([]).root, ZERO_HASH)
})
