import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { concatBytes, fromHex, keccak, type Hex } from '#protocol/bytes.ts'
import { MAX_RECEIPTS, type EpochFile, type Payout } from '#protocol/epoch.ts'
import {
  creditsTree,
  payoutsTree,
  receiptLeaf,
  receiptsTree,
  type SettledCredit,
  type SettledReceipt,
} from '#protocol/ledgers.ts'
import { leafHash, orderedTree } from '#protocol/merkle.ts'
import type { Receipt } from '#protocol/receipt.ts'
import { MAX_CITATIONS } from '#protocol/wire.ts'
import { root as repository } from '../script/foundry.ts'
import { fairReceipt, type World } from './dispute.ts'

/** The largest epochs and receipts there are, and what challenges of them may cost. */

/** Levels of an epoch's trees: MAX_RECEIPTS, some fifty credits of each, 131,072 accounts that were ever paid. */
const DEPTHS = { receipts: Math.ceil(Math.log2(MAX_RECEIPTS)), credits: 19, payouts: 17 }
/** AttributionSettlement.MAX_DRAWS. */
export const DRAWS = 1_000
/** Levels of the tree over an index of 131,072 rows. */
export const INDEX_DEPTH = 17
/** Twice topK. */
const ROWS = 32

/** A receipt with as many rows as can be listed, half of them for their text, and as many citations. */
export function fullReceipt(world: World, id: string, of?: Hex): Receipt {
  const full = fairReceipt(world, id, { cited: MAX_CITATIONS, ...(of && { of }) })
  const texts = Array.from({ length: ROWS - full.rows.length }, (_, i) => ({
    ...full.rows.at(-1)!,
    cluster: keccak(`t${i}`),
    record: keccak(`r${i}`),
    text: 70_000n,
    spans: [{ outputStart: 10, recordStart: 40, length: 20 }],
    amount: 0n,
  }))
  assert.equal(texts.length, ROWS / 2)
  return { ...full, rows: [...full.rows, ...texts] }
}

/** A set tree's proof of so many siblings, and its root above a leaf. */
export function deepProof(leaf: Hex, depth: number): { proof: Hex[]; root: Hex } {
  const proof = Array.from({ length: depth }, (_, i) => keccak(`s${i}`))
  return { proof, root: proof.reduce(hashSortedPair, leaf) }
}

/** An ordered tree of `2 ** depth` leaves: those that are given, then any. */
function deepLedger<Leaf>(leaves: readonly Leaf[], hash: (leaf: Leaf) => Hex, depth: number) {
  const levels = Math.ceil(Math.log2(leaves.length))
  const filler = [keccak('filler')]
  while (filler.length < depth) filler.push(hashPair(filler.at(-1)!, filler.at(-1)!))
  const begins = Array.from({ length: 2 ** levels }, (_, i) =>
    i < leaves.length ? hash(leaves[i]!) : filler[0]!,
  )
  const { root, proof } = orderedTree(begins)
  const above = filler.slice(levels)
  return {
    root: above.reduce((node, later) => hashPair(later, node), root),
    proof: (index: number) => [...proof(index), ...above],
    leaves: Object.assign([...leaves], { length: 2 ** depth }),
  }
}
const hashPair = (left: Hex, right: Hex): Hex => keccak(concatBytes(fromHex(left), fromHex(right)))
const hashSortedPair = (a: Hex, b: Hex): Hex => (a < b ? hashPair(a, b) : hashPair(b, a))

const creditLeaf = ({ account, receipt, part, amount, cumulative }: SettledCredit) =>
  leafHash('credit', [account, receipt, part, amount, cumulative])
const payoutLeaf = ({ account, amount }: Payout) => leafHash('payout', [account, amount])

/** The file with other credits, in trees as deep as they get: so are the proofs of what is proven from it. */
export function atFullSize(file: EpochFile, credits = creditsTree(file).leaves): EpochFile {
  const full = { ...file }
  const receiptOf = ({ receipt, spent }: SettledReceipt) => receiptLeaf(receipt, spent, file)
  receiptsTree.known.set(full, deepLedger(receiptsTree(file).leaves, receiptOf, DEPTHS.receipts))
  creditsTree.known.set(full, deepLedger(credits, creditLeaf, DEPTHS.credits))
  payoutsTree.known.set(full, deepLedger(file.payouts, payoutLeaf, DEPTHS.payouts))
  return full
}

/**
 * Holds gas to what is written in `contracts/snapshots/<name>.json`, and to less than `most`, but for those that are named:
 * FORGE_SNAPSHOT_CHECK=false writes what moved.
 */
export function assertGas(
  name: string,
  gas: Readonly<Record<string, bigint>>,
  { most, dearer = [] }: { most: bigint; dearer?: readonly string[] },
): void {
  const path = join(repository, `contracts/snapshots/${name}.json`)
  const found = Object.fromEntries(Object.entries(gas).map(([call, used]) => [call, Number(used)]))
  if (!existsSync(path) || process.env['FORGE_SNAPSHOT_CHECK'] === 'false')
    writeFileSync(path, `${JSON.stringify(found, null, 2)}\n`)
  const kept = JSON.parse(readFileSync(path, 'utf8')) as Record<string, number>
  assert.deepEqual(Object.keys(found), Object.keys(kept))
  for (const [call, used] of Object.entries(found)) {
    assert.equal(BigInt(used) > most, dearer.includes(call), `${call}: ${used}`)
    // Signatures and addresses differ by a few bytes of calldata.
    assert.ok(Math.abs(used - (kept[call] ?? 0)) < 1_000, `${call}: ${used}, was ${kept[call]}`)
  }
}
