import assert from 'node:assert/strict'
import test from 'node:test'
import type { PublicClient } from 'viem'
import { keccak } from '#protocol/bytes.ts'
import { stalledEdge } from '../test/support/stalled-edge.ts'
import { openChecking, type Checked } from './checking.ts'

test(
  'an edge that never ends the texts of a receipt has not given them',
  { timeout: 10_000 },
  async (t) => {
    const { url, anHourAfter } = await stalledEdge(t)
    const { validator } = openChecking({
      chain: {} as PublicClient,
      chainId: 1,
      contracts: {} as Checked['contracts'],
      daUrl: url,
      edgeUrl: url,
      apiKey: 'key',
    })
    assert.equal(await anHourAfter(() => validator.texts(keccak('request'))), null)
  },
)
