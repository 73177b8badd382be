import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import postgres from 'postgres'
import { keccak, sha256Hex, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { datanetsOf } from '../datanets/homes.ts'
import type { Env } from '../env.ts'
import { startEdge, type Edge } from '../testing/harness.ts'
import { startPostgres, type Postgres } from '../testing/postgres.ts'

/** Settled receipts as the ledger keeps them, and what the API makes of them, against sums over plain arrays. */

const address = (n: number): Hex => `0x${n.toString(16).padStart(40, '0')}`
const ADAPTERS = [sha256Hex('law'), sha256Hex('medicine')] as const
const ANSWERS = 40
type Paid = {
  epoch: number
  request: Hex
  adapter: Hex
  cluster: Hex
  record: Hex
  contributor: Hex
  datanet: string
  paidFor: 'score' | 'citation'
  amount: bigint
}
const BASE = sha256Hex('base')
/** Every eighth answer is of the bare base, which only cites. */
const isBare = (i: number) => i % 8 === 7

/**
 * 40 answers in 5 epochs; six records of three contributors and two Datanets are paid in turns, the third time for a
 * citation, and a seventh is listed and not paid.
 */
const paid: Paid[] = Array.from({ length: ANSWERS }, (_, i) =>
  (isBare(i) ? [1, 2] : [0, 1, 2]).map((k) => {
    const n = (i * (k === 1 ? 2 : 1)) % 6 // the third payment is for a cluster that was paid by score, too
    return {
      epoch: 1 + Math.floor(i / 8),
      request: keccak(`request ${i}`),
      adapter: isBare(i) ? ZERO_HASH : ADAPTERS[i % 2]!,
      cluster: keccak(`cluster ${n} ${k === 1}`),
      record: keccak(`record ${n}`),
      contributor: address(1 + (n % 3)),
      datanet: n < 4 ? 'dn_law' : 'dn_medicine',
      paidFor: k === 2 || isBare(i) ? ('citation' as const) : ('score' as const),
      amount: 10n ** 18n + BigInt(100 * i + k),
    }
  }),
).flat()

let server: Postgres
let sql: postgres.Sql
let edge: Edge
before(async () => {
  server = await startPostgres()
  sql = postgres(server.url, { max: 2, fetch_types: false, onnotice: () => undefined })
  edge = await startEdge()
  for (let i = 0; i < ANSWERS; i++) {
    const rows = paid.filter(({ request }) => request === keccak(`request ${i}`))
    await sql`INSERT INTO settled_receipt (request_id, epoch, payer, worker, base, adapter, prompt_tokens,
      completion_tokens, fee, unattributed, made_at) VALUES (${rows[0]!.request}, ${rows[0]!.epoch}, ${address(9)},
      ${address(8)}, ${BASE}, ${rows[0]!.adapter}, 5, 5, '1', '0', to_timestamp(${1_790_000_000 + i}))`
    const unpaid = { ...rows[0]!, cluster: keccak('unpaid'), record: keccak('unpaid'), amount: 0n }
    for (const row of [...rows, unpaid])
      await sql`INSERT INTO paid_record (request_id, cluster, record, contributor, datanet, paid_for, amount)
        VALUES (${row.request}, ${row.cluster}, ${row.record}, ${row.contributor}, ${row.datanet}, ${row.paidFor},
          ${row.amount.toString()})`
  }
  const { DB } = (await edge.worker.getEnv()) as unknown as Env
  const insert = (text: string, ...values: unknown[]) =>
    DB.prepare(text)
      .bind(...values)
      .run()
  for (const [i, name] of ['law', 'medicine'].entries())
    await insert(
      `INSERT INTO adapters (digest, name, base, owner, job_id, manifest, index_root, datanets, price_per_token, status,
         created_at) VALUES (?, ?, ?, ?, 'ftjob-1', ?, ?, '[]', '1', 'registered', 1)`,
      ADAPTERS[i],
      `openledger-5m:${address(7)}/${name}`,
      BASE,
      address(7),
      keccak('manifest'),
      keccak('index'),
    )
  await insert(`INSERT INTO bases VALUES (?, 'openledger-5m', 512, 1)`, BASE)
  await insert(
    `INSERT INTO datanets (id, account_id, owner, name, slug, description, licence, licences, domain, profile, status,
       created_at) VALUES ('dn_law', 'acct', ?, 'Law', 'law', '', 'CC0-1.0', '[]', 'law', '{}', 'registered', 1)`,
    address(7),
  )
})
after(async () => {
  await edge?.harness.close()
  await sql?.end({ timeout: 1 })
  await server?.stop()
})

type Page = { data: Record<string, unknown>[]; has_more: boolean; last_id: string }
const read = async <T>(path: string): Promise<T> => {
  const response = await edge.fetch(path)
  assert.equal(response.status, 200, path)
  return (await response.json()) as T
}

/** Every item of a list, page by page. */
async function all(path: string, limit: number) {
  const items: Page['data'] = []
  for (let after = ''; ;) {
    const page = await read<Page>(`${path}&limit=${limit}${after}`)
    assert.ok(page.data.length <= limit)
    items.push(...page.data)
    if (!page.has_more) return items
    after = `&after=${page.last_id}`
  }
}

const count = async (query: string) => (await all(`/v1/attributions?${query}`, 100)).length
const without = (item: Record<string, unknown>, names: readonly string[]) =>
  Object.fromEntries(Object.entries(item).filter(([name]) => !names.includes(name)))

const newestFirst = (rows: readonly Paid[]) =>
  rows.toSorted(
    (a, b) =>
      b.epoch - a.epoch ||
      (a.request === b.request ? 0 : a.request < b.request ? 1 : -1) ||
      (a.cluster === b.cluster ? 0 : a.cluster < b.cluster ? 1 : -1) ||
      (a.paidFor < b.paidFor ? 1 : -1),
  )
const shape = ({ request, adapter, amount, paidFor, ...rest }: Paid) => ({
  ...rest,
  receipt_id: `rcp_${request.slice(2)}`,
  adapter_digest: adapter,
  paid_for: paidFor,
  amount: amount.toString(),
})

test('payments of a contributor come newest first, page by page, each once and none of nothing', async () => {
  const mine = paid.filter(({ contributor }) => contributor === address(2))
  const listed = await all(`/v1/attributions?contributor=${address(2)}`, 7)
  assert.deepEqual(
    listed.map((row) => without(row, ['object', 'id', 'created'])),
    newestFirst(mine).map(shape),
  )
  assert.deepEqual(await all(`/v1/attributions?record=${keccak('unpaid')}`, 7), [])
})

test('payments can be asked for by record, model, Datanet and time', async () => {
  const law = `openledger-5m:${address(7)}/law`
  assert.equal(
    await count(`record=${keccak('record 3')}`),
    paid.filter(({ record }) => record === keccak('record 3')).length,
  )
  const those = (which: (payment: Paid) => boolean) => paid.filter(which).length
  assert.equal(
    await count(`model=${encodeURIComponent(law)}`),
    those(({ adapter }) => adapter === ADAPTERS[0]),
  )
  assert.equal(
    await count('datanet=dn_law'),
    those(({ datanet }) => datanet === 'dn_law'),
  )
  assert.equal(await count('datanet=dn_none'), 0)
  assert.equal(
    await count('paid_for=citation'),
    those(({ paidFor }) => paidFor === 'citation'),
  )
  assert.equal(await count(`since=${1_790_000_000 + ANSWERS - 2}`), 5)
  assert.equal(await count(`payer=${address(9)}`), paid.length)
  for (const query of ['model=openledger-5m', 'after=nonsense', 'contributor=0x12', 'limit=0'])
    assert.equal((await edge.fetch(`/v1/attributions?${query}`)).status, 400, query)
})

for (const [board, of] of [
  ['contributors', ({ contributor }: Paid) => contributor],
  ['datanets', ({ datanet }: Paid) => datanet],
  ['records', ({ record }: Paid) => record],
  ['models', ({ adapter }: Paid) => (adapter === ZERO_HASH ? BASE : adapter)],
] as const)
  test(`the leaderboard of ${board} ranks by wei, and its sums are those of the payments`, async () => {
    const groups = Map.groupBy(paid, of)
    const expected = [...groups]
      .map(([subject, rows]) => ({
        subject,
        amount: rows.reduce((sum, { amount }) => sum + amount, 0n).toString(),
        answers: new Set(rows.map(({ request }) => request)).size,
        records: new Set(rows.map(({ record }) => record)).size,
      }))
      .toSorted(
        (a, b) => Number(BigInt(b.amount) - BigInt(a.amount)) || (a.subject < b.subject ? 1 : -1),
      )
    const ranked = await all(`/v1/leaderboards/${board}?since=0`, 2)
    assert.deepEqual(
      ranked.map((standing) => without(standing, ['object', 'id'])),
      expected,
    )
  })

type Graph = {
  nodes: { id: string; kind: string; name: string; amount: string }[]
  edges: { from: string; to: string; amount: string; answers: number }[]
  shown: string
  total: string
  answers: number
}

test('the graph leads every wei from a Datanet through data to a model', async () => {
  const total = paid.reduce((sum, { amount }) => sum + amount, 0n).toString()
  for (const level of ['contributors', 'records']) {
    const graph = await read<Graph>(`/v1/attributions/graph?level=${level}`)
    assert.deepEqual([graph.shown, graph.total, graph.answers], [total, total, ANSWERS])
    const sumOf = (kind: string) =>
      graph.nodes
        .filter((node) => node.kind === kind)
        .reduce((sum, { amount }) => sum + BigInt(amount), 0n)
        .toString()
    const data = level === 'records' ? 'record' : 'contributor'
    assert.deepEqual(['datanet', data, 'model'].map(sumOf), [total, total, total])
    const into = (id: string) =>
      graph.edges
        .filter(({ to }) => to === id)
        .reduce((sum, { amount }) => sum + BigInt(amount), 0n)
        .toString()
    for (const { id, kind, amount } of graph.nodes)
      if (kind !== 'datanet') assert.equal(into(id), amount, id)
    assert.ok(graph.nodes.some(({ id, name }) => id === 'dn_law' && name === 'Law'))
    for (const name of [`openledger-5m:${address(7)}/law`, 'openledger-5m'])
      assert.ok(graph.nodes.some((node) => node.name === name))
  }
})

test('a record is paid out of that of its Datanets which the receipt names', async () => {
  const { DB } = (await edge.worker.getEnv()) as unknown as Env
  const insert = (text: string, ...values: unknown[]) =>
    DB.prepare(text)
      .bind(...values)
      .run()
  const [shared, refused] = [keccak('given to two'), keccak('refused by one')]
  for (const [i, name] of ['a', 'b'].entries()) {
    await insert(
      `INSERT INTO contributions (id, datanet_id, account_id, contributor, sha256, bytes, content_type, metadata, status,
         created_at) VALUES (?, ?, 'acct', ?, '0x', 1, 'text/plain', '{}', 'anchored', 1)`,
      `ctr_${name}`,
      `dn_${name}`,
      address(1),
    )
    await insert(
      `INSERT INTO versions (id, datanet_id, number, status, root, created_at) VALUES (?, ?, 1, 'published', ?, 1)`,
      `dnv_${name}`,
      `dn_${name}`,
      keccak(name),
    )
    for (const [row, record] of [shared, refused].entries())
      await insert(
        `INSERT INTO records (contribution_id, row, verdict, novelty, reasons, record_hash)
         VALUES (?, ?, ?, 10000, '[]', ?)`,
        `ctr_${name}`,
        row,
        record === refused && i === 0 ? 'rejected' : 'accepted',
        record,
      )
  }
  const receipt = {
    datanets: [keccak('a'), keccak('b')],
    rows: [{ record: shared }, { record: refused }],
    citations: [{ record: shared, datanet: keccak('b') }],
  }
  const datanetOf = await datanetsOf({ DB }, [{ receipt }] as unknown as SignedReceipt[])
  assert.equal(datanetOf(shared, [keccak('a')]), 'dn_a')
  assert.equal(datanetOf(shared, [keccak('b')]), 'dn_b')
  assert.equal(datanetOf(refused, receipt.datanets), 'dn_b')
  assert.equal(datanetOf(refused, [keccak('a')]), null)
  assert.equal(datanetOf(shared, [keccak('c')]), null)
})
