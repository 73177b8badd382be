import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak } from '#protocol/bytes.ts'
import { stalledEdge } from '../../test/support/stalled-edge.ts'
import { openPublishedFiles } from './published-files.ts'

test(
  'an edge that never ends an answer keeps no validator waiting for ever',
  { timeout: 10_000 },
  async (t) => {
    const { url, anHourAfter } = await stalledEdge(t)
    const files = openPublishedFiles({ daUrl: url, edgeUrl: url })
    for (const read of [
      () => files.adapterFile(keccak('adapter'), keccak('file')),
      () => files.versionRows('dn_1', 1),
    ])
      await assert.rejects(anHourAfter<unknown>(read), /aborted/)
  },
)
