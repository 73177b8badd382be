import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { z } from 'zod'
import { ApiError, createHttp } from './http.ts'

type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | 'drop'

/** A server that gives one answer after another; returns what it was sent. */
async function withServer(
  answers: Answer[],
  work: (baseUrl: string, seen: IncomingMessage[]) => Promise<void>,
) {
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    const answer = answers[Math.min(seen.length, answers.length - 1)] ?? 'drop'
    seen.push(request)
    if (answer === 'drop') return void request.socket.destroy()
    response.writeHead(answer.status, answer.headers).end(JSON.stringify(answer.body ?? {}))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const problem = (status: number, type: string, more = {}) => ({
  type: `urn:openledger:problem:${type}`,
  title: 'A title',
  status,
  instance: '/v1/x',
  requestId: 'req_1',
  error: { message: 'A title', type: 'invalid_request_error', code: 'x', param: null },
  ...more,
})
const ok = z.object({ done: z.boolean() })

test('a POST is sent again over lost connections, 503 and 429, always with the same Idempotency-Key', () =>
  withServer(
    [
      'drop',
      { status: 503 },
      { status: 429, headers: { 'retry-after': '1' } },
      { status: 200, body: { done: true } },
    ],
    async (baseUrl, seen) => {
      const http = createHttp({ baseUrl, apiKey: 'ol_live_key' })
      assert.deepEqual(await http.json('POST', '/v1/x', ok, { json: { a: 1 } }), { done: true })
      assert.equal(seen.length, 4)
      const keys = new Set(seen.map(({ headers }) => headers['idempotency-key']))
      assert.equal(keys.size, 1)
      assert.match([...keys][0] as string, /^[0-9a-f-]{36}$/)
      assert.ok(seen.every(({ headers }) => headers.authorization === 'Bearer ol_live_key'))
    },
  ))

test('an attempt that is still in flight under the key is waited for', () =>
  withServer(
    [
      { status: 409, body: problem(409, 'idempotency/in-flight') },
      { status: 200, body: { done: true } },
    ],
    async (baseUrl) => {
      assert.deepEqual(await createHttp({ baseUrl }).json('POST', '/v1/x', ok), { done: true })
    },
  ))

test('a refusal is not tried again, and its message names every row once', () =>
  withServer(
    [
      {
        status: 400,
        body: problem(400, 'contribution/malformed', {
          detail: 'Row 3: not JSON. And 2 more rows.',
          errors: [
            { row: 3, field: 'MALFORMED_ROW', detail: 'Row 3: not JSON.' },
            { row: 4, field: 'MALFORMED_ROW', detail: 'Row 4: not JSON.' },
            { row: 5, detail: 'empty' },
          ],
        }),
      },
    ],
    async (baseUrl, seen) => {
      await assert.rejects(createHttp({ baseUrl }).send('POST', '/v1/x'), (error: unknown) => {
        assert.ok(error instanceof ApiError)
        assert.ok(error.is('contribution/malformed'))
        assert.equal(error.status, 400)
        assert.equal(
          error.message,
          '400 A title: Row 3: not JSON. And 2 more rows.\n  Row 4: not JSON.\n  row 5: empty',
        )
        return true
      })
      assert.equal(seen.length, 1)
    },
  ))

test('what no retry helps is given up when the time is over', () =>
  withServer(['drop'], async (baseUrl, seen) => {
    await assert.rejects(createHttp({ baseUrl, retryForMs: 300 }).send('GET', '/v1/x'), TypeError)
    assert.ok(seen.length >= 2)
  }))

test('an answer that is no problem+json is quoted', () =>
  withServer([{ status: 502, body: 'gateway' }], async (baseUrl) => {
    await assert.rejects(createHttp({ baseUrl }).send('GET', '/v1/x'), /^ApiError: 502 "gateway"$/)
  }))
