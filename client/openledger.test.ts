import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { createClient } from './openledger.ts'

const chunk = {
  id: 'chatcmpl-1',
  model: 'openledger-5m',
  choices: [{ delta: { content: 'Some' }, finish_reason: null }],
}
const failure = { error: { message: 'The worker broke off.', type: 'server_error', code: 'x' } }

test('a stream that fails after its first words gives them, then says why it ended', async () => {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end([chunk, failure].map((data) => `data: ${JSON.stringify(data)}\n\n`).join(''))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  try {
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const stream = createClient({ baseUrl }).chatStream({ model: 'openledger-5m', messages: [] })
    assert.deepEqual(await stream.next(), { value: 'Some', done: false })
    await assert.rejects(stream.next(), /^Error: the answer broke off: The worker broke off\.$/)
  } finally {
    server.close()
  }
})
