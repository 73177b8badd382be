import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { startEdge, type Edge } from '../testing/harness.ts'
import { signIn } from '../testing/wallet.ts'

const LIMIT = 12
let edge: Edge
before(async () => (edge = await startEdge({ QUOTA_PER_MINUTE: String(LIMIT) })))
after(() => edge.harness.close())

const createDatanet = (headers: Record<string, string>, name = 'Clauses') =>
  edge.fetch('/v1/datanets', {
    method: 'POST',
    headers,
    body: JSON.stringify({ name, description: 'd', licence: 'CC0-1.0', domain: 'legal' }),
  })

test('the same key repeats the first answer, and the work is done once', async () => {
  const { headers } = await signIn(edge)
  const keyed = { ...headers, 'idempotency-key': '"first"' }
  const first = await createDatanet(keyed)
  assert.equal(first.status, 202)
  const second = await createDatanet(keyed)
  assert.equal(second.status, 202)
  assert.equal(second.headers.get('idempotency-replayed'), 'true')
  assert.deepEqual(await second.json(), await first.json())
})

test('the same key with another body is refused', async () => {
  const { headers } = await signIn(edge)
  const keyed = { ...headers, 'idempotency-key': 'k' }
  assert.equal((await createDatanet(keyed)).status, 202)
  assert.equal((await createDatanet(keyed, 'Other')).status, 422)
})

test('of two requests at once with one key one works, and the other waits or repeats it', async () => {
  const { headers } = await signIn(edge)
  const keyed = { ...headers, 'idempotency-key': 'twins' }
  const answers = await Promise.all([createDatanet(keyed), createDatanet(keyed)])
  const statuses = answers.map((answer) => answer.status).toSorted()
  assert.equal(statuses[0], 202)
  assert.ok(statuses[1] === 409 || answers.some((a) => a.headers.has('idempotency-replayed')))
})

test('keys of different accounts do not meet', async () => {
  const [a, b] = [await signIn(edge), await signIn(edge)]
  const first = await createDatanet({ ...a.headers, 'idempotency-key': 'same' })
  const second = await createDatanet({ ...b.headers, 'idempotency-key': 'same' })
  assert.notDeepEqual(await first.json(), await second.json())
})

test('a refusal is repeated too', async () => {
  const { headers } = await signIn(edge)
  const send = () =>
    edge.fetch('/v1/datanets', {
      method: 'POST',
      headers: { ...headers, 'idempotency-key': 'bad' },
      body: '{}',
    })
  assert.equal((await send()).status, 400)
  const second = await send()
  assert.equal(second.status, 400)
  assert.equal(second.headers.get('content-type'), 'application/problem+json')
  assert.equal(second.headers.get('idempotency-replayed'), 'true')
})

test('the quota counts exactly, says so in headers, and ends in 429 with Retry-After', async () => {
  const { headers } = await signIn(edge)
  for (let i = 1; i <= LIMIT; i++) {
    const response = await edge.fetch('/v1/api_keys', { headers })
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('ratelimit-policy'), `"default";q=${LIMIT};w=60`)
    assert.match(
      response.headers.get('ratelimit') ?? '',
      new RegExp(`^"default";r=${LIMIT - i};t=`),
    )
  }
  const over = await edge.fetch('/v1/api_keys', { headers })
  assert.equal(over.status, 429)
  assert.ok(Number(over.headers.get('retry-after')) > 0)
  assert.equal(((await over.json()) as { error: { type: string } }).error.type, 'rate_limit_error')
})
