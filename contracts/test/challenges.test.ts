import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { keccak, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import {
  answerDemand,
  challengeCitations,
  challengeCredit,
  challengeCredits,
  challengeDraws,
  challengeEquivocation,
  challengeListing,
  challengeOmission,
  challengePayouts,
  challengeReplay,
  challengeScore,
  challengeShares,
  challengeSpan,
  challengeTotal,
  demand,
  type Call,
  type DemandKind,
  type Disputed,
} from '#protocol/challenge.ts'
import { creditsTree, PART, receiptLeaf, type EpochFile } from '#protocol/epoch.ts'
import { influenceRowLeaf } from '#protocol/influence-row.ts'
import {
  creditGap,
  creditGapAfter,
  indexRowEvidence,
  partEvidence,
  payoutGap,
  payoutGapAfter,
  receiptEvidence,
  rowEvidence,
} from '#protocol/proof.ts'
import type { Receipt, SignedReceipt } from '#protocol/receipt.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import { MAX_CITATIONS } from '#protocol/wire.ts'
import { root as repository } from '../script/foundry.ts'
import {
  bytesOf,
  challenger,
  contributor,
  fairReceipt,
  makeWorld,
  operator,
  payer,
  scoreOf,
  startDispute,
  validator,
  values,
  worker,
  type Dispute,
} from './dispute.ts'
import { hashPairOf, hashSortedPair } from './deep.ts'

const SNAPSHOT = join(repository, 'contracts/snapshots/challenges.json')
const MOST_GAS = 300_000n

const refused = (promise: Promise<unknown>, reason: RegExp = /NoFault/) =>
  assert.rejects(promise, reason)

const withRow = (receipt: Receipt, position: number, change: object): Receipt => ({
  ...receipt,
  rows: receipt.rows.map((row, i) => (i === position ? { ...row, ...change } : row)),
})

const siblings = (count: number) => Array.from({ length: count }, (_, i) => keccak(`s${i}`))

/** The call with another argument. */
const withArg = (call: Call, at: number, value: unknown): Call => ({
  ...call,
  args: [...call.args.slice(0, at), value, ...call.args.slice(at + 1)],
})

const receiptAt = ({ file, receipt }: Disputed) => file.receipts[receipt]!.receipt

describe('challenges', () => {
  let it: Dispute
  const world = makeWorld(40, 64)
  const honest = fairReceipt(world, 'honest')
  before(async () => {
    it = await startDispute()
  })
  after(() => it?.stop())

  const challenge = (call: Call) => it.challenge(call)
  const challengeEpoch = (functionName: string, args: readonly unknown[]) =>
    it.challenge({ contract: 'epochChallenges', functionName, args })

  /** Where a row of the receipt stands in the index. */
  const placeOf = (receipt: Receipt, position: number) =>
    world.rows.findIndex(({ record }) => record === receipt.rows[position]?.record)
  const indexed = (row: number, { rows, vectors } = world) => ({
    rows,
    row,
    vector: vectors[row]!,
  })
  const scoreOfRow = (disputed: Disputed, position: number) =>
    challengeScore(disputed, position, indexed(placeOf(receiptAt(disputed), position)))
  const spanOfRow = (
    disputed: Disputed,
    position: number,
    offset: number,
    answer = world.answer,
  ) => {
    const row = placeOf(receiptAt(disputed), position)
    return challengeSpan(disputed, { position, span: 0, offset }, indexed(row), {
      answer,
      record: world.texts[row]!,
    })
  }

  /** Submits one receipt as epoch 1, then challenges it. */
  const dispute = (
    receipt: Receipt,
    work: (disputed: Disputed) => Promise<unknown>,
    query = world.query,
  ) =>
    it.aside(async () => {
      const file = it.build([receipt], null, query)
      await it.submit(file)
      await work({ file, receipt: 0 })
    })

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
      await it.govern('challenge.omission', 0n)
      await refused(challenge(challengeOmission(disputed, indexed(best))), /OmissionNotJudged/)
      await it.govern('challenge.omission', 1n)
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
      await refused(challenge(loose(twice)), /NothingAtStake/)
      await it.send(worker, 'validatorStaking', 'stake', [worker.address], 10n ** 18n)
      await refused(challenge(loose(signed)))
      await refused(challenge(loose({ ...twice, signature })), /WrongOpening/)
      await challenge(loose(twice))
      assert.equal(await it.read('validatorStaking', 'owed', [challenger.address]), 5n * 10n ** 17n)
      await refused(challenge(loose(twice)), /NothingAtStake/)
    })
    // In an epoch: it is disabled, its submitter keeps its bond.
    await it.aside(async () => {
      await it.submit(file)
      await it.send(worker, 'validatorStaking', 'stake', [worker.address], 10n ** 18n)
      await challenge(challengeEquivocation({ file, receipt: 0 }, twice, { inEpoch: true }))
      assert.equal(await it.read('attributionSettlement', 'statusOf', [1n]), 3)
    })
  })

  const pair = () => [
    fairReceipt(world, 'a'),
    fairReceipt(world, 'b', { fee: 10n ** 14n }),
    fairReceipt(world, 'c', { of: challenger.address }),
  ]

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
    const demanded = async () => {
      const logs = await it.client.getContractEvents({
        address: it.contracts.epochChallenges,
        abi: (await import('#contracts/epoch-challenges.ts')).epochChallengesAbi,
        eventName: 'Demanded',
        fromBlock: 'earliest',
        strict: true,
      })
      return logs.at(-1)!.args.id
    }
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
          await demanded(),
          { kind, index, position },
          { file, rows: world.rows },
        )
        await it.send(operator, answer.contract, answer.functionName, answer.args)
      }
      assert.equal(await it.read('epochChallenges', 'owed', [operator.address]), 5n * bond)
      await demandOf('receipt', 0)
      const unanswered = await demanded()
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

  test('each challenge costs less than 300,000 gas at full size', async () => {
    const large = makeWorld(40, 2_048)
    const full = fairReceipt(large, 'full', { cited: MAX_CITATIONS })
    const place = (receipt: Receipt, position: number) =>
      large.rows.findIndex(({ record }) => record === receipt.rows[position]!.record)
    const gas: Record<string, bigint> = {}

    /** A receipt in an epoch of 1,024, over an index of 131,072 rows of which one can be opened. */
    const deep = async (
      receipt: Receipt,
      row: number | null,
      build: (disputed: Disputed) => Call,
    ) =>
      it.aside(async () => {
        const indexProof = siblings(17)
        const leaf = row === null ? ZERO_HASH : influenceRowLeaf(large.rows[row]!)
        const indexed = { ...receipt, indexRoot: indexProof.reduce(hashSortedPair, leaf) }
        const proof = siblings(10)
        const domain = { chainId: 901_612, settlement: it.contracts.attributionSettlement }
        const root: Hex = proof.reduce(hashPairOf, receiptLeaf(indexed, indexed.fee, domain))
        const file = it.build([indexed], null, large.query)
        await it.submit(file, { receipts: { root, count: 1_024 } })
        const call = build({ file, receipt: 0 })
        const args = call.args.map((arg) =>
          typeof arg === 'object' && arg && 'vectorHash' in arg
            ? { ...arg, proof: indexProof }
            : arg,
        )
        const opened = { ...receiptEvidence(file, 0), index: 1_023, proof }
        gas[call.functionName] = await challenge({ ...call, args: [opened, ...args.slice(1)] })
      })
    // As many rows as can be listed: twice topK, half of them for their text.
    const texts = Array.from({ length: 32 - full.rows.length }, (_, i) => ({
      ...full.rows.at(-1)!,
      cluster: keccak(`t${i}`),
      record: keccak(`r${i}`),
      text: 70_000n,
      amount: 0n,
    }))
    const wide: Receipt = { ...full, rows: [...full.rows, ...texts] }
    assert.equal(wide.rows.length, 32)
    const scored = place(wide, 1)
    await deep(withRow(wide, 1, { influence: 1n }), scored, (disputed) =>
      challengeScore(disputed, 1, indexed(scored, large)),
    )
    const omits = { ...wide, rows: wide.rows.map((r, i) => (i === 1 ? texts[0]! : r)) }
    await deep(omits, scored, (disputed) => challengeOmission(disputed, indexed(scored, large)))
    const position = wide.rows.findIndex(({ spans }) => spans.length > 0)
    const moved = withRow(wide, position, {
      spans: [{ outputStart: 10, recordStart: 41, length: 20 }],
    })
    await deep(moved, 0, (disputed) =>
      challengeSpan(disputed, { position, span: 0, offset: 0 }, indexed(0, large), {
        answer: large.answer,
        record: large.texts[0]!,
      }),
    )
    await deep(wide, null, challengeShares)
    const [cited, ...others] = wide.citations
    const twice = { ...wide, citations: [...others, { ...cited!, cluster: others[0]!.cluster }] }
    await deep(twice, null, challengeCitations)
    // Of 17 rows with text the one with the last cluster is the seventeenth.
    const lastText = wide.rows
      .map(({ text, cluster }, i) => ({ text, cluster, i }))
      .filter(({ text }) => text === 70_000n)
      .toSorted((a, b) => (a.cluster < b.cluster ? 1 : -1))[0]!
    await deep(wide, null, (disputed) => challengeListing(disputed, lastText.i))

    await it.aside(async () => {
      const first = it.build(pair())
      const file = it.build([fairReceipt(world, 'd')], first)
      const raised = {
        ...file,
        payouts: file.payouts.map((p, i) => (i === 0 ? { ...p, amount: p.amount + 1n } : p)),
      }
      const { account } = file.payouts[0]!
      await it.submit(first)
      await it.submit(file, { payouts: raised })
      gas['challengeTotal'] = await challengeEpoch('challengeTotal', [
        2n,
        account,
        creditGapAfter(file, account),
        payoutGapAfter(raised, account),
        payoutGapAfter(first, account),
      ])
    })
    await it.aside(async () => {
      const other = { ...honest, fee: honest.fee + 1n }
      await it.send(worker, 'validatorStaking', 'stake', [worker.address], 10n ** 18n)
      await it.client.increaseTime({ seconds: 5 }) // another second, another checkpoint of stake
      await it.client.mine({ blocks: 1 })
      const signed = { receipt: honest, signature: await it.sign(honest), query: '' }
      const twice = { receipt: other, signature: await it.sign(other), query: '' }
      const file = { ...it.build([honest]), receipts: [signed] }
      gas['challengeEquivocation'] = await challenge(
        challengeEquivocation({ file, receipt: 0 }, twice, { inEpoch: false }),
      )
    })
    const found = Object.fromEntries(Object.entries(gas).map(([name, n]) => [name, Number(n)]))
    if (!existsSync(SNAPSHOT) || process.env['FORGE_SNAPSHOT_CHECK'] === 'false')
      writeFileSync(SNAPSHOT, `${JSON.stringify(found, null, 2)}\n`)
    const kept = JSON.parse(readFileSync(SNAPSHOT, 'utf8')) as Record<string, number>
    for (const [name, used] of Object.entries(found)) {
      assert.ok(BigInt(used) < MOST_GAS, `${name}: ${used}`)
      // Signatures and addresses differ by a few bytes of calldata.
      assert.ok(Math.abs(used - (kept[name] ?? 0)) < 1_000, `${name}: ${used}, was ${kept[name]}`)
    }
  })

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
})
