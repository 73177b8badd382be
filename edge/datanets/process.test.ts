import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { sha256Hex, type Hex } from '#protocol/bytes.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import {
  CLAUSES,
  contribute,
  contributeRecords,
  contributionIn,
  createDatanet,
} from '../testing/datanets.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'
import { DEFAULT_PROFILE } from './pipeline/profile.ts'
import { pipelineHash } from './pipeline/pipeline.ts'

let edge: Edge
let owner: SignedIn
let other: SignedIn
before(async () => {
  edge = await startEdge()
  owner = await signIn(edge)
  other = await signIn(edge)
})
after(() => edge.harness.close())

// Windows of 13 words are compared across Datanets, so every test has clauses of its own.

type Verdict = {
  row: number
  record: Hex | null
  cluster: Hex | null
  verdict: string
  novelty: number
  reasons: string[]
  detail: string | null
  evidence: { duplicate_of: Hex; measure: string; same_contributor: boolean } | null
}

async function verdicts(id: string, query = 'limit=100'): Promise<Verdict[]> {
  const path = `/v1/contributions/${id}/records?${query}`
  const response = await edge.fetch(path, { headers: owner.headers })
  return ((await response.json()) as { data: Verdict[] }).data
}

type Bindings = {
  CONTRIBUTIONS: { send: (body: object) => Promise<unknown> }
  BLOBS: { head: (key: string) => Promise<object | null> }
  DB: { prepare: (sql: string) => { all: () => Promise<{ results: unknown[] }> } }
}
const bindings = async () => (await edge.worker.getEnv()) as Bindings

test('every row gets a verdict, and the accepted ones a Merkle root', async () => {
  const datanet = await createDatanet(edge, owner)
  const records = [...CLAUSES.slice(0, 3), { nothing: 'here' }, { text: 'Too short.' }]
  const view = await contributeRecords(edge, owner, datanet, records)
  assert.equal(view.status, 'needs_anchor')
  assert.deepEqual(
    [view.counts['rows'], view.counts['accepted'], view.counts['rejected']],
    [5, 3, 2],
  )
  assert.deepEqual(view.counts.reasons, { SCHEMA_MISMATCH: 1, TOO_SHORT: 1 })
  assert.equal(view.pipeline_hash, pipelineHash(DEFAULT_PROFILE))

  const rows = await verdicts(view.id)
  assert.deepEqual(
    rows.map((row) => [row.row, row.verdict, row.reasons]),
    [
      [1, 'accepted', []],
      [2, 'accepted', []],
      [3, 'accepted', []],
      [4, 'rejected', ['SCHEMA_MISMATCH']],
      [5, 'rejected', ['TOO_SHORT']],
    ],
  )
  const leaves = rows.flatMap((row) =>
    row.verdict === 'accepted'
      ? [leafHash('record', [row.record, row.cluster, owner.address])]
      : [],
  )
  assert.equal(view.batch?.root, merkleTree(leaves).root)
  assert.equal(view.batch?.records, 3)
  assert.deepEqual(
    (await verdicts(view.id, 'verdict=rejected&after=4')).map((row) => row.row),
    [5],
  )
})

test('duplicates are found across contributions and contributors, with evidence', async () => {
  const datanet = await createDatanet(edge, owner)
  const first = await contributeRecords(edge, owner, datanet, CLAUSES)
  assert.equal(first.counts['accepted'], CLAUSES.length)
  const originals = await verdicts(first.id)
  const shouted = { text: CLAUSES[1]!.text.toUpperCase() }
  const second = await contributeRecords(edge, other, datanet, [CLAUSES[0]!, shouted])
  assert.equal(second.status, 'rejected')
  assert.deepEqual(second.errors, [{ detail: 'No record was accepted.' }])
  const [exact, normalized] = await verdicts(second.id)
  assert.deepEqual(exact?.reasons, ['DUPLICATE_EXACT'])
  assert.equal(exact?.evidence?.duplicate_of, originals[0]?.record)
  assert.equal(exact?.evidence?.same_contributor, false)
  assert.equal(normalized?.evidence?.duplicate_of, originals[1]?.record)
  assert.equal(normalized?.evidence?.measure, 'normalized')
})

test('near duplicates and contained passages are found through the index in D1', async () => {
  const datanet = await createDatanet(edge, owner)
  const long = CLAUSES.map((clause) => clause.text).join(' ')
  const first = await contributeRecords(edge, owner, datanet, [{ text: long }])
  const [original] = await verdicts(first.id)
  const near = { text: long.replace('thirty days', 'sixty days') }
  const copied = {
    text: `An introduction that only this record has comes before what it copied. ${long.slice(0, 380)}`,
  }
  const second = await contributeRecords(edge, other, datanet, [near, copied])
  const [nearVerdict, copiedVerdict] = await verdicts(second.id)
  assert.deepEqual(nearVerdict?.reasons, ['DUPLICATE_NEAR'])
  assert.equal(nearVerdict?.evidence?.duplicate_of, original?.record)
  assert.equal(nearVerdict?.cluster, original?.record)
  assert.equal(copiedVerdict?.evidence?.measure, 'containment')
  assert.ok(copiedVerdict!.novelty < 1)
})

test('the same text in another Datanet is no duplicate there', async () => {
  const [a, b] = [await createDatanet(edge, owner), await createDatanet(edge, owner)]
  const clause = { text: 'Short clauses are free of windows, so both Datanets may hold this one.' }
  assert.equal((await contributeRecords(edge, owner, a, [clause])).counts['accepted'], 1)
  assert.equal((await contributeRecords(edge, owner, b, [clause])).counts['accepted'], 1)
})

test('redelivered messages change nothing', async () => {
  const datanet = await createDatanet(edge, owner)
  const view = await contributeRecords(edge, owner, datanet, CLAUSES)
  const { CONTRIBUTIONS, DB } = await bindings()
  const dump = async () =>
    Promise.all(
      ['contributions', 'records', 'indexed_records', 'dedup_keys', 'dedup_bands', 'dedup_windows']
        .map((table) => DB.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all())
        .map(async (rows) => (await rows).results),
    )
  const before = await dump()
  const message = { type: 'contribution', id: view.id }
  await Promise.all([CONTRIBUTIONS.send(message), CONTRIBUTIONS.send(message)])
  // A later contribution is processed after both, because the queue has one consumer.
  const marker = await contributeRecords(edge, other, await createDatanet(edge, other), [
    { text: 'The marker says that the messages before it have been handled by now.' },
  ])
  const later = await dump()
  const ofMarker = (row: unknown) => JSON.stringify(row).includes(marker.id)
  assert.deepEqual(
    later[0]!.filter((row) => !ofMarker(row)),
    before[0],
  )
  assert.deepEqual(
    later[1]!.filter((row) => !ofMarker(row)),
    before[1],
  )
  assert.equal(later[2]!.length, before[2]!.length + 1)
})

test('the bytes and the records file are kept under their hashes, and the inbox is emptied', async () => {
  const datanet = await createDatanet(edge, owner)
  const body = JSON.stringify({ text: 'What was sent is kept as it was sent, under its own hash.' })
  const { id } = (await (await contribute(edge, owner, datanet, { body })).json()) as { id: string }
  const view = (await contributionIn(edge, owner, id, ['needs_anchor'])) as unknown as {
    records_file: Hex
  }
  const { BLOBS } = await bindings()
  assert.ok(await BLOBS.head(`sha256/${sha256Hex(body).slice(2)}`))
  assert.ok(await BLOBS.head(`sha256/${view.records_file.slice(2)}`))
  await eventually(async () => (await BLOBS.head(`inbox/${id}`)) === null)
})

test('CSV, JSON, text and Markdown become records', async () => {
  const datanet = await createDatanet(edge, owner, { schema: { text: 'clause_text' } })
  const sent = [
    ['text/csv', 'clause_text,kind\n"The tenant shall pay rent, monthly and in advance.",rent\n'],
    ['application/json', '[{"clause_text": "The buyer may inspect the goods on delivery."}]'],
    ['text/plain', 'All notices have to be in writing.\n\nSilence is not acceptance of an offer.'],
    ['text/markdown; charset=utf-8', '# Warranty\n\nThe seller warrants good title to the goods.'],
  ] as const
  for (const [contentType, body] of sent) {
    const response = await contribute(edge, owner, datanet, { body, contentType })
    assert.equal(response.status, 202, contentType)
    const { id } = (await response.json()) as { id: string }
    const view = await contributionIn(edge, owner, id, ['needs_anchor', 'rejected', 'failed'])
    assert.equal(view.status, 'needs_anchor', `${contentType}: ${JSON.stringify(view)}`)
  }
})

test('statistics count what happened', async () => {
  const datanet = await createDatanet(edge, owner)
  const clauses = ['rent', 'interest', 'taxes', 'wages'].map((what) => ({
    text: `Here the debtor promises to pay all ${what} on time.`,
  }))
  await contributeRecords(edge, owner, datanet, clauses)
  await contributeRecords(edge, other, datanet, [clauses[0]!])
  const response = await edge.fetch(`/v1/datanets/${datanet}`)
  const { statistics } = (await response.json()) as { statistics: Record<string, unknown> }
  assert.deepEqual(statistics, {
    contributions: { needs_anchor: 1, rejected: 1 },
    contributors: 0,
    records: { accepted: 4, anchored: 0, needs_review: 0, rejected: 1 },
    reasons: { DUPLICATE_EXACT: 1 },
  })
})

test('a thousand records fit through the limits of D1', async () => {
  const datanet = await createDatanet(edge, owner)
  const records = Array.from({ length: 1_000 }, (_, i) => ({
    text: `Section ${i}: the party of part ${i * 7919} shall pay ${i * 31} dollars to party ${i * 104729} without delay.`,
  }))
  const view = await contributeRecords(edge, owner, datanet, records)
  assert.equal(view.counts['rows'], 1_000)
  const { DB } = await bindings()
  const { results } = await DB.prepare(
    `SELECT count(*) AS n FROM records WHERE contribution_id = '${view.id}'`,
  ).all()
  assert.deepEqual(results, [{ n: 1_000 }])
})
