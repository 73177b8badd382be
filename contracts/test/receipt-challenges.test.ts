import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { keccak } from '#protocol/bytes.ts'
import {
  challengeCitations,
  challengeEquivocation,
  challengeListing,
  challengeOmission,
  challengeShares,
  type Call,
  type Disputed,
} from '#protocol/challenge.ts'
import { indexRowEvidence, receiptEvidence, rowEvidence } from '#protocol/proof.ts'
import type { Receipt, SignedReceipt } from '#protocol/receipt.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import {
  bytesOf,
  challenger,
  contributor,
  fairReceipt,
  scoreOf,
  values,
  worker,
} from './dispute.ts'
import { startChallenging, refused, withArg, withRow } from './challenging.ts'

const { it, world, honest, challenge, placeOf, indexed, scoreOfRow, spanOfRow, dispute } =
  await startChallenging()
after(() => it.stop())

test('an honest receipt stands every challenge', () =>
  dispute(honest, async (disputed) => {
    for (let position = 0; position < honest.rows.length; position++) {
      await refused(challenge(scoreOfRow(disputed, position)))
      await refused(challenge(challengeListing(disputed, position)))
    }
    await refused(challenge(challengeShares(disputed)))
    await refused(challenge(challengeCitations(disputed)))
    for (const i of world.rows.keys())
      await refused(challenge(challengeOmission(disputed, indexed(i))))
    const listed = honest.rows.findIndex(({ spans }) => spans.length > 0)
    for (const offset of [0, 7, 19]) await refused(challenge(spanOfRow(disputed, listed, offset)))
  }))

for (const [what, change] of [
  ['influence', { influence: 1n }],
  ['significance', { significance: 1n }],
  ['contributor', { contributor: contributor(99) }],
  ['cluster', { cluster: keccak('other') }],
] as const)
  test(`a row with another ${what} than the index gives is proven wrong`, () => {
    const receipt = withRow(honest, 1, change)
    return dispute(receipt, async (disputed) => {
      await refused(challenge(scoreOfRow(disputed, 0)))
      await challenge(scoreOfRow(disputed, 1))
      await it.assertSlashed(1)
      await refused(challenge(scoreOfRow(disputed, 1)), /EpochNotPending/)
    })
  })

test('a query of another length than the rows is proven wrong', () => {
  const query = world.query.slice(1)
  const receipt = { ...honest, queryHash: keccak(new Uint8Array(query)) }
  return dispute(
    receipt,
    async (disputed) => {
      const call = scoreOfRow(disputed, 0)
      await refused(challenge(withArg(call, 3, bytesOf(world.query))), /WrongOpening/)
      await challenge(call)
      await it.assertSlashed(1)
    },
    query,
  )
})

test('evidence that is not what the receipt commits to proves nothing', () => {
  const receipt = withRow(honest, 1, { influence: 1n })
  return dispute(receipt, async (disputed) => {
    const call = scoreOfRow(disputed, 1)
    const opened = receiptEvidence(disputed.file, 0)
    const row = indexRowEvidence(world.rows, placeOf(receipt, 1))
    const forged: [number, unknown, RegExp][] = [
      [0, { ...opened, spent: 1n }, /NotInEpoch/],
      [0, { ...opened, index: 1 }, /NotInEpoch/],
      [0, { ...opened, epoch: 2n }, /EpochNotPending/],
      [0, { ...opened, head: { ...opened.head, fee: 1n } }, /NotInEpoch/],
      [1, { ...rowEvidence(receipt, 1), position: 0n }, /WrongOpening/],
      [2, { ...row, nullMean: 0n }, /NotInIndex/],
      [2, indexRowEvidence(world.rows, placeOf(receipt, 0)), /WrongOpening/],
      [4, bytesOf(world.vectors[placeOf(receipt, 0)]!), /WrongOpening/],
    ]
    for (const [at, value, reason] of forged)
      await refused(challenge(withArg(call, at, value)), reason)
  })
})

test('a span that is not in the record, or beyond it or the answer, is proven wrong', async () => {
  const listed = honest.rows.findIndex(({ spans }) => spans.length > 0)
  const spans = (change: object) =>
    withRow(honest, listed, { spans: [{ ...honest.rows[listed]!.spans[0]!, ...change }] })
  for (const [change, offset] of [
    [{ recordStart: 41 }, 3],
    [{ recordStart: 90 }, 0],
    [{ outputStart: 11 }, 0],
    [{ length: 0 }, 0],
    [{ length: 4_294_967_295 }, 0],
  ] as const) {
    const receipt = spans(change)
    await dispute(receipt, async (disputed) => {
      await challenge(spanOfRow(disputed, listed, offset))
      await it.assertSlashed(1)
    })
  }
  const answer = world.answer.with(12, world.answer[12]! + 1)
  const written = { ...honest, outputRoot: tokensRoot(answer) }
  await dispute(written, async (disputed) => {
    await refused(challenge(spanOfRow(disputed, listed, 2)), /WrongOpening/)
    await challenge(spanOfRow(disputed, listed, 2, answer))
    await it.assertSlashed(1)
  })
})

test('a significant row that was left out is proven, and only above the floor', async () => {
  const best = placeOf(honest, 1)
  const receipt = fairReceipt(world, 'omits', { skip: [best] })
  await dispute(receipt, async (disputed) => {
    const below = world.rows.findIndex((_, i) => scoreOf(world, i).influence <= receipt.floor)
    if (below >= 0) await refused(challenge(challengeOmission(disputed, indexed(below))))
    await challenge(challengeOmission(disputed, indexed(best)))
    await it.assertSlashed(1)
  })
})

test('a wei, an order, a split or a method that does not follow is proven wrong', async () => {
  const [first, second] = honest.rows
  const swapped = { ...honest, rows: [second!, first!, ...honest.rows.slice(2)] }
  for (const receipt of [
    withRow(withRow(honest, 0, { amount: first!.amount + 1n }), 1, {
      amount: second!.amount - 1n,
    }),
    { ...honest, unattributed: honest.unattributed + 1n },
    { ...honest, platform: honest.platform + 1n, stakers: honest.stakers - 1n },
    { ...honest, methodVersion: 2 },
    { ...honest, covered: 1n },
    swapped,
  ])
    await dispute(receipt, async (disputed) => {
      await challenge(challengeShares(disputed))
      await it.assertSlashed(1)
    })
})

test('citations that do not share equally, or cite a cluster twice, are proven wrong', async () => {
  const [first, second, third] = honest.citations
  const cases: [Receipt, (disputed: Disputed) => Call][] = [
    [
      {
        ...honest,
        citations: [
          { ...first!, amount: first!.amount + 1n },
          { ...second!, amount: second!.amount - 1n },
          third!,
        ],
      },
      challengeCitations,
    ],
    [
      { ...honest, citations: [first!, second!, { ...third!, cluster: first!.cluster }] },
      challengeCitations,
    ],
    [
      { ...honest, retrieval: 0n, unattributed: honest.unattributed + honest.retrieval },
      challengeShares,
    ],
    [{ ...honest, citations: [] }, challengeShares],
  ]
  for (const [receipt, build] of cases)
    await dispute(receipt, async (disputed) => {
      await refused(challenge(withArg(build(disputed), 1, [])), /WrongOpening/)
      await challenge(build(disputed))
      await it.assertSlashed(1)
    })
})

test('a row that does not belong, one listed twice and a wrong floor are proven', async () => {
  const last = honest.rows.length
  const stranger = {
    ...honest.rows[1]!,
    cluster: keccak('x'),
    significance: 0n,
    amount: 0n,
  }
  const cases: [Receipt, number][] = [
    [{ ...honest, rows: [...honest.rows, stranger] }, last],
    [{ ...honest, rows: [...honest.rows, honest.rows[1]!] }, last],
    [{ ...honest, rows: [...honest.rows, honest.rows[1]!] }, 1],
  ]
  const byInfluence = honest.rows
    .map(({ influence }, i) => ({ influence, i }))
    .toSorted((a, b) => Number(b.influence - a.influence))
  const lastOfList = byInfluence[Number(values['attribution.topK']) - 1]
  cases.push([{ ...honest, floor: honest.floor + 1n }, lastOfList?.i ?? 0])
  for (const [receipt, position] of cases)
    await dispute(receipt, async (disputed) => {
      await challenge(challengeListing(disputed, position))
      await it.assertSlashed(1)
    })
})

test('two receipts for one request cost their signer its stake', async () => {
  const other = { ...honest, fee: honest.fee + 1n }
  const [signature, otherSignature] = [await it.sign(honest), await it.sign(other)]
  const [signed, twice] = [
    { receipt: honest, signature, query: '' },
    { receipt: other, signature: otherSignature, query: '' },
  ]
  const built = it.build([honest])
  const file = { ...built, receipts: [signed] }
  const loose = (second: SignedReceipt) =>
    challengeEquivocation({ file, receipt: 0 }, second, { inEpoch: false })
  await it.aside(async () => {
    await refused(challenge(loose(twice)), /TooLittleAtStake/)
    // A few wei are no worker's stake: nobody disables an epoch with them.
    const most = values['staking.minimum'] - 1n
    await it.send(worker, 'validatorStaking', 'stake', [worker.address], most)
    await refused(challenge(loose(twice)), /TooLittleAtStake/)
    await it.submit(file)
    const inEpoch = challengeEquivocation({ file, receipt: 0 }, twice, { inEpoch: true })
    await refused(challenge(inEpoch), /TooLittleAtStake/)
    assert.equal(await it.read('attributionSettlement', 'statusOf', [1n]), 1)
    await it.send(worker, 'validatorStaking', 'stake', [worker.address], 1n)
    await refused(challenge(loose(signed)))
    await refused(challenge(loose({ ...twice, signature })), /WrongOpening/)
    await challenge(loose(twice))
    assert.equal(await it.read('validatorStaking', 'owed', [challenger.address]), 5n * 10n ** 17n)
    await refused(challenge(loose(twice)), /TooLittleAtStake/)
  })
  // In an epoch: it is disabled, its submitter keeps its bond.
  await it.aside(async () => {
    await it.submit(file)
    await it.send(worker, 'validatorStaking', 'stake', [worker.address], 10n ** 18n)
    await challenge(challengeEquivocation({ file, receipt: 0 }, twice, { inEpoch: true }))
    assert.equal(await it.read('attributionSettlement', 'statusOf', [1n]), 3)
  })
})
