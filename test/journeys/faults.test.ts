import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { devAccount } from '../../contracts/test/anvil.ts'
import { receiptChallengesAbi } from '#contracts/receipt-challenges.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { challengeOmission } from '#protocol/challenge.ts'
import { tallyOf, type EpochFile } from '#protocol/epoch.ts'
import type { Receipt, SignedReceipt } from '#protocol/receipt.ts'
import { isSignificant } from '#protocol/score.ts'
import {
  ANSWER_SECONDS,
  CONTRIBUTORS,
  startSettlement,
  WINDOW_SECONDS,
  type Settlement,
} from '../support/settlement.ts'
import type { Scored } from '../support/synthetic.ts'

/**
 * A dishonest worker or settler against the real contracts, and the real `openledger watch` that looks on. One chain, one
 * state of the watcher: each fault is in the next epoch, and whatever it was, its honest receipts are settled again under the
 * same number and pay.
 */

const validator = devAccount(5)
const STRANGER: Hex = `0x${'5a'.repeat(20)}`
const DISABLED = 3
/** Longer than files and edges may be away before they are demanded. */
const GRACE_SECONDS = 600n

let it: Settlement
before(async () => {
  it = await startSettlement()
})
after(() => it?.stop())

const watch = (...args: string[]) => it.watch(validator.key, ...args)
const balance = () => it.chain.client.getBalance({ address: validator.address })

/** The watcher takes the submitter's bond with one of these functions, and is paid half of it. */
async function assertCaught(epoch: number, actions: string[]): Promise<void> {
  const before = await balance()
  const { outcomes } = await watch()
  assertWon(outcomes, actions)
  await assertGone(epoch, before)
}

function assertWon(
  outcomes: { action: string; status: string; reward: string }[],
  actions: string[],
) {
  const [won] = outcomes
  assert.ok(
    won && actions.includes(won.action),
    `${JSON.stringify(outcomes)}, not ${actions.join()}`,
  )
  assert.equal(won.status, 'sent')
  assert.equal(BigInt(won.reward), it.values['settlement.bond'] / 2n)
}

async function assertGone(epoch: number, before: bigint): Promise<void> {
  assert.equal(await it.statusOf(epoch), DISABLED)
  assert.equal(await it.bond(), 0n)
  const won = (await balance()) - before
  const reward = it.values['settlement.bond'] / 2n
  assert.ok(won > (reward * 9n) / 10n && won < reward, `${won} wei came, less gas`)
}

/** What was done about faults: bonds of earlier demands and what was won before may come back in any round. */
const actionsOf = (outcomes: readonly { action: string }[]): string[] =>
  outcomes
    .map(({ action }) => action)
    .filter((action) => !['reclaim', 'withdrawOwed'].includes(action))

/** The epoch's payers get their wei back, and its number pays honest receipts. */
async function assertHonestPaid(epoch: number, receipts: SignedReceipt[]): Promise<void> {
  await it.refund(epoch)
  await it.bondAgain()
  const file = await it.submit(receipts)
  assert.equal(file.epoch, epoch)
  const { reports, outcomes } = await watch()
  assert.deepEqual(
    reports.map(({ findings }) => findings),
    [[]],
  )
  assert.deepEqual(actionsOf(outcomes), [])
  await it.passTime(WINDOW_SECONDS)
  const { earned } = tallyOf(file)
  const [first] = CONTRIBUTORS.filter((account) => earned.has(account))
  assert.equal(await it.claim(epoch, first!), earned.get(first!)?.wei)
}

const lastEpoch = () => Math.max(0, ...it.epochs.keys())

/** Accounts claim cumulative amounts once per test; what an earlier epoch left unclaimed is claimed first. */
async function claimAll(): Promise<void> {
  const epoch = lastEpoch()
  if (epoch === 0) return
  for (const account of CONTRIBUTORS) await it.claim(epoch, account).catch(() => 0n)
}

type Lie = Parameters<Settlement['call']>[0]
const ofReceipt = (tamper: (receipt: Receipt) => Receipt): Lie => ({ tamper })
const ofScores = (tamperScores: (scored: Scored[]) => Scored[]): Lie => ({ tamperScores })
const strongest = (scored: readonly Scored[]): Scored =>
  scored.toSorted((a, b) => Number(b.influence - a.influence))[0]!
const firstRow = (receipt: Receipt, change: Partial<Receipt['rows'][number]>): Receipt => ({
  ...receipt,
  rows: receipt.rows.map((row, i) => (i === 0 ? { ...row, ...change } : row)),
})

test('an honest epoch has nothing to be found, and a second look does nothing', async () => {
  await it.submit([await it.call(), await it.call()])
  const { status, reports, outcomes } = await watch()
  assert.deepEqual(
    reports.map(({ findings }) => findings),
    [[]],
  )
  assert.deepEqual([status, outcomes], [0, []])
  assert.deepEqual((await watch()).reports, [])
  await it.passTime(WINDOW_SECONDS)
})

const workerLies: [string, Lie, string[]][] = [
  [
    'an inflated score, with shares that follow from it,',
    ofScores((scored) =>
      scored.map((one) =>
        one === strongest(scored) ? { ...one, influence: one.influence * 2n } : one,
      ),
    ),
    ['challengeScore'],
  ],
  [
    'a record of somebody else’s name',
    ofScores((scored) =>
      scored.map((one) => (one === strongest(scored) ? { ...one, contributor: STRANGER } : one)),
    ),
    ['challengeScore'],
  ],
  [
    'a span that is not in the record',
    ofReceipt((receipt) => ({
      ...receipt,
      rows: receipt.rows.map((row) => ({
        ...row,
        spans: row.spans.map((span) => ({ ...span, recordStart: span.recordStart + 1 })),
      })),
    })),
    ['challengeSpan'],
  ],
  [
    'an omitted record',
    ofScores((scored) => scored.filter((one) => one !== strongest(scored))),
    ['challengeOmission'],
  ],
  [
    'a wei moved from a contributor',
    ofReceipt((receipt) => ({
      ...firstRow(receipt, { amount: receipt.rows[0]!.amount - 1n }),
      unattributed: receipt.unattributed + 1n,
    })),
    ['challengeShares'],
  ],
  [
    'a floor that hides records',
    ofReceipt((receipt) => ({ ...receipt, floor: receipt.floor + 1n })),
    ['challengeListing'],
  ],
  [
    'the owner of another model',
    ofReceipt((receipt) => ({ ...receipt, modelOwner: STRANGER })),
    ['challengeModel'],
  ],
  [
    'a model that is not registered',
    ofReceipt((receipt) => ({ ...receipt, adapter: keccak('no such adapter') })),
    ['challengeModel'],
  ],
]

for (const [what, lie, actions] of workerLies)
  test(`${what} costs the submitter its bond`, async () => {
    await claimAll()
    const honest = await it.call()
    const { epoch } = await it.submit([honest, await it.call(lie)])
    await assertCaught(epoch, actions)
    await assertHonestPaid(epoch, [honest])
  })

test('two receipts for one request cost the worker its stake too', async () => {
  await claimAll()
  const stake = it.values['staking.minimum']
  assert.equal(await it.stakeOf(it.worker.address), stake)
  const [honest, once] = [await it.call(), await it.call()]
  const twice = await it.call(
    ofReceipt((receipt) => ({ ...receipt, requestId: once.receipt.requestId })),
  )
  const { epoch } = await it.submit([honest, once, twice])
  const { outcomes } = await watch()
  assert.deepEqual(
    outcomes.slice(0, 2).map(({ action, status, reward }) => [action, status, BigInt(reward)]),
    [
      ['challengeDraws', 'sent', it.values['settlement.bond'] / 2n],
      ['challengeEquivocation', 'sent', stake / 2n],
    ],
  )
  assert.equal(await it.stakeOf(it.worker.address), 0n)
  assert.equal(await it.statusOf(epoch), DISABLED)
  await assertHonestPaid(epoch, [honest])
  await it.stake(it.worker.address, stake)
})

/** A receipt that leaves out the record with the most influence, and which that is. */
async function omitting(): Promise<{ receipt: SignedReceipt; record: Scored }> {
  let record: Scored | undefined
  const receipt = await it.call(
    ofScores((scored) => {
      record = strongest(scored)
      return scored.filter((one) => one !== record)
    }),
  )
  assert.ok(isSignificant(record!, it.values) && record!.influence > receipt.receipt.floor)
  return { receipt, record: record! }
}

test('a record that was taken back may be left out, and nobody is convicted for it', async () => {
  await claimAll()
  const { receipt, record } = await omitting()
  await it.logWithdrawal(record)
  await it.sendWithdrawal(record)
  const file = await it.submit([receipt, await it.call()])
  const { status, reports, outcomes } = await watch()
  assert.deepEqual(
    reports.map(({ findings }) => findings),
    [[]],
  )
  assert.deepEqual([status, actionsOf(outcomes)], [0, []])
  const { index } = it.adapter
  const row = index.rows.findIndex((one) => one.record === record.record)
  const at = file.receipts.findIndex((one) => one.receipt.requestId === receipt.receipt.requestId)
  const { args } = challengeOmission(
    { file, receipt: at },
    { rows: index.rows, row, vector: index.vectors.vector(row) },
  )
  const { receiptChallenges } = it.contracts
  await assert.rejects(
    it.write(validator.account, [
      receiptChallenges,
      receiptChallengesAbi,
      'challengeOmission',
      args,
    ]),
    /RecordRevoked/,
  )
  await it.passTime(WINDOW_SECONDS)
})

test('a withdrawal that nobody signed, or that comes after the epoch, costs the submitter its bond', async () => {
  await claimAll()
  const honest = await it.call()
  const { receipt, record } = await omitting()
  await it.logWithdrawal(record)
  const { epoch } = await it.submit([honest, receipt])
  await it.passTime(1n)
  await it.sendWithdrawal(record)
  await assertCaught(epoch, ['challengeOmission'])
  await assertHonestPaid(epoch, [await it.call()])
})

const changed = (file: EpochFile, account: Hex, wei: bigint): EpochFile['payouts'] => {
  const payouts = new Map(file.payouts.map((payout) => [payout.account, payout.amount]))
  payouts.set(account, (payouts.get(account) ?? 0n) + wei)
  return [...payouts]
    .map(([to, amount]) => ({ account: to, amount }))
    .toSorted((a, b) => (a.account < b.account ? -1 : 1))
}

const settlerLies: [string, (file: EpochFile) => EpochFile, string[]][] = [
  [
    'a payer that is drawn more than its receipts cost',
    (file) => ({
      ...file,
      draws: file.draws.map(({ payer, amount }) => ({ payer, amount: amount + 1n })),
    }),
    ['challengeDraws'],
  ],
  [
    'a payout of more than the credits',
    (file) => ({ ...file, payouts: changed(file, CONTRIBUTORS[0]!, 1n) }),
    ['challengeCredits', 'challengeTotal'],
  ],
  [
    'a payout to whom nothing is owed',
    (file) => ({ ...file, payouts: changed(file, STRANGER, 10n ** 15n) }),
    ['challengeTotal'],
  ],
  [
    'the platform’s part for somebody else',
    (file) => ({ ...file, treasuries: { ...file.treasuries, platform: STRANGER } }),
    ['challengeCredit', 'challengeCredits', 'challengeTotal'],
  ],
]

for (const [what, tamper, actions] of settlerLies)
  test(`${what} costs the submitter its bond`, async () => {
    await claimAll()
    const honest = await it.call()
    const { epoch } = await it.submit([honest], { tamper })
    await assertCaught(epoch, actions)
    await assertHonestPaid(epoch, [honest])
  })

test('a receipt that was settled before costs the submitter its bond', async () => {
  await claimAll()
  const { receipts } = it.epochs.get(lastEpoch())!
  const honest = await it.call()
  const { epoch } = await it.submit([honest, receipts[0]!])
  await assertCaught(epoch, ['challengeReplay'])
  await assertHonestPaid(epoch, [honest])
})

for (const [what, submit] of [
  ['an epoch that is withheld', (honest) => it.submit([honest], { keep: () => false })],
  [
    'an epoch of which a segment is withheld',
    (honest) => it.submit([honest], { keep: (kind) => kind !== 'receipts' }),
  ],
  [
    'an epoch whose manifest is none',
    (honest) => it.submit([honest], { manifestOf: () => Buffer.from('{"format":[[[[') }),
  ],
  [
    'a listed record that the index does not have',
    async () =>
      it.submit([
        await it.call(
          ofScores((scored) => [
            ...scored,
            { ...strongest(scored), record: keccak('made up'), cluster: keccak('made up') },
          ]),
        ),
      ]),
  ],
] satisfies [string, (honest: SignedReceipt) => Promise<EpochFile>][])
  test(`${what} has to be shown, or costs the submitter its bond`, async () => {
    await claimAll()
    const honest = await it.call()
    const { epoch } = await submit(honest)
    await it.passTime(GRACE_SECONDS)
    const before = await balance()
    const { outcomes } = await watch()
    assert.ok(outcomes.length > 0)
    assert.deepEqual([...new Set(actionsOf(outcomes))], ['demand'])
    await it.passTime(ANSWER_SECONDS)
    const later = await watch()
    const resolved = later.outcomes.filter(({ action }) => action !== 'demand')
    assertWon(resolved, ['resolve'])
    await assertGone(epoch, before)
    await assertHonestPaid(epoch, [honest])
  })

test('a worker that has nothing to lose signs no receipts: its epoch is for the stake to reject', async () => {
  const worker = privateKeyToAccount(generatePrivateKey())
  await it.submit([await it.call({ worker })])
  const { reports } = await watch()
  assert.deepEqual(
    reports.map(({ findings }) => findings.map(({ name, remedy }) => [name, remedy])),
    [[['worker', 'vote']]],
  )
})
