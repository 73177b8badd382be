import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { encodeAbiParameters, keccak256, pad, toHex, type Hex } from 'viem'
import { keccak } from '#protocol/bytes.ts'
import {
  answerDemand,
  challengeCredits,
  challengeDraws,
  challengePayouts,
  challengeReplay,
  challengeTotal,
  demand,
  type Call,
  type Demanded,
} from '#protocol/challenge.ts'
import { PART, type EpochFile } from '#protocol/epoch.ts'
import { influenceRowLeaf } from '#protocol/influence-row.ts'
import { creditsTree } from '#protocol/ledgers.ts'
import { creditGap, partEvidence, receiptEvidence } from '#protocol/proof.ts'
import { challenger, contributor, makeWorld, operator, payer, values } from './dispute.ts'
import { assertGas, atFullSize, deepProof, DRAWS, fullReceipt, INDEX_DEPTH } from './full-size.ts'
import { startChallenging } from './challenging.ts'

const MOST_GAS = 300_000n
/** A proof that shows what each of 1,000 payers was drawn, and an answer that shows all of a receipt. */
const DEARER = ['challengeDraws', 'answerReceipt']
/** The slot of InferenceVault.balanceOf (contracts/snapshots/layouts.json). */
const BALANCES = 1n

const { it, challenge, lastDemand } = await startChallenging()
after(() => it.stop())

const world = makeWorld(40, 2_048)
const opened = 1
const row = world.rows.find(
  ({ record }) => record === fullReceipt(world, 'any').rows[opened]!.record,
)!
const index = deepProof(influenceRowLeaf(row), INDEX_DEPTH)
/** Two receipts of each of two payers. */
const receipts = (name: string) =>
  [payer, challenger].flatMap(({ address }) =>
    [1, 2].map((i) => ({
      ...fullReceipt(world, `${name} ${i} ${address}`, address),
      indexRoot: index.root,
    })),
  )
const first = atFullSize(it.build(receipts('first'), null, world.query))
const second = it.build(receipts('second'), first, world.query)
const file = atFullSize(second)
const credits = creditsTree(second).leaves
const gas: Record<string, bigint> = {}

const ofEpoch = (functionName: string, ...args: readonly unknown[]): Call => ({
  contract: 'epochChallenges',
  functionName,
  args,
})
/** Measures a challenge of a second epoch, of which some parts come from other files. */
const measure = (
  call: Call,
  parts: Parameters<typeof it.submit>[1] = {},
  submitted: EpochFile = file,
) =>
  it.aside(async () => {
    await it.submit(first)
    await it.submit(submitted, parts)
    gas[call.functionName] = await challenge(call)
  })

test('credits', async () => {
  // The last citation of the first receipt pays somebody else.
  const paid = file.receipts[0]!.receipt
  const part = PART.citations + paid.citations.length - 1
  const { contributor: account } = paid.citations.at(-1)!
  const elsewhere = credits.map((credit) =>
    credit.receipt === 0 && credit.part === part ? { ...credit, account: contributor(99) } : credit,
  )
  const robbed = atFullSize(
    second,
    elsewhere.toSorted((a, b) => (a.account < b.account ? -1 : a.account > b.account ? 1 : 0)),
  )
  const { leaves, proof } = creditsTree(robbed)
  const wrong = leaves.findIndex((credit) => credit?.account === contributor(99))
  const of = [receiptEvidence(file, 0), partEvidence(paid, part)]
  await measure(ofEpoch('challengeCredit', ...of, wrong, leaves[wrong], proof(wrong)), {
    credits: robbed,
  })
  const place = leaves.filter(
    (credit) =>
      credit.account < account ||
      (credit.account === account && credit.receipt === 0 && credit.part < part),
  ).length
  await measure(ofEpoch('challengeMissingCredit', ...of, part, creditGap(robbed, place)), {
    credits: robbed,
  })
  const stray = atFullSize(second, [{ ...credits[0]!, receipt: 20_000 }, ...credits.slice(1)])
  const { right, rightProof } = creditGap(stray, 0)
  await measure(ofEpoch('challengeStrayCredit', 2n, 0, right, rightProof), { credits: stray })
  // The first credit of an account that was paid before.
  const at = credits.findIndex((credit, i) => i > 0 && credit.account !== credits[i - 1]!.account)
  const raised = credits.map((credit, i) =>
    i === at ? { ...credit, cumulative: credit.cumulative + 1n } : credit,
  )
  const unfollowed = atFullSize(second, raised)
  await measure(challengeCredits(unfollowed, first, at), { credits: unfollowed })
})

test('payouts', async () => {
  const [one, two, ...others] = second.payouts
  const payouts = [one!, { ...two!, amount: two!.amount + 1n }, ...others]
  const raised = atFullSize({ ...second, payouts }, credits)
  await measure(challengeTotal(raised, first, two!.account), { payouts: raised })
  const swapped = atFullSize({ ...second, payouts: [two!, one!, ...others] }, credits)
  await measure(challengePayouts(swapped, 1), { payouts: swapped })
})

test('receipts that come again', async () => {
  const again = atFullSize(it.build([first.receipts[0]!.receipt], first, world.query))
  const call = challengeReplay({ file: again, receipt: 0 }, { file: first, receipt: 0 })
  await measure(call, {}, again)
})

test('draws', () =>
  it.aside(async () => {
    const amount = 4n * 10n ** 14n + 7n
    const vault = it.contracts.inferenceVault
    const idle = Array.from({ length: DRAWS - 2 }, (_, i) => {
      const address: Hex = `0x00${keccak(`payer ${i}`).slice(2, 40)}`
      return { payer: address, amount }
    })
    for (const { payer: account } of idle) {
      const types = [{ type: 'address' }, { type: 'uint256' }] as const
      const slot = keccak256(encodeAbiParameters(types, [account, BALANCES]))
      await it.client.setStorageAt({ address: vault, index: slot, value: pad(toHex(amount)) })
    }
    await it.client.setBalance({ address: vault, value: 10n ** 24n })
    const [one, two] = second.draws
    const draws = [
      ...idle,
      { ...one!, amount: one!.amount - 1n },
      { ...two!, amount: two!.amount + 1n },
    ]
    await measure(challengeDraws(file, 2, draws), { draws })
  }))

/** Demands something of epoch 2. */
async function ask(asked: Demanded): Promise<Hex> {
  gas['demand'] = await challenge(demand(2, asked, values['challenge.bond']))
  return lastDemand()
}

test('demands and their answers', () =>
  it.aside(async () => {
    await it.govern('challenge.answerTime', 400n)
    await it.submit(first)
    await it.submit(file)
    for (const asked of [
      { kind: 'receipt', index: 0, position: 0 },
      { kind: 'credit', index: 1, position: 0 },
      { kind: 'payout', index: 1, position: 0 },
      { kind: 'indexRow', index: 0, position: opened },
    ] as const) {
      const id = await ask(asked)
      const { contract, functionName, args } = answerDemand(id, asked, { file, rows: world.rows })
      const deep = args.map((arg) =>
        typeof arg === 'object' && arg && 'vectorHash' in arg
          ? { ...arg, proof: index.proof }
          : arg,
      )
      gas[functionName] = await it.send(operator, contract, functionName, deep)
    }
    const id = await ask({ kind: 'receipt', index: 1, position: 0 })
    const later = async (call: string, seconds: number) =>
      it.aside(async () => {
        await it.client.increaseTime({ seconds })
        await it.client.mine({ blocks: 1 })
        gas[call] = await challenge(ofEpoch(call, id))
      })
    await later('resolve', 401)
    await later('reclaim', 1_001)
  }))

test('what it costs is what it cost, and less than 300,000 but where all of a receipt or of the draws is shown', () => {
  assert.equal(Object.keys(gas).length, 15)
  assertGas('epoch-challenges', gas, { most: MOST_GAS, dearer: DEARER })
})
