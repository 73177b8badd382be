import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import postgres from 'postgres'
import { keccak, sha256Hex, type Hex } from '#protocol/bytes.ts'
import { buildEpoch, type EpochFile } from '#protocol/epoch.ts'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { receiptOf, testParameters } from '../testing/receipts.ts'
import { ledgerState, postEpoch } from './ledger.ts'

let server: Postgres
let sql: postgres.Sql
before(async () => {
  server = await startPostgres()
  sql = postgres(server.url, { max: 2, fetch_types: false, onnotice: () => undefined })
})
after(async () => {
  await sql?.end({ timeout: 1 })
  await server?.stop()
})

const address = (n: number): Hex => `0x${n.toString(16).padStart(40, '0')}`
const settled = { txHash: keccak('tx'), dataHash: keccak('data') }
const presence = { root: keccak('root'), clusters: [{ contributor: address(5), count: 3 }] }

function epochOf(epoch: number, requests: string[], previous = new Map<Hex, bigint>()): EpochFile {
  const receipts = requests.map((request, i) => ({
    receipt: receiptOf(
      {
        requestId: keccak(request),
        payer: address(1 + (i % 2)),
        base: sha256Hex('base'),
        modelOwner: address(3),
        pricePerToken: 10n ** 12n,
        promptTokens: 7 + i,
        completionTokens: 3,
        output: request,
        values: testParameters(),
        adapter: {
          digest: sha256Hex('adapter'),
          indexRoot: keccak('index'),
          datanets: [presence.root],
          paid: [
            { cluster: keccak('a'), record: keccak('a1'), contributor: address(4) },
            { cluster: keccak('b'), record: keccak('b1'), contributor: address(5) },
          ],
        },
      },
      address(9),
    ),
    signature: `0x${'00'.repeat(65)}` as Hex,
    query: '',
  }))
  return buildEpoch(previous, {
    chainId: 901612,
    settlement: address(8),
    epoch,
    treasuries: { platform: address(6), stakers: address(7) },
    receipts,
    presence: [presence],
  })
}

const payoutsOf = ({ payouts }: EpochFile) =>
  payouts.map(({ account, amount }) => ({ account, amount }))

test('posted epochs add up to the payouts of the epoch file, to the wei', async () => {
  const first = epochOf(1, ['one', 'two', 'three'])
  assert.equal(await postEpoch(sql, first, settled), true)
  assert.deepEqual((await ledgerState(sql)).earners, payoutsOf(first))
  const second = epochOf(
    2,
    ['four'],
    new Map(first.payouts.map(({ account, amount }) => [account, amount])),
  )
  assert.equal(await postEpoch(sql, second, settled), true)
  const state = await ledgerState(sql)
  assert.deepEqual(state.earners, payoutsOf(second))
  assert.deepEqual([state.epoch, state.epochs], [2, 2])
  const drawn = [...first.draws, ...second.draws].reduce((sum, draw) => sum + draw.amount, 0n)
  assert.deepEqual([state.drawn, state.credited], [drawn, drawn])
  const [counts] = await sql`SELECT (SELECT count(*)::int FROM settled_receipt) AS receipts,
    (SELECT count(*)::int FROM paid_record) AS records`
  assert.deepEqual({ ...counts }, { receipts: 4, records: 8 })
})

test('posting an epoch again changes nothing', async () => {
  const before = await ledgerState(sql)
  assert.equal(await postEpoch(sql, epochOf(1, ['one', 'two', 'three']), settled), false)
  assert.deepEqual(await ledgerState(sql), before)
})

test('an epoch that does not add up is not posted, nor any part of it', async () => {
  const before = await ledgerState(sql)
  const honest = epochOf(3, ['five'])
  const forged = {
    ...honest,
    draws: honest.draws.map((draw) => ({ ...draw, amount: draw.amount - 1n })),
  }
  await assert.rejects(postEpoch(sql, forged, settled), /epoch 3 is off by 1 wei/)
  assert.deepEqual(await ledgerState(sql), before)
  const [left] = await sql`SELECT count(*)::int AS n FROM settled_receipt WHERE epoch = 3`
  assert.equal(left?.['n'], 0)
})

test('what is posted can neither be changed, deleted nor added to', async () => {
  await sql`INSERT INTO ledger_account (kind, address) VALUES ('earner', ${address(99)})`
  for (const statement of [
    'UPDATE ledger_entry SET amount = amount + 1',
    'DELETE FROM ledger_entry',
    'TRUNCATE ledger_entry',
    'UPDATE ledger_transaction SET natural_key = natural_key || natural_key',
    `INSERT INTO ledger_entry (transaction_id, account_id, amount)
     SELECT 1, id, 1 FROM ledger_account WHERE address = '${address(99)}'`,
  ])
    await assert.rejects(sql.unsafe(statement), /append only/, statement)
})

test('of two postings at the same time one wins', async () => {
  const epoch = epochOf(4, ['six', 'seven'])
  const won = await Promise.all([postEpoch(sql, epoch, settled), postEpoch(sql, epoch, settled)])
  assert.deepEqual(won.toSorted(), [false, true])
})
