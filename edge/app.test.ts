import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { startEdge, type Edge } from './testing/harness.ts'
import { signIn } from './testing/wallet.ts'

let edge: Edge
before(async () => (edge = await startEdge()))
after(() => edge.harness.close())

test('health answers without a key and carries a request id', async () => {
  const response = await edge.fetch('/health')
  assert.equal(response.status, 200)
  assert.match(response.headers.get('x-request-id') ?? '', /^req_/)
})

test('an unknown route is a problem that an OpenAI client understands too', async () => {
  const response = await edge.fetch('/v1/nothing')
  assert.equal(response.status, 404)
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  const body = (await response.json()) as Record<string, unknown>
  assert.equal(body['type'], 'urn:openledger:problem:request/not-found')
  assert.deepEqual(body['error'], {
    message: 'There is no GET /v1/nothing; /openapi.json says what there is.',
    type: 'invalid_request_error',
    code: 'unknown_url',
    param: null,
  })
})

test('a page from elsewhere may call with a key, and reads what was refused', async () => {
  const asked = await edge.fetch('/v1/chat/completions', {
    method: 'OPTIONS',
    headers: {
      origin: 'https://elsewhere.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,idempotency-key',
    },
  })
  assert.equal(asked.status, 204)
  assert.equal(asked.headers.get('access-control-allow-origin'), '*')
  assert.match(asked.headers.get('access-control-allow-headers') ?? '', /authorization/)
  assert.match(asked.headers.get('access-control-allow-methods') ?? '', /POST/)
  const refused = await edge.fetch('/v1/account', {
    headers: { origin: 'https://elsewhere.example' },
  })
  assert.equal(refused.status, 401)
  assert.equal(refused.headers.get('access-control-allow-origin'), '*')
  assert.match(refused.headers.get('access-control-expose-headers') ?? '', /x-request-id/)
  assert.equal(refused.headers.get('access-control-allow-credentials'), null)
})

test('a malformed, an unknown and a scheme-less token are refused', async () => {
  for (const authorization of [
    'Bearer nonsense',
    `Bearer ol_live_${'a'.repeat(32)}`,
    'Basic abc',
  ]) {
    const response = await edge.fetch('/health', { headers: { authorization } })
    assert.equal(response.status, 401, authorization)
    const body = (await response.json()) as { error: { type: string } }
    assert.equal(body.error.type, 'authentication_error')
  }
})

test('a JSON body has to say that it is one, and names what is missing and what nobody knows', async () => {
  const { headers } = await signIn(edge)
  const send = async (type: string, body: object) => {
    const response = await edge.fetch('/v1/api_keys', {
      method: 'POST',
      headers: { ...headers, 'content-type': type },
      body: JSON.stringify(body),
    })
    const { detail, errors } = (await response.json()) as { detail: string; errors: unknown }
    return { status: response.status, detail, errors }
  }
  const { status, detail } = await send('application/x-www-form-urlencoded', { name: 'mine' })
  assert.equal(status, 415)
  assert.match(detail, /Content-Type: application\/json/)
  // Ignored, it would have made a key that never expires.
  assert.deepEqual((await send('application/json', { expires_in_day: 1 })).errors, [
    { field: 'name', detail: 'is missing' },
    { field: 'expires_in_day', detail: 'There is no such parameter.' },
  ])
})

test('a setting at fault is named', async () => {
  const broken = await startEdge({ OPERATOR_KEY: '0x12', QUOTA_PER_MINUTE: 'many' })
  try {
    const response = await broken.fetch('/health')
    assert.equal(response.status, 500)
    const { detail } = (await response.json()) as { detail: string }
    assert.match(detail, /OPERATOR_KEY: expected 0x and 64 hex digits/)
    assert.match(detail, /QUOTA_PER_MINUTE: /)
  } finally {
    await broken.harness.close()
  }
})

test('the OpenAPI document describes every route and refers to nothing that is missing', async () => {
  const document = (await (await edge.fetch('/openapi.json')).json()) as {
    openapi: string
    paths: Record<
      string,
      Record<
        string,
        {
          summary?: string
          responses: object
          parameters?: { name: string }[]
          requestBody?: object
        }
      >
    >
    components: { schemas: Record<string, unknown> }
  }
  assert.equal(document.openapi, '3.1.0')
  for (const path of ['/v1/auth/login', '/v1/datanets/{id}/contributions', '/v1/account'])
    assert.ok(document.paths[path], path)
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, route] of Object.entries(methods)) {
      assert.ok(route.summary, `${method} ${path} has no summary`)
      assert.ok(Object.keys(route.responses).length > 0)
    }
  const contribute = document.paths['/v1/datanets/{id}/contributions']?.['post']
  const parameters = contribute?.parameters?.map(({ name }) => name)
  for (const name of ['id', 'source', 'intended_use', 'licence', 'context'])
    assert.ok(parameters?.includes(name), name)
  assert.match(JSON.stringify(contribute?.requestBody), /"application\/json"/)
  const references = JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)
  for (const [, name] of references)
    assert.ok(document.components.schemas[name ?? ''], `${name} is not defined`)
})
