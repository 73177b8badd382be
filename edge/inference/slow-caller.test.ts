import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { afterEach, beforeEach, mock } from 'node:test'
import type { GenerateRequest } from '#protocol/generation.ts'
import type { Worker } from '../jobs/workers.ts'
import { sendTo } from './caller.ts'
import { callWorker } from './worker-stream.ts'

const MINUTE = 60_000
const token = (text: string) => ({ type: 'token', text })
const line = (text: string) => `${JSON.stringify(token(text))}\n`
beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
afterEach(() => mock.timers.reset())

test('a worker is not silent while nobody takes what it has said', async () => {
  const server = createServer((_request, response) => {
    response.write(line('a') + line('b'))
    response.end(line('c'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const worker = { id: 'a', url: `http://127.0.0.1:${port}` } as Worker
    const { signal } = new AbortController()
    const { first, events } = await callWorker([worker], 'token', {} as GenerateRequest, signal)
    assert.deepEqual(first, token('a'))
    for (const text of ['b', 'c']) {
      mock.timers.tick(10 * MINUTE)
      assert.deepEqual((await events.next()).value, token(text))
    }
    assert.equal((await events.next()).done, true)
  } finally {
    server.close()
  }
})

test('a caller who stops reading has gone', async () => {
  const { readable, writable } = new TransformStream<Uint8Array>()
  const gone = new AbortController()
  const send = sendTo(writable.getWriter(), gone)
  const reader = readable.getReader()
  const taken = reader.read()
  await send(Uint8Array.of(1))
  assert.deepEqual((await taken).value, Uint8Array.of(1))
  mock.timers.tick(10 * MINUTE)
  assert.ok(!gone.signal.aborted, 'nothing was sent')

  const stalled = send(Uint8Array.of(2))
  mock.timers.tick(MINUTE)
  await stalled
  assert.ok(gone.signal.aborted)
  await send(Uint8Array.of(3))
})
