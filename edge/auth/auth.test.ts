import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { createSiweMessage } from 'viem/siwe'
import { startEdge, type Edge } from '../testing/harness.ts'
import { signIn } from '../testing/wallet.ts'

let edge: Edge
before(async () => (edge = await startEdge()))
after(() => edge.harness.close())

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  edge.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

const wallet = privateKeyToAccount(generatePrivateKey())
const challenge = async () =>
  (await (await post('/v1/auth/nonce', { address: wallet.address })).json()) as { nonce: string }
const message = (overrides: Partial<Parameters<typeof createSiweMessage>[0]> & { nonce: string }) =>
  createSiweMessage({
    address: wallet.address,
    chainId: 901612,
    domain: 'edge.test',
    uri: 'http://edge.test',
    version: '1',
    ...overrides,
  })

async function refusal(text: string, signature?: string) {
  const response = await post('/v1/auth/login', {
    message: text,
    signature: signature ?? (await wallet.signMessage({ message: text })),
  })
  assert.equal(response.status, 401)
  return ((await response.json()) as { detail: string }).detail
}

test('a wallet signs in, and again into the same account', async () => {
  const first = await signIn(edge)
  assert.match(first.accountId, /^acct_/)
  assert.match(first.key, /^ol_live_[0-9A-Za-z]{32}$/)
  const second = await signIn(edge, first.privateKey)
  assert.equal(second.accountId, first.accountId)
  assert.notEqual(second.key, first.key)
})

test('a nonce works once', async () => {
  const text = message(await challenge())
  const signature = await wallet.signMessage({ message: text })
  assert.equal((await post('/v1/auth/login', { message: text, signature })).status, 200)
  assert.match(await refusal(text, signature), /nonce/)
})

test('a nonce of one address does not sign another in', async () => {
  const other = privateKeyToAccount(generatePrivateKey())
  const text = message({ ...(await challenge()), address: other.address })
  assert.match(await refusal(text, await other.signMessage({ message: text })), /nonce/)
})

test('a login for another domain, chain or time is refused', async () => {
  const { nonce } = await challenge()
  assert.match(await refusal(message({ nonce, domain: 'evil.test' })), /domain edge\.test/)
  assert.match(await refusal(message({ nonce, chainId: 1 })), /chain 901612/)
  assert.match(await refusal(message({ nonce, expirationTime: new Date(Date.now() - 1) })), /time/)
  assert.match(await refusal('hello'), /EIP-4361/)
})

test('a signature of another wallet is refused', async () => {
  const text = message(await challenge())
  const other = privateKeyToAccount(generatePrivateKey())
  assert.match(await refusal(text, await other.signMessage({ message: text })), /signature/)
})

test('only a hash of a key is stored', async () => {
  const { key } = await signIn(edge)
  const { DB } = (await edge.worker.getEnv()) as { DB: D1Like }
  const { results } = await DB.prepare('SELECT * FROM api_keys').all()
  assert.ok(results.length > 0)
  assert.ok(!JSON.stringify(results).includes(key))
})

test('keys are created with fewer scopes, listed, limited and revoked', async () => {
  const owner = await signIn(edge)
  const created = await post(
    '/v1/api_keys',
    { name: 'ci', scopes: ['read', 'inference'] },
    owner.headers,
  )
  assert.equal(created.status, 201)
  assert.equal(created.headers.get('cache-control'), 'no-store')
  const { id, key } = (await created.json()) as { id: string; key: string }
  const narrow = { authorization: `Bearer ${key}` }
  const denied = await post('/v1/api_keys', { name: 'more' }, narrow)
  assert.equal(denied.status, 403)
  const listed = (await (await edge.fetch('/v1/api_keys?limit=1', owner)).json()) as {
    data: { id: string }[]
    has_more: boolean
  }
  assert.deepEqual([listed.data.length, listed.data[0]?.id, listed.has_more], [1, id, true])
  const revoked = await edge.fetch(`/v1/api_keys/${id}`, { method: 'DELETE', ...owner })
  assert.equal(revoked.status, 200)
  const after = await edge.fetch('/v1/api_keys', { headers: narrow })
  assert.equal(after.status, 401)
})

test('a key cannot hand out scopes that it lacks, nor revoke keys of others', async () => {
  const owner = await signIn(edge)
  const created = await post('/v1/api_keys', { name: 'k', scopes: ['keys'] }, owner.headers)
  const { id, key } = (await created.json()) as { id: string; key: string }
  const widened = await post(
    '/v1/api_keys',
    { name: 'w', scopes: ['keys', 'inference'] },
    { authorization: `Bearer ${key}` },
  )
  assert.equal(widened.status, 403)
  const stranger = await signIn(edge)
  const stolen = await edge.fetch(`/v1/api_keys/${id}`, { method: 'DELETE', ...stranger })
  assert.equal(stolen.status, 404)
})

test('an expired key is refused', async () => {
  const owner = await signIn(edge)
  const { DB } = (await edge.worker.getEnv()) as { DB: D1Like }
  const created = await post('/v1/api_keys', { name: 'short', expires_in_days: 1 }, owner.headers)
  const { id, key } = (await created.json()) as { id: string; key: string }
  await DB.prepare(`UPDATE api_keys SET expires_at = 1 WHERE id = '${id}'`).all()
  const response = await edge.fetch('/v1/api_keys', { headers: { authorization: `Bearer ${key}` } })
  assert.equal(response.status, 401)
  assert.match(((await response.json()) as { detail: string }).detail, /expired/)
})

type D1Like = { prepare: (sql: string) => { all: () => Promise<{ results: object[] }> } }
