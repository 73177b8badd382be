import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak, ZERO_ADDRESS } from '#protocol/bytes.ts'
import type { Action, Actor, Outcome } from './actor.ts'
import { openChallenger } from './challenger.ts'
import type { Faulty } from './prove.ts'

const NOW = 10_000n

test('a demand that cannot be paid for keeps no vote from being given, and is said', async () => {
  const actor = {
    account: ZERO_ADDRESS,
    isDry: false,
    contracts: {},
    chain: {
      getBlock: async ({ blockNumber = NOW } = {}) => ({ timestamp: blockNumber }),
      readContract: async () => 10n ** 18n,
    },
    refusal: async ({ value = 0n }: Action) => {
      if (value > 0n) throw new Error('insufficient funds')
      return null
    },
    act: async (_key: string, epoch: number, { functionName }: Action) => ({
      epoch,
      action: functionName,
    }),
  } as unknown as Actor
  const root = keccak('root')
  const faulty = {
    submission: {
      epoch: 3,
      dataHash: root,
      receiptsRoot: root,
      creditsRoot: root,
      payoutsRoot: root,
      receipts: 1,
      credits: 1,
      payouts: 1,
      block: 1n,
    },
    file: null,
    findings: [{ name: 'file', receipt: null, requestId: null }],
  } as unknown as Faulty
  const told: Outcome[] = []
  await assert.rejects(
    openChallenger(actor, ZERO_ADDRESS)(faulty, (outcome) => told.push(outcome)),
    /a demand: insufficient funds/,
  )
  assert.deepEqual(
    told.map(({ epoch, action, detail }) => [epoch, action, detail]),
    [[3, 'reject', 'voted against it: file']],
  )
})
