import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak } from '#protocol/bytes.ts'
import { watch, type WatchOptions } from './watch.ts'
import { openWatchState } from './watch-state.ts'

test('an epoch with a finding is looked at again, those after it are not', async () => {
  const submissions = [1, 2].map((epoch) => ({
    epoch,
    dataHash: keccak(`epoch ${epoch}`),
    commitment: '0x01' as const,
    block: BigInt(epoch),
  }))
  const looked: number[] = []
  const reported: number[] = []
  const state = openWatchState(':memory:')
  const options = {
    facts: {
      submissions: async () => ({ submissions, final: 2n }),
      statusOf: async () => 'pending',
    },
    files: { payouts: async () => ({ payouts: [] }) },
    validator: {
      epoch: async ({ epoch }: { epoch: number }) => {
        looked.push(epoch)
        const requests = [`${epoch}/1`, `${epoch}/2`].map((requestId) => ({
          receipt: { requestId },
        }))
        return {
          report: { epoch, findings: epoch === 1 ? [{}] : [] },
          file: { receipts: requests },
        }
      },
    },
    state,
    onReport: ({ epoch }: { epoch: number }) => reported.push(epoch),
    onTrouble: () => {},
    signal: new AbortController().signal,
    once: true,
    everyMs: 0,
  } as unknown as WatchOptions
  await watch(options)
  await watch(options)
  assert.deepEqual(looked, [1, 2, 1])
  assert.deepEqual(reported, [1, 2])
  state.close()
})
