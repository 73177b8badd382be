import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import test, { after } from 'node:test'
import { keccak, ZERO_ADDRESS } from '#protocol/bytes.ts'
import { createHttpServer, type HttpOptions } from './http-server.ts'
import { createMetrics } from './metrics.ts'
import type { ErrorEvent, Inference } from './serving/inference.ts'

const token = 'a token of some length'
let refusal: ErrorEvent
const inference = {
  generate: async (_, onEvent) => onEvent(refusal),
} satisfies Pick<Inference, 'generate'> as unknown as Inference
const server = createHttpServer({
  token,
  inference,
  metrics: createMetrics(() => null as never),
} as HttpOptions)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
after(() => server.close())
const { port } = server.address() as AddressInfo

const generate = () =>
  fetch(`http://127.0.0.1:${port}/generate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({
      requestId: keccak('request'),
      payer: ZERO_ADDRESS,
      base: keccak('base'),
      input: { prompt: 'Hi' },
      maxTokens: 1,
    }),
  })

test('a full queue is told by status and Retry-After, other failures in the stream', async () => {
  const message = 'too many requests are waiting'
  refusal = { type: 'error', code: 'request/quota', message, retryAfter: 7 }
  const quota = await generate()
  assert.deepEqual([quota.status, quota.headers.get('retry-after')], [429, '7'])
  assert.equal(((await quota.json()) as { title: string }).title, message)

  refusal = { ...refusal, code: 'model/unavailable', retryAfter: 3 }
  const full = await generate()
  assert.deepEqual([full.status, full.headers.get('retry-after')], [503, '3'])

  refusal = { type: 'error', code: 'model/revoked', message: 'it was' }
  const failed = await generate()
  assert.equal(failed.status, 200)
  assert.deepEqual(await failed.json(), refusal)
})
