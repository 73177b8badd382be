import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import { followDemands, type DemandsOptions } from './demands.ts'
import { openWatchState } from './watch-state.ts'

test('a demand that cannot be followed is said, stays open, and keeps no other from being followed', async () => {
  const account: Hex = `0x${'ab'.repeat(20)}`
  const ids = ['first', 'second'].map(keccak).toSorted()
  const state = openWatchState(':memory:')
  for (const id of ids) state.addDemand(id)
  const resolved: Hex[] = []
  const trouble: string[] = []
  const outcomes = await followDemands(
    {
      state,
      actor: {
        account,
        contracts: {},
        chain: {
          getBlock: async () => ({ number: 2n, timestamp: 100n }),
          getContractEvents: async () => [],
          readContract: async ({ args: [id] }: { args: [Hex] }) => {
            if (id === ids[0]) throw new Error('no such row')
            return { challenger: account, epoch: 3n, deadline: 50 }
          },
        },
        refusal: async () => null,
        act: async (_key: string, epoch: number, { args: [id] }: { args: [Hex] }) => {
          resolved.push(id)
          return { epoch }
        },
      },
      onTrouble: (error: unknown) => trouble.push(messageOf(error)),
    } as unknown as DemandsOptions,
    0n,
  )
  assert.deepEqual(resolved, [ids[1]])
  assert.deepEqual(
    outcomes.map(({ epoch }) => epoch),
    [3],
  )
  assert.deepEqual(trouble, [`demand ${ids[0]}: no such row`])
  assert.deepEqual(state.demands(), ids)
  state.close()
})
