import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { keccak } from '#protocol/bytes.ts'
import { openPublishedFiles } from './published-files.ts'

const HOUR_MS = 60 * 60_000

test(
  'an edge that never ends an answer keeps no validator waiting for ever',
  { timeout: 10_000 },
  async (t) => {
    t.mock.timers.enable({ apis: ['AbortSignal.timeout' as 'setTimeout'] }) // missing in the types
    const edge = createServer((_, response) => response.writeHead(200).write('{'))
    t.after(() => edge.close().closeAllConnections())
    await once(edge.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(edge.address() as AddressInfo).port}`
    const files = openPublishedFiles({ daUrl: url, edgeUrl: url })
    for (const read of [
      () => files.adapterFile(keccak('adapter'), keccak('file')),
      () => files.versionRows('dn_1', 1),
    ]) {
      const asked = once(edge, 'request')
      const reading = read()
      await asked
      t.mock.timers.tick(HOUR_MS)
      await assert.rejects(reading, /aborted/)
    }
  },
)
