import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import postgres from 'postgres'
import { keccak, sha256Hex, type Hex } from '#protocol/bytes.ts'
import { buildEpoch, tallyOf, type EpochFile } from '#protocol/epoch.ts'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { receiptOf, testParameters } from '../testing/receipts.ts'
import type { ChainLog } from '../chain/logs.ts'
import { ledgerState } from './ledger-state.ts'
import { reverseAfter, snapshot } from './ledger.ts'
import { epochsOf, postLogs, type SettledEpoch } from './postings.ts'

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
        // Paid by score and for being quoted.
        citations: [
          {
            cluster: keccak('a'),
            record: keccak('a1'),
            contributor: address(4),
            datanet: presence.root,
          },
        ],
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

let logIndex = 0
/** A log as the index gives it. */
const logOf = (
  block: number,
  contract: ChainLog['contract'],
  event: string,
  args: Record<string, unknown>,
): ChainLog => ({
  block,
  blockHash: keccak(`block ${block}`),
  logIndex: logIndex++,
  txHash: keccak(`tx of ${block}`),
  contract,
  event,
  account: null,
  args,
})

/** What the contracts log when an epoch is submitted. */
const submitted = (block: number, file: EpochFile): ChainLog[] => [
  logOf(block, 'attributionSettlement', 'EpochSubmitted', {
    epoch: String(file.epoch),
    dataHash: keccak(`data ${file.epoch}`),
    commitment: '0x',
    total: totalOf(file).toString(),
  }),
  ...file.draws.map(({ payer, amount }) =>
    logOf(block, 'inferenceVault', 'Drawn', {
      payer,
      epoch: String(file.epoch),
      amount: amount.toString(),
    }),
  ),
]

const sumOf = (rows: readonly { amount: bigint }[]) =>
  rows.reduce((sum, { amount }) => sum + amount, 0n).toString()
const totalOf = ({ draws }: EpochFile) => draws.reduce((sum, { amount }) => sum + amount, 0n)
const payoutsOf = ({ payouts }: EpochFile) =>
  payouts.map(({ account, amount }) => ({ account, amount }))
/** An epoch whose receipts come one at a time. */
const settled = (file: EpochFile): SettledEpoch => ({
  credits: new Map([...tallyOf(file).earned].map(([account, { wei }]) => [account, wei])),
  async *receipts() {
    for (const receipt of file.receipts) yield { receipts: [receipt], datanetOf: () => 'dn_1' }
  },
})
const postAll = (logs: ChainLog[], file: EpochFile) =>
  sql.begin(async (tx) => postLogs(tx, logs, await epochsOf(logs, async () => settled(file))))

const first = epochOf(1, ['one', 'two', 'three'])
const firstLogs = submitted(10, first)
const second = epochOf(2, ['four'], new Map(first.payouts.map((p) => [p.account, p.amount])))

test('posted epochs add up to the payouts that an epoch publishes, to the wei', async () => {
  await postAll(firstLogs, first)
  assert.deepEqual((await snapshot(sql, ledgerState)).earners, payoutsOf(first))
  await postAll(submitted(11, second), second)
  const state = await snapshot(sql, ledgerState)
  assert.deepEqual(state.earners, payoutsOf(second))
  assert.deepEqual([state.epoch, state.epochs], [2, 2])
  const drawn = totalOf(first) + totalOf(second)
  assert.deepEqual([state.drawn, state.credited, state.fees], [drawn, drawn, drawn])
  const [counts] = await sql`SELECT (SELECT count(*)::int FROM settled_receipt) AS receipts,
    (SELECT count(*)::int FROM paid_record) AS records`
  assert.deepEqual({ ...counts }, { receipts: 4, records: 12 })
  const receipts = [...first.receipts, ...second.receipts].map(({ receipt }) => receipt)
  const sums = await sql`SELECT paid_for, datanet, sum(amount)::text AS amount FROM paid_record
    GROUP BY paid_for, datanet ORDER BY paid_for`
  assert.deepEqual(
    sums.map((row) => ({ ...row })),
    [
      {
        paid_for: 'citation',
        datanet: 'dn_1',
        amount: sumOf(receipts.flatMap(({ citations }) => citations)),
      },
      { paid_for: 'score', datanet: 'dn_1', amount: sumOf(receipts.flatMap(({ rows }) => rows)) },
    ],
  )
})

test('posting a log again changes nothing', async () => {
  const before = await snapshot(sql, ledgerState)
  await postAll(firstLogs, first)
  assert.deepEqual(await snapshot(sql, ledgerState), before)
})

test('deposits, withdrawals and claims move wei between their accounts and the outside', async () => {
  const [payer, earner, outside] = [address(21), address(4), address(22)]
  await postAll(
    [
      logOf(12, 'inferenceVault', 'Deposited', { account: payer, from: outside, amount: '100' }),
      logOf(12, 'inferenceVault', 'Withdrawn', { account: payer, to: payer, amount: '30' }),
      logOf(12, 'attributionSettlement', 'Claimed', {
        account: earner,
        to: outside,
        epoch: '1',
        amount: '7',
      }),
    ],
    first,
  )
  const state = await snapshot(sql, ledgerState)
  assert.equal(state.payers.find(({ account }) => account === payer)?.amount, 70n)
  assert.deepEqual(state.claims, [{ account: earner, amount: 7n }])
})

test('receipts that do not pay what was drawn entitle nobody', async () => {
  const before = await snapshot(sql, ledgerState)
  const file = epochOf(3, ['five'])
  const forged = { ...file, draws: file.draws.map((d) => ({ ...d, amount: d.amount - 1n })) }
  await postAll(submitted(13, forged), file)
  const state = await snapshot(sql, ledgerState)
  assert.deepEqual(state.earners, before.earners)
  assert.equal(state.disputed, totalOf(forged))
  await sql.begin((tx) => reverseAfter(tx, 12))
  assert.deepEqual(await snapshot(sql, ledgerState), before)
})

test('a disabled epoch gives nothing to its earners and, once refunded, everything back to its payers', async () => {
  const before = await snapshot(sql, ledgerState)
  const file = epochOf(
    3,
    ['six', 'seven'],
    new Map(second.payouts.map((p) => [p.account, p.amount])),
  )
  const total = totalOf(file)
  await postAll(submitted(13, file), file)
  const disabled = logOf(14, 'attributionSettlement', 'EpochsDisabled', { first: '3', last: '3' })
  await postAll([disabled], file)
  const open = await snapshot(sql, ledgerState)
  assert.deepEqual([open.epochs, open.disputed, open.drawn], [2, total, before.drawn])
  assert.deepEqual(open.earners, before.earners)
  await postAll(
    [
      logOf(15, 'attributionSettlement', 'EpochRefunded', { epoch: '3', total: total.toString() }),
      ...file.draws.map(({ payer, amount }) =>
        logOf(15, 'inferenceVault', 'Restored', { payer, epoch: '3', amount: amount.toString() }),
      ),
    ],
    file,
  )
  assert.deepEqual(await snapshot(sql, ledgerState), before)
  await postAll(submitted(16, file), file)
  assert.deepEqual(
    (await snapshot(sql, ledgerState)).earners,
    payoutsOf(file),
    'its number is used again',
  )
})

test('what a reorg took off the chain is reversed, and counts again when it is mined again', async () => {
  const before = await snapshot(sql, ledgerState)
  await sql.begin((tx) => reverseAfter(tx, 10))
  const after = await snapshot(sql, ledgerState)
  assert.deepEqual(after.earners, payoutsOf(first))
  assert.deepEqual([after.epochs, after.fees], [1, totalOf(first)])
  await sql.begin((tx) => reverseAfter(tx, 10))
  assert.deepEqual(await snapshot(sql, ledgerState), after, 'reversing twice is the same as once')
  assert.notDeepEqual(after, before)
})

test('postgres refuses what does not sum to zero, and every part of it', async () => {
  const before = await snapshot(sql, ledgerState)
  const logs = submitted(20, epochOf(2, ['eight']))
  await assert.rejects(postAll(logs.slice(0, -1), epochOf(2, ['eight'])), /is off by \d+ wei/)
  assert.deepEqual(await snapshot(sql, ledgerState), before)
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
  const file = epochOf(2, ['nine'])
  const logs = submitted(21, file)
  await Promise.all([postAll(logs, file), postAll(logs, file)])
  assert.equal((await snapshot(sql, ledgerState)).epochs, 2)
})
