import assert from 'node:assert/strict'
import test from 'node:test'
import type { PublicClient } from 'viem'
import { keccak } from '#protocol/bytes.ts'
import { openChainFacts, type ChainAddresses } from './chain-facts.ts'

test('a block whose time a node once did not tell is asked for again', async () => {
  let isAway = true
  const chain = {
    getBlock: async ({ blockNumber }: { blockNumber?: bigint }) => {
      if (blockNumber !== undefined && isAway) throw new Error('the node is away')
      return { number: 10n, timestamp: 1_000n }
    },
    getContractEvents: async () => [
      {
        blockNumber: 5n,
        args: { contributor: `0x${'01'.repeat(20)}`, records: [keccak('record')] },
      },
    ],
  }
  const facts = openChainFacts(chain as unknown as PublicClient, {} as ChainAddresses)
  await assert.rejects(facts.revoked(), /away/)
  isAway = false
  assert.deepEqual([...(await facts.revoked()).values()], [1_000n])
})
