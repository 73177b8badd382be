import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import test, { after, before } from 'node:test'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { keccak, lowerCase, sha256Hex, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { evidenceRequest, type EvidenceRequest } from '#protocol/evidence.ts'
import type { Explanation } from '#protocol/generation.ts'
import type { Env } from '../env.ts'
import { inboxName } from '../settlement/epoch-tables.ts'
import type { ReceiptInbox } from '../settlement/receipt-inbox.ts'
import { BASE, baseOwner, registerBase } from '../testing/adapter.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import { registerGpuWorker } from '../testing/gpu-worker.ts'
import { startEdge, WORKER_TOKEN, type Edge } from '../testing/harness.ts'
import { queryOf, receiptOf, sign } from '../testing/receipts.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

/** A receipt of an adapter, and a worker that says of unlisted records what it is told to. */

const KEY = generatePrivateKey()
const worker = lowerCase(privateKeyToAddress(KEY))
const ADAPTER = { digest: sha256Hex('adapter'), manifest: keccak('manifest') }
const address = (n: number): Hex => `0x${n.toString(16).padStart(40, '0')}`
const [paid, weak, copy, refusedCopy, held, stranger] = [0, 1, 2, 3, 4, 5].map((n) =>
  keccak(`record ${n}`),
) as [Hex, Hex, Hex, Hex, Hex, Hex]
const cluster = keccak('cluster of the paid one')
const texts: Explanation['rows'][number] = {
  record: paid,
  contributor: address(1),
  share: 800_000,
  snippet: 'a record',
  highlights: [{ start: 2, end: 8 }],
  spans: [{ start: 0, end: 5, text: 'Hello' }],
}

let chain: Chain
let edge: Edge
let payer: SignedIn
let other: SignedIn
let server: Server
let id: string
const asked: EvidenceRequest[] = []
/** What the worker says of the weak record. */
let about: object = {}
before(async () => {
  chain = await startChain()
  await registerBase(chain)
  edge = await startEdge({ ...chain.vars, EPOCH_SECONDS: '3600' })
  ;[payer, other] = [await signIn(edge), await signIn(edge)]
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    assert.equal(request.headers.authorization, `Bearer ${WORKER_TOKEN}`)
    asked.push(evidenceRequest.parse(JSON.parse(Buffer.concat(chunks).toString())))
    response.end(JSON.stringify(answerTo(asked.at(-1)!)))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await registerGpuWorker(edge, { url, address: worker }, BASE)

  const { DB, INBOXES } = (await edge.worker.getEnv()) as unknown as Env
  await DB.prepare(
    `INSERT INTO adapters (digest, name, base, owner, job_id, manifest, index_root, datanets, price_per_token, status,
       created_at) VALUES (?, 'a', ?, ?, 'ftjob-1', ?, ?, '[]', '1', 'registered', 1)`,
  )
    .bind(ADAPTER.digest, BASE.digest, baseOwner, ADAPTER.manifest, keccak('index'))
    .run()
  const known = [
    [paid, 'accepted', cluster, null],
    [weak, 'accepted', keccak('another cluster'), null],
    [copy, 'accepted', cluster, null],
    [refusedCopy, 'rejected', null, JSON.stringify({ duplicateOf: paid })],
    [held, 'accepted', keccak('a held-out cluster'), null],
  ] as const
  for (const [row, [record, verdict, of, evidence]] of known.entries())
    await DB.prepare(
      `INSERT INTO records (contribution_id, row, verdict, novelty, reasons, record_hash, cluster, evidence)
       VALUES ('ctr_1', ?, ?, 10000, '[]', ?, ?, ?)`,
    )
      .bind(row, verdict, record, of, evidence)
      .run()

  const receipt = receiptOf(
    {
      requestId: keccak('request'),
      payer: payer.address,
      base: BASE.digest,
      modelOwner: baseOwner,
      pricePerToken: 10n ** 12n,
      promptTokens: 5,
      completionTokens: 2,
      output: 'Hello world',
      adapter: {
        digest: ADAPTER.digest,
        indexRoot: keccak('index'),
        datanets: [keccak('root')],
        paid: [{ cluster, record: paid, contributor: address(1) }],
      },
    },
    worker,
  )
  const domain = { chainId: 901612, settlement: chain.contracts.attributionSettlement }
  const inbox = INBOXES.getByName(
    inboxName(receipt.requestId),
  ) as unknown as DurableObjectStub<ReceiptInbox>
  await inbox.append({
    signed: await sign(KEY, receipt, domain),
    explanation: { rows: [texts], unattributed: 200_000, attributionMs: 1 },
    accountId: payer.accountId,
    manifests: [],
    answer: { windows: [], givenAt: 0 },
  })
  id = `rcp_${receipt.requestId.slice(2)}`
})
after(async () => {
  await edge?.harness.close()
  server?.close()
  await chain?.stop()
})

const rowOf = (record: Hex) => ({
  record,
  cluster: record === paid ? cluster : keccak('another cluster'),
  contributor: record === paid ? address(1) : address(2),
  influence: record === paid ? '1000' : '10',
  significance: record === paid ? '5000' : '100',
  rank: record === paid ? 1 : 7,
  text: '0',
  spans: [],
  ...(record === weak && about),
})

/** The index holds the paid record and the weak one. */
function answerTo({ records, clusters, contributor, limit }: EvidenceRequest): object {
  if ('code' in about) return about
  const rows = [rowOf(paid), rowOf(weak)].filter(
    (row) =>
      records.includes(row.record) ||
      clusters.includes(row.cluster) ||
      row.contributor === contributor,
  )
  return { rows: 2, selected: rows.length, evidence: rows.slice(0, limit) }
}

type View = Record<string, unknown> & { rows: { reason: string; texts: unknown }[] }
const read = async (path: string, by?: SignedIn) => {
  const response = await edge.fetch(
    `/v1/receipts/${id}${path && `/${path}`}`,
    by && { headers: by.headers },
  )
  return { status: response.status, body: (await response.json()) as View }
}
const reasonOf = async (record: Hex) => (await read(`records/${record}`)).body

test('everybody sees the integers of an explanation, and the payer alone its texts', async () => {
  const { body } = await read('explanation', payer)
  assert.deepEqual(
    body.rows.map(({ reason }) => reason),
    ['paid'],
  )
  assert.deepEqual(body.rows[0]?.texts, texts)
  assert.deepEqual(body['thresholds'], {
    significance: '4000',
    influence: '0',
    min_share: '10000',
    coverage: '950000',
    top_k: 16,
    row_cost: '1000000000',
  })
  for (const by of [other, undefined]) {
    const { body: seen } = await read('explanation', by)
    assert.deepEqual(seen, { ...body, rows: body.rows.map((row) => ({ ...row, texts: null })) })
  }
  assert.equal((await edge.fetch(`/v1/receipts/rcp_${'0'.repeat(64)}/explanation`)).status, 404)
})

test('an unlisted record’s reason follows from what a worker finds, with the numbers', async () => {
  const span = { outputStart: 0, length: 9, information: 40_000, holders: 1 }
  const cases = [
    ['below_threshold', {}],
    ['no_signal', { influence: '-10', significance: '-100' }],
    ['prompt_echo', { spans: [{ ...span, verdict: 'prompt_echo' }] }],
    ['boilerplate', { spans: [{ ...span, verdict: 'boilerplate', holders: 11 }] }],
    ['below_threshold', { influence: '-10', spans: [{ ...span, verdict: 'covered' }] }],
    ['below_threshold', { significance: '4000', spans: [{ ...span, verdict: 'prompt_echo' }] }],
    ['no_signal', { influence: '0', text: null, spans: null }],
  ] as const
  for (const [reason, found] of cases) {
    about = found
    const said = await reasonOf(weak)
    assert.equal(said['reason'], reason, JSON.stringify(found))
    assert.deepEqual(said['evidence'], { ...rowOf(weak), ...found })
  }
  about = {}
  const request = asked.at(-1)!
  assert.deepEqual([request.adapter, request.base], [ADAPTER, BASE.digest])
  assert.equal(request.query, queryOf({ adapter: ADAPTER.digest }))
  assert.equal(request.texts, null) // none were kept in this test
})

test('a listed record, copies, a record outside the model and one that nobody knows', async () => {
  const before = asked.length
  assert.equal((await reasonOf(paid))['reason'], 'paid')
  assert.equal(asked.length, before) // the receipt says it all
  for (const record of [copy, refusedCopy]) {
    const { reason, duplicate_of } = await reasonOf(record)
    assert.deepEqual([reason, duplicate_of], ['duplicate_of', paid])
  }
  assert.equal((await reasonOf(held))['reason'], 'not_indexed')
  assert.equal((await read(`records/${stranger}`)).status, 404)
  assert.equal((await read('records/0x12')).status, 400)
})

test('a record that was revoked before the answer says so, with its numbers; later changes nothing', async () => {
  const { DB } = (await edge.worker.getEnv()) as unknown as Env
  const { body } = await read('')
  const time = Number((body['receipt'] as { time: string }).time)
  const revoke = (record: Hex, reason: string, at: number, seq: number) =>
    DB.prepare(
      `INSERT INTO revocations (seq, record, contributor, contribution_id, reason, call, time, head)
       VALUES (?, ?, ?, 'ctr_1', ?, ?, ?, ?)`,
    )
      .bind(seq, record, address(2), reason, keccak('call'), at, keccak(`head ${seq}`))
      .run()
  const methodOf = async () =>
    (await read('explanation')).body['method'] as { revocations: { entries: number; head: Hex } }
  for (const reason of ['revoked', 'penalized']) {
    await revoke(weak, reason, time, 1)
    const said = await reasonOf(weak)
    assert.equal(said['reason'], reason)
    assert.deepEqual(said['evidence'], rowOf(weak))
    assert.deepEqual(said['revocation'], {
      seq: 1,
      record: weak,
      contributor: address(2),
      contribution: 'ctr_1',
      reason,
      call: keccak('call'),
      time,
      head: keccak('head 1'),
    })
    const { body: theirs } = await read(`contributors/${address(2)}`)
    assert.equal((theirs['records'] as { reason: string }[])[0]?.reason, reason)
    assert.deepEqual((await methodOf()).revocations, { entries: 1, head: keccak('head 1') })
    await DB.prepare('DELETE FROM revocations').run()
  }
  assert.equal(asked.at(-1)!.time, time)
  await revoke(weak, 'revoked', time + 1, 1)
  const { reason, revocation } = await reasonOf(weak)
  assert.deepEqual([reason, revocation], ['below_threshold', null])
  assert.deepEqual((await methodOf()).revocations, { entries: 0, head: ZERO_HASH })
})

test('a contributor’s records come with their reasons', async () => {
  const { body } = await read(`contributors/${address(2)}?limit=5`)
  const rows = body['records'] as { record: Hex; reason: string }[]
  assert.deepEqual(
    [body['indexed'], rows.map(({ record, reason }) => [record, reason])],
    [1, [[weak, 'below_threshold']]],
  )
  const { body: theirs } = await read(`contributors/${address(1)}`)
  assert.equal((theirs['records'] as { reason: string }[])[0]?.reason, 'paid')
  const { body: nobody } = await read(`contributors/${address(3)}`)
  assert.deepEqual([nobody['indexed'], nobody['records']], [0, []])
})

test('a worker that cannot say is a problem of its own kind', async () => {
  about = { type: 'error', code: 'model/revoked', message: 'it was revoked' }
  assert.equal((await read(`records/${weak}`)).status, 410)
  about = { type: 'error', code: 'inference/failed', message: 'no' }
  assert.ok((await read(`records/${weak}`)).status >= 500)
  about = {}
})
