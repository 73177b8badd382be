import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { sha256Hex } from '#protocol/bytes.ts'
import { newId } from '#protocol/ids.ts'
import {
  contribute,
  contributeRecords,
  contributionIn,
  createDatanet,
  METADATA,
} from '../testing/datanets.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
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

const WAIT_MS = 90_000

type Bindings = {
  BLOBS: {
    put: (key: string, body: string, options: object) => Promise<object>
    head: (key: string) => Promise<object | null>
  }
  DB: { exec: (sql: string) => Promise<unknown> }
}

test('the sweep finds a contribution whose message the queue lost', async () => {
  const { BLOBS } = (await edge.worker.getEnv()) as Bindings
  const id = newId('contribution')
  const body = JSON.stringify({
    text: 'The message of this record was lost when the queue went down.',
  })
  const envelope = JSON.stringify({
    datanetId: datanet,
    accountId: owner.accountId,
    contributor: owner.address,
    contentType: 'application/x-ndjson',
    sha256: sha256Hex(body),
    bytes: body.length,
    metadata: METADATA,
    createdAt: Date.now(),
  })
  await BLOBS.put(`inbox/${id}`, body, { customMetadata: { envelope } })
  const view = await eventually(async () => {
    await edge.worker.scheduled({ cron: '* * * * *' })
    const response = await edge.fetch(`/v1/contributions/${id}`, { headers: owner.headers })
    const seen = (await response.json()) as { status: string }
    return seen.status !== 'received' && seen.status !== 'processing' && seen
  }, WAIT_MS)
  assert.equal(view.status, 'needs_anchor')
})

test('a contribution that cannot be processed is failed by the dead-letter queue, with its bytes kept', async () => {
  const { BLOBS, DB } = (await edge.worker.getEnv()) as Bindings
  const body = JSON.stringify({ text: 'This record meets a database that lost one of its tables.' })
  await DB.exec('ALTER TABLE records RENAME TO records_away')
  const response = await contribute(edge, owner, datanet, { body })
  const { id } = (await response.json()) as { id: string }
  const view = await eventually(
    () =>
      contributionIn(edge, owner, id, ['failed', 'processing', 'received']).then(
        (seen) => seen.status === 'failed' && seen,
      ),
    WAIT_MS,
  )
  await DB.exec('ALTER TABLE records_away RENAME TO records')
  assert.match(view.errors?.[0]?.detail ?? '', /Send the contribution again/)
  assert.ok(await BLOBS.head(`sha256/${sha256Hex(body).slice(2)}`))
  await eventually(async () => (await BLOBS.head(`inbox/${id}`)) === null)
  const again = await contributeRecords(edge, owner, datanet, [JSON.parse(body)])
  assert.equal(again.counts['accepted'], 1)
})

test('a batch that fails halfway through leaves nothing behind and succeeds when it is tried again', async () => {
  const { DB } = (await edge.worker.getEnv()) as Bindings
  await DB.exec('ALTER TABLE dedup_windows RENAME TO dedup_windows_away')
  const text = { text: 'The first attempt at this record stops when the index is half written.' }
  const response = await contribute(edge, owner, datanet, { body: JSON.stringify(text) })
  const { id } = (await response.json()) as { id: string }
  await contributionIn(edge, owner, id, ['processing'])
  await eventually(async () =>
    edge.harness
      .getLogs()
      .some((line) => line.message.includes(id) && line.message.includes('retry')),
  )
  const rows = await edge.fetch(`/v1/contributions/${id}/records`, { headers: owner.headers })
  assert.deepEqual(((await rows.json()) as { data: unknown[] }).data, [])
  await DB.exec('ALTER TABLE dedup_windows_away RENAME TO dedup_windows')
  const view = await eventually(async () => {
    const seen = await contributionIn(edge, owner, id, ['processing', 'needs_anchor', 'failed'])
    return seen.status !== 'processing' && seen
  }, WAIT_MS)
  assert.equal(view.status, 'needs_anchor')
  assert.equal(view.counts['accepted'], 1)
})
