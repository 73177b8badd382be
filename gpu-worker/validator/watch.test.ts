import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak, ZERO_ADDRESS, type Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import type { History } from './check-epoch.ts'
import { watch, type WatchOptions } from './watch.ts'
import { openWatchState } from './watch-state.ts'

const PAYEE: Hex = `0x${'ab'.repeat(20)}`

/** A round over epochs 1, 2, … that are as a test says. What they paid is what their number says. */
function watching(count: number) {
  const contents = new Map<number, string>()
  for (let epoch = 1; epoch <= count; epoch++) contents.set(epoch, `epoch ${epoch}`)
  const findings = new Map<number, number>()
  /** Epochs whose check throws, or whose challenge does. */
  const throwing = new Set<number>()
  const throwingChallenges = new Set<number>()
  const looked: number[] = []
  const histories = new Map<number, History>()
  const reported: number[] = []
  const approved: number[] = []
  const challenged: number[] = []
  const trouble: string[] = []
  const state = openWatchState(':memory:')
  const submissionOf = (epoch: number) => ({
    epoch,
    dataHash: keccak(contents.get(epoch)!),
    commitment: '0x01' as const,
    block: BigInt(epoch),
  })
  const actor = {
    account: ZERO_ADDRESS,
    isDry: true,
    contracts: {},
    chain: {
      getBlock: async () => ({ number: BigInt(count) }),
      getContractEvents: async () => [],
      readContract: async () => 0n, // nothing is owed
    },
    refusal: async () => null,
    act: async (_key: string, epoch: number) => {
      approved.push(epoch)
      return {}
    },
  }
  const options = {
    facts: {
      submissions: async (from: bigint) => ({
        submissions: [...contents.keys()].map(submissionOf).filter(({ block }) => block >= from),
        final: BigInt(count),
      }),
      statusOf: async () => 'pending',
      draws: async () => [],
    },
    files: {
      payouts: async ({ dataHash }: { dataHash: Hex }) => {
        const amount = BigInt(Number.parseInt(dataHash.slice(2, 10), 16))
        return { payouts: [{ account: PAYEE, amount }] }
      },
    },
    validator: {
      epoch: async ({ epoch }: { epoch: number }, history: History) => {
        looked.push(epoch)
        histories.set(epoch, history)
        if (throwing.has(epoch)) throw new Error('no such number')
        const requests = [`${epoch}/1`, `${epoch}/2`]
        return {
          report: { epoch, findings: Array.from({ length: findings.get(epoch) ?? 0 }, () => ({})) },
          file: { receipts: requests.map((requestId) => ({ receipt: { requestId } })) },
        }
      },
    },
    state,
    acting: {
      actor,
      challenger: async ({ submission: { epoch } }: { submission: { epoch: number } }) => {
        if (throwingChallenges.has(epoch)) throw new Error('too large')
        challenged.push(epoch)
      },
    },
    onReport: ({ epoch }: { epoch: number }) => reported.push(epoch),
    onTrouble: (error: unknown) => trouble.push(messageOf(error)),
    signal: new AbortController().signal,
    once: true,
    everyMs: 0,
  } as unknown as WatchOptions
  /** What one round did. */
  const round = async () => {
    const all = { looked, reported, approved, challenged, trouble }
    for (const list of Object.values(all)) list.length = 0
    const faulty = await watch(options)
    return { faulty, ...structuredClone(all) }
  }
  const paidBy = (epoch: number) =>
    new Map([[PAYEE, BigInt(Number.parseInt(keccak(contents.get(epoch)!).slice(2, 10), 16))]])
  return {
    round,
    contents,
    findings,
    throwing,
    throwingChallenges,
    paidBy,
    historyOf: (epoch: number) => histories.get(epoch)!,
    close: () => state.close(),
  }
}

test('an epoch with a finding is looked at again, those after it are not', async () => {
  const it = watching(2)
  it.findings.set(1, 1)
  const first = await it.round()
  const second = await it.round()
  assert.deepEqual(first.looked, [1, 2])
  assert.deepEqual(second.looked, [1])
  assert.deepEqual([first.reported, second.reported], [[1, 2], []])
  it.close()
})

test('an epoch whose check fails is said and tried again, and those after it are checked and challenged', async () => {
  const it = watching(4)
  it.throwing.add(2)
  it.findings.set(4, 1)
  assert.deepEqual(await it.round(), {
    faulty: 2,
    looked: [1, 2, 3, 4],
    reported: [1, 3, 4],
    approved: [1],
    challenged: [4],
    trouble: ['epoch 2: no such number'],
  })
  const again = await it.round()
  assert.deepEqual([again.looked, again.trouble], [[2, 4], ['epoch 2: no such number']])
  it.close()
})

test('an epoch after one that could not be checked is compared with nothing of it, and approved only once it was', async () => {
  const it = watching(4)
  it.throwing.add(2)
  assert.deepEqual((await it.round()).approved, [1])
  assert.equal(it.historyOf(3).before, null)
  assert.deepEqual(it.historyOf(4).before, it.paidBy(3))

  it.throwing.clear()
  const later = await it.round()
  assert.deepEqual(
    [later.looked, later.approved],
    [
      [2, 3, 4],
      [2, 3, 4],
    ],
  )
  assert.deepEqual(it.historyOf(3).before, it.paidBy(2))
  assert.equal(it.historyOf(3).settledIn('2/1' as Hex), 2)
  it.close()
})

test('nothing of an epoch that was disabled is held against those after the one in its place, which cannot be checked', async () => {
  const it = watching(3)
  it.findings.set(2, 1)
  await it.round()
  // What it settled is settled by the third now, which builds on the one that came in its place.
  it.contents.set(2, 'epoch 2 again').set(3, 'epoch 3 again')
  it.throwing.add(2)
  const { looked, trouble } = await it.round()
  assert.deepEqual([looked, trouble], [[2, 3], ['epoch 2: no such number']])
  assert.equal(it.historyOf(3).before, null)
  assert.equal(it.historyOf(3).settledIn('2/1' as Hex), undefined)
  it.close()
})

test('a challenge that fails is tried again, and keeps nothing from those after it', async () => {
  const it = watching(2)
  it.findings.set(1, 1)
  it.throwingChallenges.add(1)
  const first = await it.round()
  assert.deepEqual(
    [first.reported, first.approved, first.trouble],
    [[1, 2], [2], ['epoch 1: too large']],
  )
  assert.deepEqual(it.historyOf(2).before, it.paidBy(1))
  it.throwingChallenges.clear()
  const second = await it.round()
  assert.deepEqual([second.looked, second.reported, second.challenged], [[1], [], [1]])
  it.close()
})
