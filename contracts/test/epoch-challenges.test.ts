import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import {
  answerDemand,
  challengeCredit,
  challengeCredits,
  challengeDraws,
  challengePayouts,
  challengeReplay,
  challengeShares,
  challengeTotal,
  demand,
  type DemandKind,
} from '#protocol/challenge.ts'
import { PART, type EpochFile } from '#protocol/epoch.ts'
import { creditsTree } from '#protocol/ledgers.ts'
import {
  creditGap,
  creditGapAfter,
  partEvidence,
  payoutGap,
  payoutGapAfter,
  receiptEvidence,
} from '#protocol/proof.ts'
import {
  challenger,
  contributor,
  fairReceipt,
  operator,
  payer,
  validator,
  values,
  worker,
} from './dispute.ts'
import { startChallenging, refused, withRow } from './challenging.ts'

const { it, world, honest, pair, challenge, challengeEpoch, lastDemand, placeOf } =
  await startChallenging()
after(() => it.stop())

test('an honest epoch stands every challenge of its sums', () =>
  it.aside(async () => {
    const first = it.build(pair())
    await it.submit(first)
    const second = it.build([fairReceipt(world, 'd')], first)
    await it.submit(second)
    for (const [file, before] of [
      [first, null],
      [second, first],
    ] as const) {
      const credits = creditsTree(file).leaves
      for (const index of [0, 1, 5, credits.length - 1])
        await refused(challenge(challengeCredits(file, before, index)))
      for (const account of [...file.payouts.map((payout) => payout.account), contributor(98)])
        await refused(challenge(challengeTotal(file, before, account)))
      for (let i = 1; i < file.payouts.length; i++)
        await refused(challenge(challengePayouts(file, i)))
      for (let i = 0; i <= file.receipts.length; i++)
        await refused(challenge(challengeDraws(file, i, file.draws)))
      for (const index of [0, 4]) {
        const credit = credits[index]!
        if (credit.receipt >= file.receipts.length) continue
        const proof = creditGap(file, index).rightProof
        await refused(challenge(challengeCredit(file, index)))
        await refused(
          challengeEpoch('challengeStrayCredit', [BigInt(file.epoch), index, credit, proof]),
        )
      }
    }
    await refused(
      challenge(challengeReplay({ file: second, receipt: 0 }, { file: first, receipt: 0 })),
    )
  }))

test('a payout that is not the credits’ sum, with or without credits, is proven wrong', async () => {
  const first = it.build(pair())
  const file = it.build([fairReceipt(world, 'd', { skip: [placeOf(honest, 1)] })], first)
  const credited = new Set(creditsTree(file).leaves.map(({ account }) => account))
  const idle = file.payouts.findIndex(({ account }) => !credited.has(account))
  for (const at of [file.payouts.findIndex(({ account }) => credited.has(account)), idle]) {
    if (at < 0) continue
    const raised: EpochFile = {
      ...file,
      payouts: file.payouts.map((payout, i) =>
        i === at ? { ...payout, amount: payout.amount + 1n } : payout,
      ),
    }
    const { account } = raised.payouts[at]!
    await it.aside(async () => {
      await it.submit(first)
      await it.submit(file, { payouts: raised })
      await challengeEpoch('challengeTotal', [
        2n,
        account,
        creditGapAfter(file, account),
        payoutGapAfter(raised, account),
        payoutGapAfter(first, account),
      ])
      await it.assertSlashed(2)
    })
    // The same payout behind credits that add up to it: then the first credit does not follow.
    if (credited.has(account))
      await it.aside(async () => {
        await it.submit(first)
        await it.submit(file, { payouts: raised, credits: raised })
        const index = creditsTree(raised).leaves.findIndex((leaf) => leaf.account === account)
        await challenge(challengeCredits(raised, first, index))
        await it.assertSlashed(2)
      })
  }
  const reversed = { ...file, payouts: file.payouts.toReversed() }
  await it.aside(async () => {
    await it.submit(first)
    await it.submit(file, { payouts: reversed })
    await challenge(challengePayouts(reversed, 1))
    await it.assertSlashed(2)
  })
})

test('a credit that is wrong, missing or of no receipt is proven', async () => {
  const receipts = pair()
  const file = it.build(receipts)
  const paid = file.receipts[0]!.receipt
  const robbed = it.build(
    file.receipts.map(({ receipt }, i) =>
      i === 0 ? withRow(receipt, 0, { contributor: contributor(99) }) : receipt,
    ),
  )
  const credits = creditsTree(robbed)
  const wrong = credits.leaves.findIndex(({ account }) => account === contributor(99))
  await it.aside(async () => {
    await it.submit(file, { credits: robbed })
    await challengeEpoch('challengeCredit', [
      receiptEvidence(file, 0),
      partEvidence(paid, PART.rows),
      wrong,
      credits.leaves[wrong],
      credits.proof(wrong),
    ])
    await it.assertSlashed(1)
  })
  await it.aside(async () => {
    await it.submit(file, { credits: robbed })
    const { contributor: account } = paid.rows[0]!
    const index = credits.leaves.filter(
      (leaf) =>
        leaf.account < account ||
        (leaf.account === account && (leaf.receipt < 0 || (leaf.receipt === 0 && leaf.part < 3))),
    ).length
    await challengeEpoch('challengeMissingCredit', [
      receiptEvidence(file, 0),
      partEvidence(paid, PART.rows),
      PART.rows,
      creditGap(robbed, index),
    ])
    await it.assertSlashed(1)
  })
  await it.aside(async () => {
    const small = it.build(receipts.slice(0, 1))
    await it.submit(small, { credits: file })
    const all = creditsTree(file)
    const stray = all.leaves.findIndex(({ receipt }) => receipt === 1)
    await challengeEpoch('challengeStrayCredit', [1n, stray, all.leaves[stray], all.proof(stray)])
    await it.assertSlashed(1)
  })
})

test('receipts out of order, a wrong draw and a request settled twice are proven', async () => {
  const file = it.build(pair())
  await it.aside(async () => {
    const reversed = { ...file, receipts: file.receipts.toReversed() }
    await it.submit(reversed)
    await challenge(challengeDraws(reversed, 1, []))
    await it.assertSlashed(1)
  })
  const [one, two] = file.draws
  const shifted = [
    { ...one!, amount: one!.amount - 1n },
    { ...two!, amount: two!.amount + 1n },
  ]
  const border = file.receipts.findIndex(
    ({ receipt }, i) => i > 0 && receipt.payer !== file.receipts[i - 1]!.receipt.payer,
  )
  for (const index of [border, file.receipts.length])
    await it.aside(async () => {
      await it.submit(file, { draws: shifted })
      await challenge(challengeDraws(file, index, shifted))
      await it.assertSlashed(1)
    })
  await it.aside(async () => {
    await it.submit(file)
    const again = it.build([file.receipts[0]!.receipt], file)
    await it.submit(again)
    await challenge(challengeReplay({ file: again, receipt: 0 }, { file, receipt: 0 }))
    await it.assertSlashed(2)
    assert.equal(await it.read('attributionSettlement', 'lastEpoch'), 1n)
  })
})

test('who does not reveal what was demanded in time loses; who reveals gets the bond', async () => {
  const bond = values['challenge.bond']
  const file = it.build([honest], null, world.query)
  const demandOf = (kind: DemandKind, index: number, position = 0, wei = bond) =>
    challenge(demand(1, { kind, index, position }, wei))
  await it.aside(async () => {
    await it.submit(file)
    await refused(demandOf('receipt', 1), /OutOfRange/)
    await refused(demandOf('receipt', 0, 0, bond - 1n), /WrongValue/)
    await refused(demandOf('receipt', 0), /TooLate/) // the window is shorter than twice the answer time
  })
  await it.aside(async () => {
    await it.govern('challenge.answerTime', 400n)
    await it.submit(file)
    await demandOf('receipt', 0)
    await refused(demandOf('receipt', 0), /DemandExists/)
    for (const [kind, index, position] of [
      ['receipt', 0, 0],
      ['credit', 0, 0],
      ['payout', 1, 0],
      ['indexRow', 0, 1],
      ['indexRow', 0, 99], // the receipt has no such row, which is shown too
    ] as const) {
      if (kind !== 'receipt') await demandOf(kind, index, position)
      const answer = answerDemand(
        await lastDemand(),
        { kind, index, position },
        { file, rows: world.rows },
      )
      await it.send(operator, answer.contract, answer.functionName, answer.args)
    }
    assert.equal(await it.read('epochChallenges', 'owed', [operator.address]), 5n * bond)
    await demandOf('receipt', 0)
    const unanswered = await lastDemand()
    await refused(challengeEpoch('resolve', [unanswered]), /TooEarly/)
    await it.client.increaseTime({ seconds: 401 })
    await it.client.mine({ blocks: 1 })
    await challengeEpoch('resolve', [unanswered])
    await it.assertSlashed(1)
    const before = await it.client.getBalance({ address: contributor(97) })
    await it.send(challenger, 'epochChallenges', 'withdrawOwed', [contributor(97)])
    await it.send(challenger, 'attributionSettlement', 'withdrawOwed', [contributor(97)])
    assert.equal(
      (await it.client.getBalance({ address: contributor(97) })) - before,
      bond + values['settlement.bond'] / 2n,
    )
  })
})

test('after a fault the payers are refunded and the corrected epoch pays', () =>
  it.aside(async () => {
    const wrong = { ...honest, unattributed: honest.unattributed + 1n }
    const file = it.build([wrong])
    await it.submit(file)
    await challenge(challengeShares({ file, receipt: 0 }))
    await it.send(payer, 'attributionSettlement', 'refund', [1n, file.draws])
    await refused(it.submit(it.build([honest])), /BondTooLow/)
    await it.send(
      operator,
      'attributionSettlement',
      'bond',
      [operator.address],
      values['settlement.bond'],
    )
    const right = it.build([honest])
    await it.submit(right)
    await it.client.increaseTime({ seconds: 1_001 })
    await it.client.mine({ blocks: 1 })
    for (const [i, { account, amount }] of right.payouts.entries()) {
      const proof = payoutGap(right, i).rightProof
      await it.send(payer, 'attributionSettlement', 'claim', [
        account,
        amount,
        1n,
        BigInt(i),
        proof,
      ])
    }
    assert.equal(
      await it.read('attributionSettlement', 'claimedTotal'),
      right.draws.reduce((sum, draw) => sum + draw.amount, 0n),
    )
  }))

test('most of the stake disables an epoch that it rejects, within the window alone', () =>
  it.aside(async () => {
    for (const [who, wei] of [
      [validator, 3n],
      [worker, 2n],
    ] as const)
      await it.send(who, 'validatorStaking', 'stake', [who.address], wei * 10n ** 18n)
    const file = it.build([honest])
    await it.submit(file)
    // Stake that is younger than the window does not count.
    await refused(
      it.send(validator, 'validatorStaking', 'reject', [1n, 'late']),
      /InsufficientStake/,
    )
    await it.client.increaseTime({ seconds: 1_001 })
    await it.client.mine({ blocks: 1 })
    const next = it.build([fairReceipt(world, 'next')], file)
    await it.submit(next)
    await it.send(worker, 'validatorStaking', 'reject', [2n, 'gradient'])
    assert.equal(await it.read('attributionSettlement', 'statusOf', [2n]), 1)
    await it.send(validator, 'validatorStaking', 'reject', [2n, 'gradient'])
    assert.equal(await it.read('attributionSettlement', 'statusOf', [2n]), 3)
    const { bond } = (await it.read('attributionSettlement', 'submitterOf', [
      operator.address,
    ])) as { bond: bigint }
    assert.equal(bond, values['settlement.bond'], 'nobody is slashed for it')
  }))
