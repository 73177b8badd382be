import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { sha256Hex } from '#protocol/bytes.ts'
import { startEdge, type Edge } from '../testing/harness.ts'
import { signIn } from '../testing/wallet.ts'

let edge: Edge
before(async () => (edge = await startEdge()))
after(() => edge.harness.close())

const worker = { authorization: 'Bearer a-token-for-the-workers-of-tests' }
const put = (hash: string, body: Uint8Array | string, headers: Record<string, string> = worker) =>
  edge.fetch(`/v1/blobs/${hash}`, { method: 'PUT', headers, body: body as never })

test('a blob comes back as it went in, with and without 0x, and may be put twice', async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(60_000))
  const hash = sha256Hex(bytes)
  for (const name of [hash, hash.slice(2), hash]) {
    const response = await put(name, bytes)
    assert.equal(response.status, 200)
    assert.deepEqual(await response.json(), { sha256: hash, bytes: 60_000 })
  }
  const read = await edge.fetch(`/v1/blobs/${hash.slice(2)}`, { headers: worker })
  assert.equal(read.headers.get('content-length'), '60000')
  assert.deepEqual(new Uint8Array(await read.arrayBuffer()), bytes)
})

test('an empty blob is a blob', async () => {
  assert.equal((await put(sha256Hex(''), '')).status, 200)
})

test('bytes that are there already are taken as often as they come, many at once', async () => {
  const bytes = new Uint8Array(200)
  for (let round = 0; round < 50; round++) {
    const responses = await Promise.all(
      Array.from({ length: 8 }, () => put(sha256Hex(bytes), bytes)),
    )
    assert.deepEqual(new Set(responses.map(({ status }) => status)), new Set([200]))
  }
})

test('bytes under a wrong hash are refused and not stored', async () => {
  const hash = sha256Hex('something else')
  const response = await put(hash, 'something')
  assert.equal(response.status, 422)
  const body = (await response.json()) as { type: string }
  assert.equal(body.type, 'urn:openledger:problem:blob/hash-mismatch')
  assert.equal((await edge.fetch(`/v1/blobs/${hash}`, { headers: worker })).status, 404)
})

test('only workers touch blobs', async () => {
  const { headers } = await signIn(edge)
  const hash = sha256Hex('x')
  assert.equal((await put(hash, 'x', headers)).status, 401)
  assert.equal((await put(hash, 'x', {})).status, 401)
  assert.equal((await edge.fetch(`/v1/blobs/${hash}`, { headers })).status, 401)
})

test('a malformed hash is refused', async () => {
  assert.equal((await put('0x12', 'x')).status, 400)
})
