import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak, type Hex } from './bytes.ts'
import { clustersOf, isIn, poolTime } from './presence.ts'
import { recordKey } from './revocations.ts'

const [ada, ben]: Hex[] = [`0x${'a1'.repeat(20)}`, `0x${'b2'.repeat(20)}`]
const row = (record: string, cluster: string, contributor: Hex) => ({
  record: keccak(record),
  cluster: keccak(cluster),
  contributor,
})
const rows = [row('1', 'c', ada!), row('2', 'c', ben!), row('3', 'd', ada!), row('4', 'e', ben!)]
const without = (...records: number[]) =>
  clustersOf(rows, isIn(new Set(records.map((n) => recordKey(rows[n - 1]!)))))

test('a cluster counts for whoever has its first record that stands, and for nobody when none does', () => {
  const of = (a: number, b: number) => [
    ...(a > 0 ? [{ contributor: ada, count: a }] : []),
    ...(b > 0 ? [{ contributor: ben, count: b }] : []),
  ]
  assert.deepEqual(without(), of(2, 1))
  assert.deepEqual(without(2), of(2, 1))
  assert.deepEqual(without(1), of(1, 2))
  assert.deepEqual(without(1, 3), of(0, 2))
  assert.deepEqual(without(1, 2, 3), of(0, 1))
  // The same record by somebody else stands.
  assert.deepEqual(
    clustersOf(rows, isIn(new Set([recordKey({ ...rows[0]!, contributor: ben! })]))),
    of(2, 1),
  )
  assert.deepEqual(without(1, 2, 3, 4), of(2, 1), 'somebody has to be paid')
})

test('the base pool heeds what validators hold its last receipt to', () => {
  assert.equal(poolTime(10_000n), 9_700)
})
