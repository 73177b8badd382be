import assert from 'node:assert/strict'
import test from 'node:test'
import { privateKeyToAccount } from 'viem/accounts'
import { keccak, ZERO_HASH, type Hex } from './bytes.ts'
import {
  countAt,
  emptyRevocations,
  extendRevocations,
  followRevocations,
  headOf,
  heededAt,
  heededParts,
  revocationHead,
  revocationOf,
  revokedRows,
  withdrawalSigner,
  withdrawalTypedData,
  type Revocation,
} from './revocations.ts'

const key = (n: number) => ({
  record: keccak(`record ${n}`),
  contributor: `0x${n.toString(16).padStart(40, '0')}` as Hex,
})

/** A log whose entry i revokes record i, at the times given; equal times are one withdrawal. */
function entriesAt(times: readonly number[]): Revocation[] {
  let head: Hex = ZERO_HASH
  return times.map((time, i) => {
    const entry = {
      seq: i + 1,
      ...key(i),
      contribution: `ctr_${time}`,
      reason: 'revoked' as const,
      call: keccak(`call of ${time}`),
      time,
    }
    head = revocationHead(head, entry)
    return { ...entry, head }
  })
}
const logAt = (...times: number[]) => {
  const log = emptyRevocations()
  extendRevocations(log, entriesAt(times))
  return log
}

test('a log read in pages ends at the head that commits to all of it', async () => {
  const entries = entriesAt([1, 1, 2, 5, 5])
  const log = emptyRevocations()
  await followRevocations(log, async (after) => ({
    data: entries.slice(after, after + 2),
    has_more: after + 2 < entries.length,
  }))
  assert.deepEqual(log.entries, entries)
  assert.equal(headOf(log), entries.at(-1)!.head)
  assert.deepEqual([headOf(log, 0), headOf(log, 2)], [ZERO_HASH, entries[1]!.head])
})

test('whatever is changed, left out, moved or added later breaks the log', () => {
  const entries = entriesAt([1, 2, 3])
  const [first, second, third] = entries as [Revocation, Revocation, Revocation]
  const changes: Revocation[][] = [
    [first, { ...second, record: key(9).record }, third],
    [first, { ...second, contributor: key(9).contributor }],
    [first, { ...second, reason: 'penalized' }],
    [first, { ...second, time: 3 }],
    [first, { ...second, contribution: 'ctr_other' }],
    [first, third],
    [second],
    [first, { ...second, seq: 3 }],
  ]
  for (const changed of changes)
    assert.throws(() => extendRevocations(emptyRevocations(), changed), /does not go on/)
  const past = { ...third, seq: 4, ...key(4), time: 2 }
  const log = logAt(1, 2, 3)
  assert.throws(
    () => extendRevocations(log, [{ ...past, head: revocationHead(headOf(log), past) }]),
    /does not go on/,
  )
})

test('a withdrawal is signed for these records in this order, on this registry of this chain', async () => {
  const account = privateKeyToAccount(keccak('contributor'))
  const domain = { chainId: 1, datanetRegistry: key(7).contributor }
  const records = [key(1).record, key(2).record]
  const signature = await account.signTypedData(withdrawalTypedData(records, domain))
  const signer = account.address.toLowerCase()
  assert.equal(await withdrawalSigner(records, signature, domain), signer)
  for (const [others, where] of [
    [records.toReversed(), domain],
    [records.slice(1), domain],
    [records, { ...domain, chainId: 2 }],
    [records, { ...domain, datanetRegistry: key(8).contributor }],
  ] as const)
    assert.notEqual(await withdrawalSigner(others, signature, where), signer)
  assert.equal(await withdrawalSigner(records, `0x${'00'.repeat(65)}`, domain), null)
})

test('pages that break off leave the log as it was', async () => {
  const entries = entriesAt([1, 1, 1])
  const log = emptyRevocations()
  const read = async (after: number) => {
    if (after > 0) throw new Error('gone')
    return { data: entries.slice(0, 1), has_more: true }
  }
  await assert.rejects(followRevocations(log, read), /gone/)
  assert.deepEqual(log.entries, [])
})

test('a part of the log revokes the pairs of record and contributor in it', () => {
  const log = logAt(10, 20, 20, 30)
  assert.deepEqual(
    [9, 10, 19, 20, 31].map((time) => countAt(log, time)),
    [0, 1, 1, 3, 4],
  )
  const rows = [0, 1, 2, 3, 4].map(key)
  assert.deepEqual([...revokedRows(log, rows, 3)], [0, 1, 2])
  const stranger = { ...key(0), contributor: key(1).contributor }
  assert.equal(revocationOf(log, stranger, 4), undefined)
  assert.equal(revocationOf(log, key(3), 3), undefined)
  assert.equal(revocationOf(log, key(3), 4)?.seq, 4)
})

test('a receipt heeds what is older than clocks may differ by, and any end of a withdrawal after that', () => {
  const log = logAt(1_000, 2_000, 2_100, 2_100, 2_200, 9_000)
  assert.deepEqual(heededAt(log, 2_000n), { least: 1, most: 5 })
  const rows = [0, 1, 2, 3, 4].map(key)
  assert.deepEqual(heededParts(log, rows, 2_000n), [1, 2, 4, 5])
  assert.deepEqual(heededParts(log, [key(3)], 2_000n), [1, 4])
  assert.deepEqual(heededParts(log, [key(99)], 2_000n), [1])
})
