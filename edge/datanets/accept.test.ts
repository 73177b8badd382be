import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { sha256Hex } from '#protocol/bytes.ts'
import { contribute, contributionIn, createDatanet, METADATA } from '../testing/datanets.ts'
import { startEdge, type Edge } from '../testing/harness.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

let edge: Edge
let owner: SignedIn
let datanet: string
before(async () => {
  edge = await startEdge()
  owner = await signIn(edge)
  datanet = await createDatanet(edge, owner)
})
after(() => edge.harness.close())

const GOOD = JSON.stringify({ text: 'This licence is granted for the term of the agreement only.' })

type ProblemBody = {
  type: string
  detail: string
  errors?: { row?: number; field?: string; detail: string }[]
  error: { code: string }
}

/** Sends a bad contribution and checks that it is refused as that, with nothing written. */
async function refused(
  input: Parameters<typeof contribute>[3],
  status: number,
  type: string,
  to = datanet,
): Promise<ProblemBody> {
  const response = await contribute(edge, owner, to, input)
  const body = (await response.json()) as ProblemBody
  assert.equal(response.status, status, JSON.stringify(body))
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  assert.equal(body.type, `urn:openledger:problem:${type}`)
  assert.deepEqual(await stored(), { objects: [], contributions: 0 })
  return body
}

type Bindings = {
  BLOBS: { list: () => Promise<{ objects: { key: string }[] }> }
  DB: { prepare: (sql: string) => { first: (column: string) => Promise<number> } }
}

async function stored() {
  const { BLOBS, DB } = (await edge.worker.getEnv()) as Bindings
  return {
    objects: (await BLOBS.list()).objects.map((object) => object.key),
    contributions: await DB.prepare('SELECT count(*) AS n FROM contributions').first('n'),
  }
}

test('malformed JSONL is refused and names every row at fault', async () => {
  const body = [GOOD, '{"text": "never closed', GOOD, 'not json', GOOD].join('\n')
  const problem = await refused({ body }, 400, 'contribution/malformed')
  assert.deepEqual(
    problem.errors?.map((fault) => fault.row),
    [2, 4],
  )
  assert.match(problem.detail, /Row 2/)
})

test('malformed JSON names line and column', async () => {
  const problem = await refused(
    { body: '[\n  {"text": "a"},\n  {"text" "b"}\n]', contentType: 'application/json' },
    400,
    'contribution/malformed',
  )
  assert.match(problem.errors?.[0]?.field ?? '', /line 3/)
})

test('a record over the limit is refused and named', async () => {
  const body = `${GOOD}\n${JSON.stringify({ text: 'word '.repeat(40_000) })}`
  const problem = await refused({ body }, 413, 'contribution/record-too-large')
  assert.equal(problem.errors?.[0]?.row, 2)
})

test('a body over 5 MiB is refused before it is read', async () => {
  await refused({ body: `${GOOD}\n`.repeat(80_000) }, 413, 'request/too-large')
})

test('a file with more rows than one consumer can judge is refused', async () => {
  await refused({ body: '{"text":"a"}\n'.repeat(20_001) }, 413, 'request/too-large')
})

test('invalid UTF-8 is refused with the offset of the first wrong byte', async () => {
  const bytes = new TextEncoder().encode(GOOD)
  bytes[12] = 0xff
  const problem = await refused({ body: bytes }, 400, 'contribution/malformed')
  assert.match(problem.detail, /Byte 12 \(0xff\)/)
})

test('a content type that we do not take is refused', async () => {
  await refused({ body: GOOD, contentType: 'application/pdf' }, 415, 'request/unsupported-type')
})

test('bytes that are not text are refused whatever they are called', async () => {
  await refused({ body: new Uint8Array([0x1f, 0x8b, 8, 0]) }, 415, 'request/unsupported-type')
})

test('an empty and a blank file are refused', async () => {
  await refused({ body: '' }, 400, 'contribution/empty')
  await refused({ body: ' \n\n ' }, 400, 'contribution/empty')
})

test('a file whose rows all lack a text is refused', async () => {
  const problem = await refused({ body: '{"colour": "red"}' }, 400, 'contribution/malformed')
  assert.equal(problem.errors?.[0]?.row, 1)
})

test('an unknown Datanet is refused', async () => {
  await refused({ body: GOOD }, 404, 'datanet/not-found', 'dn_00000000000000000000000000')
  await refused({ body: GOOD }, 404, 'datanet/not-found', 'nonsense')
})

test('metadata has to be complete and its licence one that the Datanet takes', async () => {
  const { source: _, ...incomplete } = METADATA
  const missing = await refused({ body: GOOD, metadata: incomplete }, 400, 'contribution/metadata')
  assert.equal(missing.errors?.[0]?.field, 'source')
  await refused(
    { body: GOOD, metadata: { ...METADATA, licence: 'public domain!' } },
    400,
    'contribution/metadata',
  )
  await refused(
    { body: GOOD, metadata: { ...METADATA, licence: 'GPL-3.0-only' } },
    422,
    'contribution/licence',
  )
})

test('a contribution without, with a wrong, or with a too narrow key is refused', async () => {
  const path = `/v1/datanets/${datanet}/contributions`
  const send = (headers: Record<string, string>) =>
    edge.fetch(path, { method: 'POST', headers, body: GOOD })
  assert.equal((await send({})).status, 401)
  assert.equal((await send({ authorization: `Bearer ol_live_${'x'.repeat(32)}` })).status, 401)
  const created = await edge.fetch('/v1/api_keys', {
    method: 'POST',
    headers: owner.headers,
    body: JSON.stringify({ name: 'narrow', scopes: ['inference'] }),
  })
  const { key } = (await created.json()) as { key: string }
  assert.equal((await send({ authorization: `Bearer ${key}` })).status, 403)
})

test('a good contribution is accepted and readable at once', async () => {
  const response = await contribute(edge, owner, datanet, { body: GOOD })
  assert.equal(response.status, 202)
  const accepted = (await response.json()) as { id: string; status: string; sha256: string }
  assert.match(accepted.id, /^ctr_/)
  assert.equal(accepted.sha256, sha256Hex(GOOD))
  const read = await edge.fetch(`/v1/contributions/${accepted.id}`, { headers: owner.headers })
  assert.equal(read.status, 200)
  const done = await contributionIn(edge, owner, accepted.id, ['needs_anchor'])
  assert.equal(done.counts['accepted'], 1)
})

test('metadata may come in the query, in any script', async () => {
  const query = new URLSearchParams({ ...METADATA, source: 'Общество «Право»' })
  const response = await edge.fetch(`/v1/datanets/${datanet}/contributions?${query}`, {
    method: 'POST',
    headers: { authorization: owner.headers['authorization'] ?? '', 'content-type': 'text/plain' },
    body: 'The parties agree that this clause was sent with its metadata in the query string.',
  })
  assert.equal(response.status, 202)
  const { id } = (await response.json()) as { id: string }
  const done = (await contributionIn(edge, owner, id, ['needs_anchor'])) as unknown as {
    metadata: { source: string }
  }
  assert.equal(done.metadata.source, 'Общество «Право»')
})

test('a contribution that nobody made is not found', async () => {
  const response = await edge.fetch('/v1/contributions/ctr_none', { headers: owner.headers })
  assert.equal(response.status, 404)
})
