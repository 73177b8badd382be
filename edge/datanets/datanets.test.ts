import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createDatanet } from '../testing/datanets.ts'
import { startEdge, type Edge } from '../testing/harness.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

let edge: Edge
let owner: SignedIn
before(async () => {
  edge = await startEdge()
  owner = await signIn(edge)
})
after(() => edge.harness.close())

const GOOD = { name: 'Médical Q&A', description: 'd', licence: 'CC-BY-4.0', domain: 'medical' }
const create = (body: object | string, by: SignedIn = owner) =>
  edge.fetch('/v1/datanets', {
    method: 'POST',
    headers: by.headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

test('a Datanet is created, waits for the chain, and is read and listed without a key', async () => {
  const response = await create({ ...GOOD, licences: ['CC0-1.0'], profile: { minWords: 5 } })
  assert.equal(response.status, 202)
  const created = (await response.json()) as Record<string, unknown> & { id: string }
  assert.match(created.id, /^dn_/)
  assert.equal(created['slug'], 'medical-q-a')
  assert.equal(created['status'], 'pending')
  assert.equal(created['owner'], owner.address)
  assert.deepEqual(created['licences'], ['CC-BY-4.0', 'CC0-1.0'])
  const profile = created['profile'] as Record<string, unknown>
  assert.deepEqual([profile['name'], profile['minWords']], ['custom', 5])
  const { statistics, ...read } = (await (
    await edge.fetch(`/v1/datanets/${created.id}`)
  ).json()) as Record<string, unknown>
  assert.deepEqual(read, created)
  assert.ok(statistics)
  const list = (await (await edge.fetch('/v1/datanets?limit=1')).json()) as { data: unknown[] }
  assert.deepEqual(list.data, [created])
})

test('lists are paged by id, newest first', async () => {
  const author = await signIn(edge)
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.push(await createDatanet(edge, author))
  const seen: string[] = []
  let after = ''
  for (;;) {
    const page = (await (await edge.fetch(`/v1/datanets?limit=2${after}`)).json()) as {
      data: { id: string }[]
      has_more: boolean
      last_id: string
    }
    seen.push(...page.data.map((row) => row.id))
    if (!page.has_more) break
    after = `&after=${page.last_id}`
  }
  assert.deepEqual(
    seen.filter((id) => ids.includes(id)),
    ids.toReversed(),
  )
})

test('a slug is taken once per account', async () => {
  const author = await signIn(edge)
  assert.equal((await create({ ...GOOD, slug: 'mine' }, author)).status, 202)
  const again = await create({ ...GOOD, slug: 'mine' }, author)
  assert.equal(again.status, 409)
  assert.equal((await create({ ...GOOD, slug: 'mine' }, await signIn(edge))).status, 202)
})

test('every fault of a request is named', async () => {
  const response = await create({ ...GOOD, name: '', licence: 'see website', slug: 'A B' })
  assert.equal(response.status, 400)
  const { errors } = (await response.json()) as { errors: { field: string }[] }
  assert.deepEqual(errors.map((fault) => fault.field).toSorted(), ['licence', 'name', 'slug'])
})

test('misspelt profile settings and schema columns are refused, not ignored', async () => {
  assert.equal((await create({ ...GOOD, profile: { minWord: 5 } })).status, 400)
  assert.equal((await create({ ...GOOD, schema: { txt: 'body' } })).status, 400)
})

test('a body that is not JSON is refused as such', async () => {
  const response = await create('{"name": ')
  assert.equal(response.status, 400)
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
})

test('a Datanet that does not exist is not found', async () => {
  assert.equal((await edge.fetch('/v1/datanets/dn_none')).status, 404)
})
