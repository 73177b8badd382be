import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { after } from 'node:test'
import { sha256Hex } from '#protocol/bytes.ts'
import { CorruptBlobError, edgeBlobs, EdgeError, pause, sha256Of } from './blobs.ts'

/** `cut`: the connection breaks after so many characters of the body. */
type Reply = { status: number; body?: string; cut?: number }
let replies: Reply[] = []
const asked: string[] = []
const server = createServer((request, response) => {
  asked.push(`${request.method} ${request.url} ${request.headers.authorization}`)
  const { status, body = '', cut }: Reply = replies.shift() ?? { status: 500 }
  response.writeHead(status, { 'content-length': body.length })
  if (cut === undefined) response.end(body)
  else response.write(body.slice(0, cut), () => response.destroy())
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
after(() => server.close())
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const blobs = edgeBlobs(url, 'token')
const text = 'some bytes'
const bytes = new TextEncoder().encode(text)
const name = sha256Hex(bytes)

test('a blob is asked for by its hash, and again while the edge is away', async () => {
  replies = [{ status: 503 }, { status: 429 }, { status: 200, body: text }]
  assert.deepEqual(await blobs.get(name), bytes)
  assert.equal(asked.length, 3)
  assert.equal(asked[0], `GET /v1/blobs/${name} Bearer token`)
})

test('bytes that are not those of the hash are refused after a second try', async () => {
  replies = [
    { status: 200, body: 'damaged' },
    { status: 200, body: text },
  ]
  assert.deepEqual(await blobs.get(name), bytes)
  replies = [
    { status: 200, body: 'damaged' },
    { status: 200, body: 'damaged' },
  ]
  await assert.rejects(blobs.get(name), CorruptBlobError)
})

test('a download that breaks off is an edge that is away: it is asked for again', async () => {
  replies = [
    { status: 200, body: text, cut: 4 },
    { status: 200, body: text },
  ]
  assert.deepEqual(await blobs.get(name), bytes)
  assert.equal(replies.length, 0)
  replies = Array.from({ length: 20 }, () => ({ status: 200, body: text, cut: 4 }))
  const tired = AbortSignal.timeout(600)
  await assert.rejects(blobs.get(name, tired), { name: 'TimeoutError' })
})

test('a refusal is final and says what the edge said', async () => {
  replies = [{ status: 404, body: '{"title":"There is no such blob"}' }]
  await assert.rejects(
    blobs.get(name),
    (error: EdgeError) => error.status === 404 && /no such blob/.test(error.message),
  )
  assert.equal(replies.length, 0)
})

test('storing answers the reference, and an edge that does not exist is transient', async () => {
  replies = [{ status: 200, body: '{}' }]
  assert.deepEqual(await blobs.put(bytes), { sha256: name, bytes: bytes.length })
  assert.equal(sha256Of(bytes), name)
  const nowhere = edgeBlobs('http://127.0.0.1:9', 'token')
  const stop = AbortSignal.timeout(400)
  await assert.rejects(nowhere.get(name, stop), { name: 'TimeoutError' })
  assert.ok(new EdgeError(0, '').isTransient && !new EdgeError(404, '').isTransient)
})

test('a pause ends early when its signal aborts', async () => {
  const stop = new AbortController()
  const paused = pause(60_000, stop.signal)
  stop.abort(new Error('enough'))
  await assert.rejects(paused, /enough/)
})
