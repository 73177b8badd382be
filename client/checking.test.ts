import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import type { PublicClient } from 'viem'
import { keccak } from '#protocol/bytes.ts'
import { openChecking, type Checked } from './checking.ts'

const HOUR_MS = 60 * 60_000

test(
  'an edge that never ends the texts of a receipt has not given them',
  { timeout: 10_000 },
  async (t) => {
    t.mock.timers.enable({ apis: ['AbortSignal.timeout' as 'setTimeout'] }) // missing in the types
    const edge = createServer((_, response) => response.writeHead(200).write('{'))
    t.after(() => edge.close().closeAllConnections())
    await once(edge.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(edge.address() as AddressInfo).port}`
    const { validator } = openChecking({
      chain: {} as PublicClient,
      chainId: 1,
      contracts: {} as Checked['contracts'],
      daUrl: url,
      edgeUrl: url,
      apiKey: 'key',
    })
    const asked = once(edge, 'request')
    const texts = validator.texts(keccak('request'))
    await asked
    t.mock.timers.tick(HOUR_MS)
    assert.equal(await texts, null)
  },
)
