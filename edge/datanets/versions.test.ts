import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createPublicClient, http } from 'viem'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { keccak, sha256Hex, type Hex } from '#protocol/bytes.ts'
import { leafHash, verifyProof } from '#protocol/merkle.ts'
import type { DatanetManifest } from '#protocol/wire.ts'
import type { Env } from '../env.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import {
  CLAUSES,
  contribute,
  contributionIn,
  createDatanet,
  contributeRecords,
} from '../testing/datanets.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

let chain: Chain
let edge: Edge
let owner: SignedIn
let other: SignedIn
let datanet: string
before(async () => {
  chain = await startChain()
  edge = await startEdge(chain.vars)
  owner = await signIn(edge)
  other = await signIn(edge)
  datanet = await createDatanet(edge, owner)
})
after(async () => {
  await edge.harness.close()
  await chain.stop()
})

const WAIT_MS = 60_000
const registry = () =>
  ({ address: chain.contracts.datanetRegistry, abi: datanetRegistryAbi }) as const
const client = () => createPublicClient({ transport: http(chain.rpcUrl) })

type VersionView = {
  version: number
  status: string
  root: Hex
  manifest: Hex
  records: number
  tx: Hex
  error: string | null
  contents: DatanetManifest
}

const read = async <T>(path: string): Promise<T> => {
  const response = await edge.fetch(path)
  assert.equal(response.status, 200, path)
  return (await response.json()) as T
}
const publish = (by: SignedIn) =>
  edge.fetch(`/v1/datanets/${datanet}/versions`, { method: 'POST', headers: by.headers })
const published = (number: number) =>
  eventually(async () => {
    const view = await read<VersionView>(`/v1/datanets/${datanet}/versions/${number}`)
    return ['published', 'failed'].includes(view.status) && view
  }, WAIT_MS)

async function contributeAndAnchor(by: SignedIn, records: object[]) {
  const body = records.map((record) => JSON.stringify(record)).join('\n')
  const { id } = (await (await contribute(edge, by, datanet, { body })).json()) as { id: string }
  return eventually(async () => {
    const view = await contributionIn(edge, by, id, ['needs_anchor', 'anchored', 'failed'])
    return view.status !== 'needs_anchor' && view
  }, WAIT_MS)
}

test('there is nothing to publish before a record is anchored', async () => {
  const response = await publish(owner)
  assert.equal(response.status, 409)
  const { type, detail } = (await response.json()) as { type: string; detail: string }
  assert.match(type, /nothing-new/)
  assert.match(detail, /No record is anchored yet/)
})

test('a Datanet is registered and a contribution anchored on chain', async () => {
  const view = await contributeAndAnchor(owner, CLAUSES.slice(0, 4))
  assert.equal(view.status, 'anchored', JSON.stringify(view.errors))
  const { status } = await read<{ status: string }>(`/v1/datanets/${datanet}`)
  assert.equal(status, 'registered')
  const batch = await client().readContract({
    ...registry(),
    functionName: 'batchOf',
    args: [keccak(view.id)],
  })
  assert.equal(batch.root, view.batch?.root)
  assert.equal(batch.count, 4)
  assert.equal(batch.contributor.toLowerCase(), owner.address)
  assert.equal(batch.pipelineHash, view.pipeline_hash)
  assert.equal(batch.datanet, keccak(datanet))
  assert.equal(batch.bond, 10n ** 15n)
})

test('only the owner publishes', async () => {
  assert.equal((await publish(other)).status, 403)
})

test('a version holds the anchored records, and its root is on chain', async () => {
  await contributeAndAnchor(other, [CLAUSES[4]!, CLAUSES[0]!])
  const response = await publish(owner)
  assert.equal(response.status, 202)
  assert.equal((await publish(owner)).status, 409)
  const version = await published(1)
  assert.equal(version.status, 'published', version.error ?? '')
  const { contents } = version
  assert.equal(contents.records, 5)
  assert.equal(contents.parent, null)
  assert.deepEqual(contents.reasons, { DUPLICATE_EXACT: 1 })
  assert.deepEqual(
    new Map(contents.contributors.map((row) => [row.contributor, row.records])),
    new Map([
      [owner.address, 4],
      [other.address, 1],
    ]),
  )
  const onChain = await client().readContract({
    ...registry(),
    functionName: 'versionOf',
    args: [version.root],
  })
  assert.deepEqual(
    [onChain.datanet, onChain.version, onChain.records, onChain.manifestHash],
    [keccak(datanet), 1, 5, version.manifest],
  )
})

test('a worker reads manifest and shards by hash', async () => {
  const { manifest, contents } = await read<VersionView>(`/v1/datanets/${datanet}/versions/1`)
  const headers = { authorization: 'Bearer a-token-for-the-workers-of-tests' }
  for (const hash of [manifest, ...contents.shards.map((shard) => shard.sha256)]) {
    const response = await edge.fetch(`/v1/blobs/${hash}`, { headers })
    assert.equal(sha256Hex(new Uint8Array(await response.arrayBuffer())), hash)
  }
})

test('rows are paged, and every one is proven against the root', async () => {
  type Row = {
    id: string
    record: Hex
    cluster: Hex
    contributor: Hex
    fields: { text: string }
    metadata: { openledger: { contribution: string; licence: string } }
  }
  type Page = { data: Row[]; has_more: boolean; last_id: string }
  const path = `/v1/datanets/${datanet}/versions/1`
  const first = await read<Page>(`${path}/rows?limit=3`)
  const second = await read<Page>(`${path}/rows?limit=3&after=${first.last_id}`)
  assert.deepEqual([first.has_more, second.has_more], [true, false])
  const rows = [...first.data, ...second.data]
  assert.deepEqual(
    rows.map((row) => row.fields.text),
    CLAUSES.slice(0, 5).map((clause) => clause.text),
  )
  assert.equal(rows[0]?.metadata.openledger.licence, 'CC0-1.0')
  const { root } = await read<VersionView>(path)
  for (const row of rows) {
    const proof = await read<{ proof: Hex[]; root: Hex }>(`${path}/records/${row.record}/proof`)
    assert.equal(proof.root, root)
    const leaf = leafHash('record', [row.record, row.cluster, row.contributor])
    assert.ok(verifyProof(root, leaf, proof.proof))
  }
  const missing = await edge.fetch(`${path}/records/0x${'00'.repeat(32)}/proof`)
  assert.equal(missing.status, 404)
})

test('the next version names its parent and needs something new', async () => {
  assert.equal((await publish(owner)).status, 409)
  await contributeAndAnchor(other, [CLAUSES[5]!])
  assert.equal((await publish(owner)).status, 202)
  const version = await published(2)
  const { root } = await read<VersionView>(`/v1/datanets/${datanet}/versions/1`)
  assert.equal(version.contents.parent, root)
  assert.equal(version.contents.records, 6)
  const list = await read<{ data: { version: number }[] }>(`/v1/datanets/${datanet}/versions`)
  assert.deepEqual(
    list.data.map((row) => row.version),
    [2, 1],
  )
})

test('a version that does not exist is not found', async () => {
  const response = await edge.fetch(`/v1/datanets/${datanet}/versions/9`)
  assert.equal(response.status, 404)
})

test('a refusal that is told again does not end the version that was started anew', async () => {
  const env = (await edge.worker.getEnv()) as unknown as Env
  const states = { ver_anew: 'building', ver_sent: 'publishing' }
  for (const [id, status] of Object.entries(states))
    await env.DB.prepare(
      `INSERT INTO versions (id, datanet_id, number, status, created_at) VALUES (?1, ?1, 1, ?2, ?3)`,
    )
      .bind(id, status, Date.now())
      .run()
  for (const id of Object.keys(states))
    await env.EVENTS.send({
      type: 'tx',
      key: `version:${id}`,
      status: 'reverted',
      txHash: keccak(id),
      blockNumber: 1,
      reason: 'VersionOutOfOrder()',
    })
  const statusOf = (id: string) =>
    env.DB.prepare('SELECT status FROM versions WHERE id = ?').bind(id).first('status')
  await eventually(async () => (await statusOf('ver_sent')) === 'failed', WAIT_MS)
  assert.equal(await statusOf('ver_anew'), 'building')
})

test('what the chain refuses fails with its reason and leaves the duplicate index', async () => {
  const clause = {
    text: 'The chain will refuse this record, because it never heard of its Datanet.',
  }
  const ghost = 'dn_00000000000000000000000000'
  const { DB } = (await edge.worker.getEnv()) as { DB: { exec: (sql: string) => Promise<unknown> } }
  await DB.exec(
    `INSERT INTO datanets SELECT '${ghost}', account_id, owner, name, 'ghost', description, licence, licences, domain, columns, profile, 'registered', NULL, NULL, created_at FROM datanets WHERE id = '${datanet}'`,
  )
  const body = JSON.stringify(clause)
  const { id } = (await (await contribute(edge, owner, ghost, { body })).json()) as { id: string }
  const view = await eventually(async () => {
    const seen = await contributionIn(edge, owner, id, ['needs_anchor', 'anchored', 'failed'])
    return seen.status !== 'needs_anchor' && seen
  }, WAIT_MS)
  assert.equal(view.status, 'failed')
  assert.match(view.errors?.[0]?.detail ?? '', /UnknownDatanet/)
  const again = await contributeRecords(edge, owner, ghost, [clause])
  assert.equal(again.counts['accepted'], 1)
})
